//! The network of one worker's jobs and the rules around it, from its start to its end.
//!
//! One bridge network per data directory, so what one worker lets through holds for no other. Both are found again by name after a
//! crash; those of a worker that is dead for certain are removed by the next start on the machine, since the engine has addresses
//! for some thirty networks only. Rules are judged by their own owner: an engine knows only its own networks. At the end they go, unless containers still use the network; then the rules stay with
//! it. Somebody may prune networks or flush rules while the worker runs: the network is looked for before each container, the
//! rules every [`LOOK_EVERY`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use super::abandoned::is_abandoned;
use super::addresses::is_public;
use super::destination::Destination;
use super::firewall::Firewall;
use super::resolvers::Resolvers;
use crate::data_directory::DataDirectory;
use crate::executor::{Docker, Fault, LABEL_DATA, NetworkSpec, WorkerNetwork};
use crate::owner::{Here, Lasts, Life};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A network that was there so short a time ago is not looked for again: jobs that start together look once.
const FRESH: Duration = Duration::from_millis(500);
/// Characters of the data directory's label in names: the kernel takes 15 for a bridge.
const ID_CHARS: usize = 12;
const NAME_PREFIX: &str = "asman-";
/// Whether the packet filter sees what passes within a bridge.
const BRIDGE_RULES: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// A network of one worker, with or without rules.
#[derive(Debug)]
pub(crate) struct Guard {
    docker: Docker,
    pub(super) network: NetworkSpec,
    /// When the network was last seen. One job at a time looks for it.
    seen: tokio::sync::Mutex<Option<Instant>>,
    firewall: Option<Arc<Standing>>,
    _watch: Option<AbortOnDropHandle<()>>,
}

/// Rules that stand until they are taken down. One at a time changes them.
#[derive(Debug)]
struct Standing {
    firewall: Firewall,
    is_down: tokio::sync::Mutex<bool>,
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
    pub(super) async fn open(docker: &Docker, data: &DataDirectory, openings: Openings) -> Result<(Self, Option<Lack>), Fault> {
        let network = network_of(data);
        sweep(docker, &network.name).await;
        // One that an earlier process left names that process; while containers use it, it stays as it is.
        if let Err(fault) = docker.remove_network(&network.name).await {
            tracing::debug!(%fault, "the network of an earlier process stays");
        }
        docker.ensure_network(&network).await?;
        let (firewall, lack) = match install(docker, data, &network, openings).await? {
            Ok(firewall) => (Some(Arc::new(Standing { firewall, is_down: tokio::sync::Mutex::new(false) })), None),
            Err(lack) => (None, Some(lack)),
        };
        let watch = firewall.clone().map(|standing| AbortOnDropHandle::new(tokio::spawn(standing.watch())));
        let seen = tokio::sync::Mutex::default();
        Ok((Self { docker: docker.clone(), network, seen, firewall, _watch: watch }, lack))
    }

    /// Whether rules stand around the network.
    pub(super) fn has_rules(&self) -> bool {
        self.firewall.is_some()
    }

    /// Sees that the network is there, before a container needs it.
    pub(super) async fn ensure(&self) -> Result<(), Fault> {
        let mut seen = self.seen.lock().await;
        if seen.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        *seen = None;
        if self.docker.ensure_network(&self.network).await? {
            tracing::warn!("the network of jobs was gone and is there again");
            if let Some(standing) = &self.firewall {
                // Whoever removed the one may have removed the other.
                standing.firewall.install().await.map_err(|error| Fault::Host(format!("iptables: {error}")))?;
            }
        }
        *seen = Some(Instant::now());
        Ok(())
    }

    /// Sees that what was guarded still is.
    pub(super) async fn prove(&self) -> Result<(), Lack> {
        let Some(standing) = &self.firewall else { return Ok(()) };
        let away = |fault: Fault| format!("the network of jobs cannot be made ({fault})");
        self.ensure().await.map_err(away)?;
        if !self.docker.is_bridge_as_asked(&self.network).await.map_err(away)? || !is_there(&self.network.bridge) {
            return Err(
                "the network of jobs cannot be guarded with the engine that answers now; start the worker again".to_owned()
            );
        }
        standing.restore().await;
        prove(&standing.firewall).await
    }

    /// The rules of jobs, where there are some.
    pub(super) fn rules(&self) -> Option<&Firewall> {
        self.firewall.as_ref().map(|standing| &standing.firewall)
    }

    /// Removes the network, and with it the rules.
    pub(super) async fn close(&self) {
        let network = &self.network.name;
        match self.docker.remove_network(network).await {
            Ok(true) => {
                if let Some(standing) = &self.firewall {
                    standing.take_down().await;
                }
            }
            Ok(false) => tracing::info!(network, "containers still use the network of jobs; it stays, and is guarded"),
            Err(fault) => tracing::warn!(%fault, network, "the network of jobs stays until the next start"),
        }
    }
}

