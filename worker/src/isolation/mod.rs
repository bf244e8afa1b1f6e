//! How far the jobs of a worker are kept from its machine, its networks and each other.
//!
//! Two stances: *trusted*, the default, for the owner's own queue, and *untrusted*, for strangers. Decided once at start and said in
//! the log. An untrusted worker does not start where one of its guards is missing; a trusted one says what is not guarded.
//!
//! In: [`IsolationConfig`] and what the engine says of itself. Out: a [`Confinement`] for each container.

mod abandoned;
mod addresses;
mod config;
mod destination;
mod disk;
mod firewall;
mod guard;
mod jumps;
mod registries;
mod resolvers;
mod sandbox;
mod secrets;
mod versions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use config::{IsolationConfig, Network};
pub use destination::{Destination, InvalidDestination};
pub(crate) use disk::{Room, Writer, Writers};
pub(crate) use registries::ForbiddenRegistry;
pub use registries::{InvalidRegistryHost, RegistryHost};
pub(crate) use sandbox::Place;
pub use secrets::{InvalidSecret, SecretSource};

use crate::data_directory::DataDirectory;
use crate::error::Error;
use crate::executor::{Confinement, Docker, EngineFacts, Fault, ImageFacts};
use crate::image::ImageReference;
use guard::{Guard, Lack, Openings, destinations_of};
use resolvers::Resolvers;
use sandbox::Sandboxes;

/// Docker's own default capabilities without `NET_RAW` (forged packets on the shared bridge) and `MKNOD`.
const CAPABILITIES: [&str; 12] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// What a root of its container needs to install packages and to end its own processes.
const CAPABILITIES_UNTRUSTED: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"];
/// Runs a kernel of its own between a job and this machine's.
const GVISOR: &str = "runsc";
/// The engine's runtimes that share this machine's kernel with the job.
const SHARED_KERNEL: [&str; 4] = ["runc", "io.containerd.runc.v2", "crun", "nvidia"];
/// `nobody`, where root of a container would be root of this machine.
const NOBODY: &str = "65534:65534";

/// The engine of a worker that runs containers, and how those are kept in.
#[derive(Debug)]
pub(crate) struct Containers {
    pub(crate) docker: Docker,
    pub(crate) isolation: Isolation,
}

/// What holds for all jobs of a worker.
#[derive(Debug)]
pub(crate) struct Isolation {
    config: IsolationConfig,
    runtime: Option<String>,
    resolvers: Resolvers,
    guard: Option<Guard>,
    /// None: containers have no network, or a network stack of their own in front of it.
    sandboxes: Option<Sandboxes>,
    /// Most that a job may write.
    pub(crate) disk_bytes: u64,
    /// Root of a container is root of this machine: a stranger must not be.
    refuses_root: bool,
    /// The engine's builder takes no runtime: it would run strangers' commands on this machine's kernel, which the owner has not
    /// allowed.
    refuses_builds: bool,
    /// The engine refused to bound a root file system, or its storage cannot.
    cannot_bound_rootfs: AtomicBool,
    /// What the running jobs write.
    pub(crate) writers: Arc<Writers>,
}

impl Isolation {
    /// Chooses, makes the network and its rules, and says which stance holds.
    pub(crate) async fn open(config: &IsolationConfig, api: &str, docker: &Docker, data: &DataDirectory) -> Result<Self, Error> {
        let refused = |fault: Fault| Error::Docker(fault.to_string());
        let engine = docker.facts().await.map_err(refused)?;
        let runtime = choose_runtime(config, &engine)?;
        let resolvers = Resolvers::choose(&config.dns, config.untrusted);
        let mut isolation = Self {
            disk_bytes: config.disk_bytes()?,
            refuses_root: config.untrusted && !engine.has_user_namespaces && shares_kernel(runtime.as_deref(), &engine),
            refuses_builds: config.untrusted && !shares_kernel(runtime.as_deref(), &engine) && shares_kernel(None, &engine),
            cannot_bound_rootfs: AtomicBool::new(!engine.may_bound_rootfs),
            writers: Arc::default(),
            config: config.clone(),
            runtime,
            resolvers,
            guard: None,
            sandboxes: None,
        };
        sandbox::sweep(docker, data).await.map_err(refused)?;
        if config.network == Network::Guarded {
            let openings = isolation.openings(api).await;
            let (guard, lack) = Guard::open(docker, data, openings).await.map_err(refused)?;
            if let Some(lack) = lack {
                isolation.without_rules(&guard, lack).await?;
            }
            isolation.guard = Some(guard);
        }
        isolation.sandboxes = match isolation.open_sandboxes(docker, data, &engine).await {
            Ok(sandboxes) => sandboxes,
            Err(fault) => {
                isolation.close().await;
                return Err(refused(fault));
            }
        };
        isolation.say(&engine);
        Ok(isolation)
    }

