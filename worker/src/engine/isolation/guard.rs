//! The network of one worker's jobs and the firewall rules around it, from the worker's start to its end.
//!
//! Each data directory has its own bridge network, so addresses that one worker allows stay closed for the jobs of another. After a
//! crash, the worker finds its network and rules again by name. The next start of any worker on the machine removes the networks and
//! rules of workers that are certainly dead, because the engine has addresses for only about thirty networks. Rules have their own owner
//! label, because their network may belong to another engine. At its end the worker removes its network and its rules. If containers
//! still use the network, both stay. Somebody may prune networks or flush rules while the worker runs, so the worker checks the network
//! before each container and the rules every [`LOOK_EVERY`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use super::abandoned::is_abandoned;
use crate::data_directory::DataDirectory;
use crate::engine::{Docker, Fault, NetworkSpec, SandboxSpec, WorkerNetwork};
use crate::labels::{LABEL_DATA, LABEL_SANDBOX};
use crate::network::{Destination, Firewall, Resolvers, is_public};
use crate::owner::{Here, Lasts, Life};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The worker does not check a network again within this time, so that jobs that start together check it once.
const FRESH: Duration = Duration::from_millis(500);
/// Characters of the data directory's label in names: the kernel accepts 15 characters for a bridge.
const ID_CHARS: usize = 12;
const NAME_PREFIX: &str = "asman-";
/// Kernel setting: whether the packet filter sees packets within a bridge.
const BRIDGE_RULES: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// The network of one worker, with or without rules.
#[derive(Debug)]
pub(crate) struct Guard {
    docker: Docker,
    pub(super) network: NetworkSpec,
    /// When the network was last seen. Only one job at a time checks it.
    seen: tokio::sync::Mutex<Option<Instant>>,
    firewall: Option<Arc<InstalledRules>>,
    _watch: Option<AbortOnDropHandle<()>>,
}

/// Rules that stay in force until the worker removes them. Only one task at a time changes them.
#[derive(Debug)]
struct InstalledRules {
    firewall: Firewall,
    is_down: tokio::sync::Mutex<bool>,
}

/// What the rules allow besides public addresses.
#[derive(Debug)]
pub(super) struct Openings {
    pub(super) allowed: Vec<Destination>,
    pub(super) resolvers: Resolvers,
}

/// Why there are no rules: one sentence with the problem and the fix.
pub(super) type Problem = String;

impl Guard {
    /// Makes the network and its rules. When the rules cannot be set, returns the problem and lets the caller decide.
    pub(super) async fn open(
        docker: &Docker,
        data: &DataDirectory,
        openings: Openings,
    ) -> Result<(Self, Option<Problem>), Fault> {
        let network = network_of(data);
        sweep(docker, &network.name).await;
        // Make the network again, because a network of an earlier process names that process as its owner. It stays while containers use
        // it.
        if let Err(fault) = docker.remove_network(&network.name).await {
            tracing::debug!(%fault, "cannot remove the network of an earlier process");
        }
        docker.ensure_network(&network).await?;
        let (firewall, problem) = match install(docker, data, &network, openings).await? {
            Ok(firewall) => (Some(Arc::new(InstalledRules { firewall, is_down: tokio::sync::Mutex::new(false) })), None),
            Err(problem) => (None, Some(problem)),
        };
        let watch = firewall.clone().map(|rules| AbortOnDropHandle::new(tokio::spawn(rules.watch())));
        let seen = tokio::sync::Mutex::default();
        Ok((Self { docker: docker.clone(), network, seen, firewall, _watch: watch }, problem))
    }

    /// Whether the network has rules.
    pub(super) fn has_rules(&self) -> bool {
        self.firewall.is_some()
    }

    /// Makes sure that the network exists, before a container needs it.
    pub(super) async fn ensure(&self) -> Result<(), Fault> {
        let mut seen = self.seen.lock().await;
        if seen.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        *seen = None;
        if self.docker.ensure_network(&self.network).await? {
            tracing::warn!("the network of jobs was missing; the worker made it again");
            if let Some(rules) = &self.firewall {
                // Somebody who removed the network may have removed the rules too.
                rules.firewall.install().await.map_err(|error| Fault::Host(format!("iptables: {error}")))?;
            }
        }
        *seen = Some(Instant::now());
        Ok(())
    }

    /// Checks that the network is still guarded.
    pub(super) async fn prove(&self) -> Result<(), Problem> {
        let Some(rules) = &self.firewall else { return Ok(()) };
        let missing = |fault: Fault| format!("cannot make the network of jobs ({fault}); see `asman doctor`");
        self.ensure().await.map_err(missing)?;
        let is_as_asked = self.docker.is_bridge_as_asked(&self.network).await.map_err(missing)?;
        if !is_as_asked || !is_visible(&self.docker, &self.network).await.map_err(missing)? {
            return Err("another engine answers now, and the worker cannot guard its network; start the worker again".to_owned());
        }
        rules.restore().await;
        prove(&rules.firewall).await
    }

    /// The rules, if there are any.
    pub(super) fn rules(&self) -> Option<&Firewall> {
        self.firewall.as_ref().map(|rules| &rules.firewall)
    }

