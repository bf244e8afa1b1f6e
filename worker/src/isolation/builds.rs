//! The engine's default bridge while `BuildKit` builds: its steps run there and nowhere else, so what they may reach is bound there.
//!
//! The rules are those of jobs. They hold for every address behind the bridge but those of containers, which are looked for each
//! [`LOOK_EVERY`]: whatever is not known is taken for a step. A container that starts meanwhile reaches public addresses at once and the
//! rest a moment later. The rules go with the build; those of a worker that is killed end by themselves.

use std::net::Ipv4Addr;
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::task::AbortOnDropHandle;

use super::firewall::Firewall;
use crate::executor::Docker;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// On top of the build's own longest time.
const MARGIN: Duration = Duration::from_mins(5);

/// Rules around one build. Call [`BuildGuard::close`]: dropped, they stay until their time is over.
#[derive(Debug)]
pub(crate) struct BuildGuard {
    firewall: Firewall,
    watch: AbortOnDropHandle<()>,
}

impl BuildGuard {
    /// Puts the rules in place. The sentence of an error says what is missing.
    pub(super) async fn open(rules: &Firewall, docker: &Docker, longest: Duration) -> Result<Self, String> {
        let (bridge, containers) = docker.default_bridge().await.map_err(|fault| fault.to_string())?;
        let until = moment(OffsetDateTime::now_utc() + longest + MARGIN);
        let firewall = rules.for_builds(bridge, containers, &until);
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

/// Keeps the containers' addresses as they are.
async fn follow(mut firewall: Firewall, docker: Docker) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok((_, containers)) = docker.default_bridge().await else { continue };
        if differs(&containers, &firewall.exempt) {
            firewall.exempt = containers;
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