fn network_of(data: &DataDirectory) -> NetworkSpec {
    let label = data.label();
    let id = &label[..ID_CHARS];
    let mut labels = data.owner_labels();
    labels.insert(LABEL_DATA.to_owned(), label.clone());
    NetworkSpec { name: format!("{NAME_PREFIX}{id}"), bridge: format!("asm{id}"), labels }
}

/// Removes networks and rules of workers that are no more. What cannot be removed is left to the next start.
async fn sweep(docker: &Docker, own: &str) {
    let here = Here::look();
    let networks = docker.worker_networks().await.unwrap_or_else(|fault| {
        tracing::debug!(%fault, "networks of dead workers stay");
        Vec::new()
    });
    for WorkerNetwork { name, owner, created } in networks {
        let is_abandoned = name != own && is_abandoned(owner.as_deref(), Lasts::WithItsDataDirectory, created, here.as_ref());
        // A network that still has containers stays, whatever became of its worker.
        if is_abandoned && docker.remove_network(&name).await.is_ok_and(|is_removed| is_removed) {
            tracing::info!(network = name, "network of a worker that is no more is removed");
        }
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (firewall, owner) in Firewall::list().await {
        let is_own = own.strip_prefix(NAME_PREFIX) == Some(&firewall.id);
        // Without an owner that can be read, nothing is known. While the bridge is there, containers may be behind it.
        let is_dead = owner.is_some_and(|owner| owner.life(Lasts::WithItsProcess, here.as_ref()) == Life::Dead);
        if !is_own && is_dead && !is_there(&firewall.bridge) {
            tracing::info!(id = firewall.id, "rules of a worker that is no more are removed");
            firewall.remove().await;
        }
    }
}

/// Whether a network interface of that name is in this process's network, which `/sys` need not show.
fn is_there(bridge: &str) -> bool {
    let interfaces = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    interfaces.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name.trim() == bridge))
}

async fn install(
    docker: &Docker,
    data: &DataDirectory,
    network: &NetworkSpec,
    openings: Openings,
) -> Result<Result<Firewall, Lack>, Fault> {
    if !docker.is_bridge_as_asked(network).await? {
        let lack =
            "the engine made their network without the bridge that rules could be set for, as Podman does; use a Docker engine";
        return Ok(Err(lack.to_owned()));
    }
    Ok(set_rules(data, network, openings).await)
}

async fn set_rules(data: &DataDirectory, network: &NetworkSpec, openings: Openings) -> Result<Firewall, Lack> {
    if !is_there(&network.bridge) {
        return Err("the Docker engine's networks are not on this machine; run the worker beside the engine".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("the worker may not set rules of the packet filter; run it as root".to_owned());
    }
    let (id, owner) = (network.name[NAME_PREFIX.len()..].to_owned(), data.owner());
    let Some(mut firewall) = Firewall::find(id, network.bridge.clone(), owner.as_ref()) else {
        return Err("iptables is missing; install it (Debian and Ubuntu: `apt-get install iptables`)".to_owned());
    };
    firewall.allowed = openings.allowed;
    let private = openings.resolvers.servers.into_iter().filter(|server| !is_public(server));
    firewall.name_servers =
        private.filter_map(|server| if let IpAddr::V4(server) = server { Some(server) } else { None }).collect();
    let installed = match firewall.install().await {
        Ok(()) => prove(&firewall).await,
        Err(error) => Err(format!("iptables refuses the rules ({error}); give the worker the right to administer the network")),
    };
    if installed.is_err() {
        firewall.remove().await;
    }
    installed.map(|()| firewall)
}

/// That what was set is in force.
async fn prove(firewall: &Firewall) -> Result<(), Lack> {
    match firewall.is_installed().await {
        Ok(true) => (),
        Ok(false) => return Err("iptables took the rules, and they are not there; see `iptables -S`".to_owned()),
        Err(error) => return Err(format!("the rules cannot be read ({error}); see `iptables -S`")),
    }
    // Else what one container of a bridge sends to another passes no rule.
    let passes = std::fs::read_to_string(BRIDGE_RULES).is_ok_and(|text| text.trim() == "1");
    let lack = "the kernel shows bridged packets to no rule, so jobs would reach each other; run `modprobe br_netfilter` and `sysctl -w \
                net.bridge.bridge-nf-call-iptables=1`";
    passes.then_some(()).ok_or_else(|| lack.to_owned())
}

impl Standing {
    /// Puts the rules back when somebody has flushed them, until they are taken down.
    async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.restore().await {
                return;
            }
        }
    }

    /// The same once. Whether they are taken down.
    async fn restore(&self) -> bool {
        let is_down = self.is_down.lock().await;
        if *is_down {
            return true;
        }
        match self.firewall.is_installed().await {
            Ok(true) => (),
            Ok(false) => match self.firewall.install().await {
                Ok(()) => tracing::warn!("the rules of the network of jobs were gone and are there again"),
                Err(error) => tracing::error!(%error, "the rules of the network of jobs are gone and cannot be set"),
            },
            Err(error) => tracing::error!(%error, "the rules of the network of jobs cannot be read"),
        }
        false
    }

    async fn take_down(&self) {
        *self.is_down.lock().await = true;
        self.firewall.remove().await;
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
