//! Guards the engine's default bridge during a `BuildKit` build, because the steps of the build run on that bridge.
//!
//! The rules are those of jobs. The worker lists the addresses of containers every [`LOOK_EVERY`] and exempts them. Every other address
//! behind the bridge counts as a step of the build. A container that starts between two listings reaches public addresses at once, and
//! other addresses a moment later. The worker removes the rules when the build ends. Rules expire after [`LASTS`] unless the worker
//! renews them, so the rules of a killed worker soon stop blocking other containers.

use std::net::Ipv4Addr;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::engine::Docker;
use crate::network::Firewall;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time after which rules expire when they are not renewed.
const LASTS: Duration = Duration::from_mins(2);
const RENEW_EVERY: Duration = Duration::from_secs(30);

/// Rules around one build. Call [`BuildGuard::close`] to remove them. After a drop they stay until they expire.
#[derive(Debug)]
pub(crate) struct BuildGuard {
    firewall: Firewall,
    watch: AbortOnDropHandle<()>,
}

impl BuildGuard {
    /// Sets the rules. An error says what is missing.
    pub(super) async fn open(rules: &Firewall, docker: &Docker) -> Result<Self, String> {
        let (bridge, containers) = docker.default_bridge().await.map_err(|fault| fault.to_string())?;
        let firewall = rules.for_builds(bridge, containers, &moment(OffsetDateTime::now_utc() + LASTS));
        firewall.install_v4().await.map_err(|error| format!("iptables: {error}"))?;
        let watch = AbortOnDropHandle::new(tokio::spawn(follow(firewall.clone(), docker.clone())));
        Ok(Self { firewall, watch })
    }

    /// Removes the rules.
    pub(crate) async fn close(self) {
        drop(self.watch);
        self.firewall.remove().await;
    }
}

/// Updates the containers' addresses and renews the rules.
async fn follow(mut firewall: Firewall, docker: Docker) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // When the engine does not answer, its last answer still counts.
        let known = docker.default_bridge().await.map_or_else(|_| firewall.exempt.clone(), |(_, containers)| containers);
        let is_due = renewed.elapsed() >= RENEW_EVERY;
        if is_due || differs(&known, &firewall.exempt) {
            if is_due {
                renewed = Instant::now();
            }
            // The installation sets the new jump before it removes the old one.
            let until = moment(OffsetDateTime::now_utc() + LASTS);
            firewall = firewall.for_builds(firewall.bridge.clone(), known, &until);
            if let Err(error) = firewall.install_v4().await {
                tracing::warn!(%error, "cannot update the firewall rules around a build");
            }
        }
    }
}

fn differs(some: &[Ipv4Addr], others: &[Ipv4Addr]) -> bool {
    some.len() != others.len() || some.iter().any(|address| !others.contains(address))
}

/// A time in the form that the packet filter reads.
fn moment(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}