    /// What jobs may reach although it is private.
    async fn openings(&self, api: &str) -> Openings {
        let mut allowed = self.config.network_allow.clone();
        if !self.config.untrusted {
            allowed.extend(destinations_of(api).await);
        }
        Openings { allowed, resolvers: self.resolvers.clone() }
    }

    async fn open_sandboxes(
        &self,
        docker: &Docker,
        data: &DataDirectory,
        engine: &EngineFacts,
    ) -> Result<Option<Sandboxes>, Fault> {
        if self.config.network == Network::None || !shares_kernel(self.runtime.as_deref(), engine) {
            return Ok(None);
        }
        Ok(Some(Sandboxes::open(docker, data, self.network().await?, self.dns())))
    }

    async fn without_rules(&self, guard: &Guard, lack: Lack) -> Result<(), Error> {
        let sentence = format!("jobs can reach this machine and its private networks: {lack}, or use --network none");
        if self.config.untrusted {
            guard.close().await;
            return Err(Error::Lack(sentence));
        }
        tracing::warn!("{sentence}");
        Ok(())
    }

    fn say(&self, engine: &EngineFacts) {
        let stance = if self.config.untrusted { "untrusted" } else { "trusted" };
        let runtime = self.runtime.as_deref().unwrap_or(&engine.default_runtime);
        let network = match (self.config.network, &self.guard) {
            (Network::Guarded, Some(guard)) if guard.has_rules() => "guarded",
            (Network::Guarded, _) => "not guarded",
            (Network::None, _) => "none",
            (Network::Open, _) => "open",
        };
        tracing::info!(stance, runtime, network, disk = %self.config.disk, pids = self.config.pids, "jobs are isolated");
        if self.config.untrusted && shares_kernel(self.runtime.as_deref(), engine) {
            tracing::warn!(
                runtime,
                "STRANGERS' JOBS SHARE THIS MACHINE'S KERNEL: one hole in it or in the runtime gives them the machine"
            );
        }
        // They matter where jobs share this machine's kernel; in gVisor they are for those who look closely.
        let is_exposed = shares_kernel(self.runtime.as_deref(), engine);
        for sentence in versions::warnings(engine) {
            if is_exposed {
                tracing::warn!("{sentence}");
            } else {
                tracing::debug!("{sentence}");
            }
        }
    }

    /// Removes the network and its rules, and what was made ahead.
    pub(crate) async fn close(&self) {
        if let Some(sandboxes) = &self.sandboxes {
            sandboxes.close().await;
        }
        if let Some(guard) = &self.guard {
            guard.close().await;
        }
    }

    /// Whether strangers' jobs run here.
    pub(crate) fn is_untrusted(&self) -> bool {
        self.config.untrusted
    }

    /// Whether a build would be less confined than a job.
    pub(crate) fn refuses_builds(&self) -> bool {
        self.refuses_builds
    }

    /// Whether an image may be fetched, present or not: strangers name public registries, and those that the owner has named.
    pub(crate) async fn check_registry(&self, image: &ImageReference) -> Result<(), ForbiddenRegistry> {
        if self.config.untrusted { registries::check(image, &self.config.allow_registry).await } else { Ok(()) }
    }

    /// Most processes and threads of a job.
    pub(crate) fn pids(&self) -> u32 {
        self.config.pids
    }

    /// The network for a container, which is there when this returns: for jobs and for builds.
    pub(crate) async fn network(&self) -> Result<String, Fault> {
        match (&self.guard, self.config.network) {
            (Some(guard), _) => guard.ensure().await.map(|()| guard.network.name.clone()),
            (None, Network::None) => Ok("none".to_owned()),
            (None, _) => Ok("bridge".to_owned()),
        }
    }

    /// Whether what an image says about its containers matters.
    pub(crate) fn needs_image_facts(&self) -> bool {
        self.refuses_root && self.config.user.is_none()
    }

