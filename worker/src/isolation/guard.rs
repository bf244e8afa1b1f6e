//! The network of one worker's jobs and the rules around it, from its start to its end.
//!
//! One bridge network per data directory, so what one worker lets through holds for no other. Both are found again by name after a
//! crash; those of a data directory that nobody uses any more are removed by whoever starts next on the machine, since the engine
//! has addresses for some thirty networks only. At the end they go, unless containers still use the network; then the rules stay with
//! it. Somebody may prune networks or flush rules while the worker runs: the network is looked for before each container, the
//! rules every [`LOOK_EVERY`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use super::addresses::is_public;
use super::destination::Destination;
use super::firewall::Firewall;
use super::resolvers::Resolvers;
use crate::data_directory::DataDirectory;
use crate::executor::{Docker, Fault, LABEL_DATA, LABEL_LOCK, NetworkSpec};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A network that was there so short a time ago is not looked for again: jobs that start together look once.
const FRESH: Duration = Duration::from_millis(500);
/// Characters of the data directory's label in names: the kernel takes 15 for a bridge.
const ID_CHARS: usize = 12;
const NAME_PREFIX: &str = "asman-";

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
        sweep(docker, &network.name).await?;
        docker.ensure_network(&network).await?;
        let (firewall, lack) = match install(&network, openings).await {
            Ok(firewall) => (Some(Arc::new(Standing { firewall, is_down: tokio::sync::Mutex::new(false) })), None),
            Err(lack) => (None, Some(lack)),
        };
        let watch = firewall.clone().map(|standing| AbortOnDropHandle::new(tokio::spawn(standing.watch())));
        let seen = tokio::sync::Mutex::default();
        Ok((Self { docker: docker.clone(), network, seen, firewall, _watch: watch }, lack))
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
    let lock = data.lock_file().to_string_lossy().into_owned();
    NetworkSpec {
        name: format!("{NAME_PREFIX}{id}"),
        bridge: format!("asm{id}"),
        labels: HashMap::from([(LABEL_DATA.to_owned(), label.clone()), (LABEL_LOCK.to_owned(), lock)]),
    }
}

/// Removes the networks of workers that are no more, and rules without a network.
async fn sweep(docker: &Docker, own: &str) -> Result<(), Fault> {
    // Rules are set after their network was made: listed in this order, those of a worker that starts now are not orphans.
    let rules = if rustix::process::geteuid().is_root() { Firewall::list().await } else { Vec::new() };
    let mut kept = vec![own.to_owned()];
    for (network, lock) in docker.networks_with(LABEL_LOCK).await? {
        // A network that still has containers stays, whatever became of its worker.
        let is_dead = network != own && !is_locked(Path::new(&lock));
        if is_dead && docker.remove_network(&network).await.is_ok_and(|is_removed| is_removed) {
            tracing::info!(network, "network of a worker that is no more is removed");
        } else {
            kept.push(network);
        }
    }
    for firewall in rules {
        if !kept.iter().any(|name| name.strip_prefix(NAME_PREFIX) == Some(&firewall.id)) {
            tracing::info!(id = firewall.id, "rules of a worker that is no more are removed");
            firewall.remove().await;
        }
    }
    Ok(())
}

/// Whether a process holds a lock on a file. Asked without taking it, which could keep its owner from starting.
pub(super) fn is_locked(path: &Path) -> bool {
    let Ok(about) = std::fs::metadata(path) else { return false };
    // What cannot be known is taken for alive.
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else { return true };
    let inode = format!(":{}", about.ino());
    locks.lines().any(|line| line.split_whitespace().any(|word| word.ends_with(&inode)))
}

async fn install(network: &NetworkSpec, openings: Openings) -> Result<Firewall, Lack> {
    if !Path::new("/sys/class/net").join(&network.bridge).exists() {
        return Err("the Docker engine's networks are not on this machine; run the worker beside the engine".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("the worker may not set rules of the packet filter; run it as root".to_owned());
    }
    let Some(mut firewall) = Firewall::find(network.name[NAME_PREFIX.len()..].to_owned(), network.bridge.clone()) else {
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

impl Standing {
    /// Puts the rules back when somebody has flushed them, until they are taken down.
    async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let is_down = self.is_down.lock().await;
            if *is_down {
                return;
            }
            match self.firewall.is_installed().await {
                Ok(true) => (),
                Ok(false) => match self.firewall.install().await {
                    Ok(()) => tracing::warn!("the rules of the network of jobs were gone and are there again"),
                    Err(error) => tracing::error!(%error, "the rules of the network of jobs are gone and cannot be set"),
                },
                Err(error) => tracing::error!(%error, "the rules of the network of jobs cannot be read"),
            }
        }
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