    /// Removes the network and then its rules. If the network cannot be removed, both stay.
    pub(super) async fn close(&self) {
        let network = &self.network.name;
        match self.docker.remove_network(network).await {
            Ok(true) => {
                if let Some(rules) = &self.firewall {
                    rules.take_down().await;
                }
            }
            Ok(false) => tracing::info!(network, "containers still use the network of jobs, so it stays, with its rules"),
            Err(fault) => {
                tracing::warn!(%fault, network, "cannot remove the network of jobs; the next start of this worker removes it");
            }
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

/// Removes networks and rules of dead workers. The next start tries again what could not be removed.
async fn sweep(docker: &Docker, own: &str) {
    let here = Here::look();
    let networks = docker.worker_networks().await.unwrap_or_else(|fault| {
        tracing::debug!(%fault, "cannot list the networks of dead workers");
        Vec::new()
    });
    for WorkerNetwork { name, owner, created } in networks {
        let is_abandoned = name != own && is_abandoned(owner.as_deref(), Lasts::WithItsDataDirectory, created, here.as_ref());
        // A network that still has containers stays, even if its worker is dead.
        if is_abandoned && docker.remove_network(&name).await.is_ok_and(|is_removed| is_removed) {
            tracing::info!(network = name, "removed the network of a dead worker");
        }
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (firewall, owner) in Firewall::list().await {
        let is_own = own.strip_prefix(NAME_PREFIX) == Some(&firewall.id);
        // Rules without a readable owner stay. Rules also stay while the bridge exists, because containers may be behind it.
        let is_dead = owner.is_some_and(|owner| owner.life(Lasts::WithItsProcess, here.as_ref()) == Life::Dead);
        if !is_own && is_dead && !is_there(&firewall.bridge) {
            tracing::info!(id = firewall.id, "removing the rules of a dead worker");
            firewall.remove().await;
        }
    }
}

/// Whether this process's network namespace has an interface of that name. `/sys` may show the interfaces of another namespace.
fn is_there(bridge: &str) -> bool {
    let interfaces = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    interfaces.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name.trim() == bridge))
}

async fn install(
    docker: &Docker,
    data: &DataDirectory,
    network: &NetworkSpec,
    openings: Openings,
) -> Result<Result<Firewall, Problem>, Fault> {
    let engine = docker.dialect.noun();
    if docker.dialect.is_rootless() {
        return Ok(Err(format!(
            "{engine} runs without root, so the worker cannot set rules for its networks; use an engine that runs as root"
        )));
    }
    if !docker.is_bridge_as_asked(network).await? {
        return Ok(Err(format!(
            "{engine} made their network without a bridge that rules can be set for; use a Docker engine, or Podman from version 4"
        )));
    }
    if !is_visible(docker, network).await? {
        return Ok(Err(format!("the networks of {engine} are not on this machine; run the worker beside the engine")));
    }
    Ok(set_rules(data, network, openings).await)
}

/// Whether this process's network namespace has the bridge. Podman makes a bridge and its own rules for it only with the first container.
async fn is_visible(docker: &Docker, network: &NetworkSpec) -> Result<bool, Fault> {
    let mut labels = network.labels.clone();
    let data = labels.remove(LABEL_DATA).unwrap_or_default();
    labels.insert(LABEL_SANDBOX.to_owned(), data);
    let first = docker.make_bridge(&SandboxSpec { network: network.name.clone(), dns: Vec::new(), labels }).await?;
    let is_visible = is_there(&network.bridge);
    if let Some(id) = first {
        docker.remove_one(&id).await?;
    }
    Ok(is_visible)
}

async fn set_rules(data: &DataDirectory, network: &NetworkSpec, openings: Openings) -> Result<Firewall, Problem> {
    if !rustix::process::geteuid().is_root() {
        return Err("the worker may not set firewall rules; run it as root".to_owned());
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

/// Checks that the rules are in force.
async fn prove(firewall: &Firewall) -> Result<(), Problem> {
    match firewall.is_installed().await {
        Ok(true) => (),
        Ok(false) => return Err("iptables accepted the rules, but does not list them; see `iptables -S`".to_owned()),
        Err(error) => return Err(format!("cannot read the firewall rules ({error}); see `iptables -S`")),
    }
    // Without this setting, no rule applies to packets between two containers of a bridge.
    let passes = std::fs::read_to_string(BRIDGE_RULES).is_ok_and(|text| text.trim() == "1");
    let problem = "the kernel does not apply rules to bridged packets, so jobs would reach each other; run `modprobe br_netfilter` and `sysctl -w \
                net.bridge.bridge-nf-call-iptables=1`";
    passes.then_some(()).ok_or_else(|| problem.to_owned())
}

impl InstalledRules {
    /// Sets the rules again when somebody has flushed them, until the worker removes them.
    async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.restore().await {
                return;
            }
        }
    }

    /// Checks the rules once and sets them again if needed. Returns whether the worker has removed them.
    async fn restore(&self) -> bool {
        let is_down = self.is_down.lock().await;
        if *is_down {
            return true;
        }
        match self.firewall.is_installed().await {
            Ok(true) => (),
            Ok(false) => match self.firewall.install().await {
                Ok(()) => tracing::warn!("the firewall rules of jobs were missing; the worker set them again"),
                Err(error) => tracing::error!(%error, "the firewall rules of jobs are missing, and the worker cannot set them"),
            },
            Err(error) => tracing::error!(%error, "cannot read the firewall rules of jobs"),
        }
        false
    }

    async fn take_down(&self) {
        *self.is_down.lock().await = true;
        self.firewall.remove().await;
    }
}

/// The addresses and port of the API, which jobs may use.
pub(super) async fn destinations_of(api: &str) -> Vec<Destination> {
    let Ok(url) = reqwest::Url::parse(api) else { return Vec::new() };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Vec::new() };
    // When the name cannot be resolved now, jobs do not reach the API, but the worker still starts.
    let found = tokio::net::lookup_host((host, port)).await.into_iter().flatten();
    let v4 = found.filter_map(|address| if let SocketAddr::V4(address) = address { Some(address) } else { None });
    v4.filter(|address| !address.ip().is_loopback()).map(Destination::from).collect()
}
