//! The network of one worker's jobs and the rules around it, from its start to its end.
//!
//! One bridge network per data directory, so what one worker lets through holds for no other. Both are found again by name after a
//! crash. At the end they go, unless containers still use the network; then the rules stay with it. Somebody may prune networks or
//! flush rules while the worker runs: the network is looked for before each container, the rules every [`LOOK_EVERY`].

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::addresses::is_public;
use super::destination::Destination;
use super::firewall::Firewall;
use super::resolvers::Resolvers;
use crate::executor::{Docker, Fault};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Characters of the data directory's label in names: the kernel takes 15 for a bridge.
const ID_CHARS: usize = 12;

/// A network of one worker, with or without rules.
#[derive(Debug)]
pub(crate) struct Guard {
    docker: Docker,
    data_label: String,
    pub(super) network: String,
    bridge: String,
    /// One job at a time looks whether the network is there.
    looking: tokio::sync::Mutex<()>,
    firewall: Option<Firewall>,
    _watch: Option<AbortOnDropHandle<()>>,
}

/// What the rules leave open.
#[derive(Debug)]
pub(super) struct Openings {
    pub(super) allowed: Vec<Destination>,
    pub(super) resolvers: Resolvers,
}

/// Why there are no rules: one sentence with what mends it.
pub(super) type Lack = String;

impl Guard {
    /// Makes the network and its rules. The lack of rules is no error: the caller decides.
    pub(super) async fn open(docker: &Docker, data_label: &str, openings: Openings) -> Result<(Self, Option<Lack>), Fault> {
        let id = data_label[..ID_CHARS].to_owned();
        let (network, bridge) = (format!("asman-{id}"), format!("asm{id}"));
        // Rules first, so that no container is ever without: they need no bridge to be there.
        let firewall = install(id, &bridge, openings).await;
        docker.ensure_network(&network, &bridge, data_label).await?;
        let firewall = match firewall {
            Ok(firewall) if !Path::new("/sys/class/net").join(&bridge).exists() => {
                firewall.remove().await;
                Err("the Docker engine's networks are not on this machine; run the worker beside the engine".to_owned())
            }
            other => other,
        };
        let (firewall, lack) = match firewall {
            Ok(firewall) => (Some(firewall), None),
            Err(lack) => (None, Some(lack)),
        };
        let watch = firewall.clone().map(|firewall| AbortOnDropHandle::new(tokio::spawn(watch(firewall))));
        let looking = tokio::sync::Mutex::default();
        let data_label = data_label.to_owned();
        Ok((Self { docker: docker.clone(), data_label, network, bridge, looking, firewall, _watch: watch }, lack))
    }

    /// Sees that the network is there, before a container needs it.
    pub(super) async fn ensure(&self) -> Result<(), Fault> {
        let _one_at_a_time = self.looking.lock().await;
        if self.docker.ensure_network(&self.network, &self.bridge, &self.data_label).await? {
            tracing::warn!("the network of jobs was gone and is there again");
        }
        Ok(())
    }

    /// Removes the network, and with it the rules.
    pub(super) async fn close(&self) {
        match self.docker.remove_network(&self.network).await {
            Ok(true) => {
                if let Some(firewall) = &self.firewall {
                    firewall.remove().await;
                }
            }
            Ok(false) => {
                tracing::info!(network = %self.network, "containers still use the network of jobs; it stays, and is guarded")
            }
            Err(fault) => tracing::warn!(%fault, network = %self.network, "the network of jobs stays until the next start"),
        }
    }
}

async fn install(id: String, bridge: &str, openings: Openings) -> Result<Firewall, Lack> {
    if !rustix::process::geteuid().is_root() {
        return Err("the worker may not set rules of the packet filter; run it as root".to_owned());
    }
    let Some(mut firewall) = Firewall::find(id, bridge.to_owned()) else {
        return Err("iptables is missing; install it (Debian and Ubuntu: `apt-get install iptables`)".to_owned());
    };
    firewall.allowed = openings.allowed;
    let private = openings.resolvers.servers.into_iter().filter(|server| !is_public(server));
    firewall.name_servers =
        private.filter_map(|server| if let IpAddr::V4(server) = server { Some(server) } else { None }).collect();
    match firewall.install().await {
        Ok(()) => Ok(firewall),
        Err(error) => Err(format!("iptables refuses the rules ({error}); give the worker the right to administer the network")),
    }
}

/// Puts the rules back when somebody has flushed them.
async fn watch(firewall: Firewall) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match firewall.is_installed().await {
            Ok(true) => (),
            Ok(false) => match firewall.install().await {
                Ok(()) => tracing::warn!("the rules of the network of jobs were gone and are there again"),
                Err(error) => tracing::error!(%error, "the rules of the network of jobs are gone and cannot be set"),
            },
            Err(error) => tracing::error!(%error, "the rules of the network of jobs cannot be read"),
        }
    }
}

/// The API's own address and port, where jobs are told to find it.
pub(super) async fn destinations_of(api: &str) -> Vec<Destination> {
    let Ok(url) = reqwest::Url::parse(api) else { return Vec::new() };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Vec::new() };
    // A name that cannot be resolved now costs jobs the way to the API, not the worker its start.
    let found = tokio::net::lookup_host((host, port)).await.into_iter().flatten();
    let v4 = found.filter_map(|address| if let SocketAddr::V4(address) = address { Some(address) } else { None });
    v4.filter(|address| !address.ip().is_loopback()).map(Destination::from).collect()
}
