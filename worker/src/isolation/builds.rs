//! The engine's default bridge while `BuildKit` builds: its steps run there and nowhere else, so what they may reach is bound there.
//!
//! The rules are those of jobs. They hold for every address behind the bridge but those of containers, which are looked for each
//! [`LOOK_EVERY`]: whatever is not known is taken for a step. A container that starts meanwhile reaches public addresses at once and the
//! rest a moment later. The rules go with the build. They are good for [`LASTS`] and renewed, so that those of a worker that is killed
//! end by themselves before anybody misses what they keep from other containers.

use std::net::Ipv4Addr;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::firewall::Firewall;
use crate::executor::Docker;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long rules hold that nobody renews.
const LASTS: Duration = Duration::from_mins(2);
const RENEW_EVERY: Duration = Duration::from_secs(30);

/// Rules around one build. Call [`BuildGuard::close`]: dropped, they stay until their time is over.
#[derive(Debug)]
pub(crate) struct BuildGuard {
    firewall: Firewall,
    watch: AbortOnDropHandle<()>,
}

impl BuildGuard {
    /// Puts the rules in place. The sentence of an error says what is missing.
    pub(super) async fn open(rules: &Firewall, docker: &Docker) -> Result<Self, String> {
        let (bridge, containers) = docker.default_bridge().await.map_err(|fault| fault.to_string())?;
        let firewall = rules.for_builds(bridge, containers, &moment(OffsetDateTime::now_utc() + LASTS));
        firewall.install_v4().await.map_err(|error| format!("iptables: {error}"))?;
        let watch = AbortOnDropHandle::new(tokio::spawn(follow(firewall.clone(), docker.clone())));
        Ok(Self { firewall, watch })
    }

    /// Takes the rules away.
    pub(crate) async fn close(self) {
        drop(self.watch);
        self.firewall.remove().await;
    }
}

/// Keeps the containers' addresses as they are, and the rules from ending.
async fn follow(mut firewall: Firewall, docker: Docker) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // An engine that does not say now leaves what it said before.
        let known = docker.default_bridge().await.map_or_else(|_| firewall.exempt.clone(), |(_, containers)| containers);
        let is_due = renewed.elapsed() >= RENEW_EVERY;
        if is_due || differs(&known, &firewall.exempt) {
            if is_due {
                renewed = Instant::now();
            }
            // The new jump stands before the old one goes.
            let until = moment(OffsetDateTime::now_utc() + LASTS);
            firewall = firewall.for_builds(firewall.bridge.clone(), known, &until);
            if let Err(error) = firewall.install_v4().await {
                tracing::warn!(%error, "the rules around a build are not up to date");
            }
        }
    }
}

fn differs(some: &[Ipv4Addr], others: &[Ipv4Addr]) -> bool {
    some.len() != others.len() || some.iter().any(|address| !others.contains(address))
}

/// As the packet filter reads it.
fn moment(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}