    /// What holds for a container of an image.
    pub(crate) async fn confinement(&self, image: &ImageFacts) -> Result<Confinement, Fault> {
        let capabilities: &[&str] = if self.config.untrusted { &CAPABILITIES_UNTRUSTED } else { &CAPABILITIES };
        let added = self.config.cap_add.iter().map(String::as_str);
        let mut capabilities: Vec<_> = capabilities.iter().copied().chain(added).map(str::to_owned).collect();
        capabilities.dedup();
        Ok(Confinement {
            runtime: self.runtime.clone(),
            network: self.network().await?,
            dns: self.dns(),
            capabilities,
            user: self.user(image),
            pids: self.config.pids,
            is_read_only: self.config.read_only_rootfs,
            rootfs_bytes: (!self.cannot_bound_rootfs.load(Ordering::Relaxed)).then_some(self.disk_bytes),
        })
    }

    /// A place for a container that is about to be started.
    pub(crate) async fn enter(&self) -> Option<Place> {
        match &self.sandboxes {
            Some(sandboxes) => Some(sandboxes.enter().await),
            None => None,
        }
    }

    fn dns(&self) -> Vec<String> {
        let servers =
            self.resolvers.servers.iter().filter(|_| self.resolvers.is_own_choice && self.config.network != Network::None);
        servers.map(ToString::to_string).collect()
    }

    /// A name may stand for root in the image's own list of users: only a number is believed.
    fn user(&self, image: &ImageFacts) -> Option<String> {
        if self.config.user.is_some() || !self.refuses_root {
            return self.config.user.clone();
        }
        let is_root = !config::is_user(&image.user) || image.user.split(':').any(|id| id.trim_start_matches('0').is_empty());
        Some(if is_root { NOBODY.to_owned() } else { image.user.clone() })
    }

    /// The engine refused to bound a root file system: it is not asked again. Whether that is news.
    pub(crate) fn note_unbounded_rootfs(&self) -> bool {
        !self.cannot_bound_rootfs.swap(true, Ordering::Relaxed)
    }

    /// What containers read as their `resolv.conf`. None: the engine writes it.
    pub(crate) fn resolver_file(&self) -> Option<String> {
        let has_own_stack = self.runtime.as_deref().is_some_and(|runtime| !SHARED_KERNEL.contains(&runtime));
        (self.guard.is_some() && has_own_stack).then(|| self.resolvers.file())
    }
}

fn choose_runtime(config: &IsolationConfig, engine: &EngineFacts) -> Result<Option<String>, Error> {
    let is_there = |name: &str| engine.runtimes.iter().any(|runtime| runtime == name);
    match &config.runtime {
        Some(name) if is_there(name) => Ok(Some(name.clone())),
        Some(name) => Err(Error::Lack(format!("the Docker engine has no runtime {name:?}; it has {}", engine.runtimes.join(", ")))),
        None if !config.untrusted => Ok(None),
        None if is_there(GVISOR) => Ok(Some(GVISOR.to_owned())),
        None => Err(Error::Lack(
            "--untrusted needs gVisor: install `runsc` and register it with the Docker engine (`runsc install`, then restart the \
             engine), or name another runtime with --runtime; runc shares this machine's kernel with strangers"
                .to_owned(),
        )),
    }
}

fn shares_kernel(runtime: Option<&str>, engine: &EngineFacts) -> bool {
    SHARED_KERNEL.contains(&runtime.unwrap_or(&engine.default_runtime))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(runtimes: &[&str]) -> EngineFacts {
        let runtimes: Vec<_> = runtimes.iter().map(|name| (*name).to_owned()).collect();
        EngineFacts { default_runtime: "runc".to_owned(), runtimes, ..EngineFacts::default() }
    }

    fn config(untrusted: bool, runtime: Option<&str>) -> IsolationConfig {
        IsolationConfig { untrusted, runtime: runtime.map(str::to_owned), ..IsolationConfig::default() }
    }

    #[test]
    fn strangers_get_gvisor_or_what_the_owner_names() {
        let choose = |untrusted, runtime, runtimes: &[&str]| choose_runtime(&config(untrusted, runtime), &engine(runtimes));
        assert_eq!(choose(false, None, &["runc", "runsc"]).unwrap(), None);
        assert_eq!(choose(true, None, &["runc", "runsc"]).unwrap().as_deref(), Some("runsc"));
        assert_eq!(choose(true, Some("runc"), &["runc"]).unwrap().as_deref(), Some("runc"));
        let lack = choose(true, None, &["runc"]).unwrap_err();
        assert!(matches!(&lack, Error::Lack(sentence) if sentence.contains("runsc install")), "{lack}");
        assert!(choose(false, Some("kata"), &["runc"]).unwrap_err().to_string().contains("no runtime \"kata\"; it has runc"));
    }
}
