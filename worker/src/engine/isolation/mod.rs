//! Isolates the jobs of a worker from its machine, its networks and each other.
//!
//! There are two stances: *trusted*, the default, for the owner's own queue, and *untrusted*, for strangers. The worker chooses one at its
//! start and logs it. An untrusted worker does not start when one of its guards is missing. A trusted worker logs what is not guarded.
//!
//! In: [`IsolationConfig`] and what the engine reports about itself. Out: a [`Confinement`] for each container.

mod abandoned;
mod builds;
mod config;
mod guard;
mod opening;
mod sandbox;
mod versions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use builds::BuildGuard;
pub use config::{IsolationConfig, Network};
pub(crate) use sandbox::PendingStart;

use crate::disk::Writers;
use crate::engine::images::ImageReference;
use crate::engine::probe::Probe;
use crate::engine::{Confinement, Docker, Fault, ImageFacts};
use crate::network::{ForbiddenRegistry, Resolvers, check_registry};
use guard::Guard;
pub(crate) use opening::Wants;
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
/// The capabilities that root in a container needs to install packages and to end its own processes.
const CAPABILITIES_UNTRUSTED: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"];
/// The engine's runtimes that share this machine's kernel with the job.
const SHARED_KERNEL: [&str; 4] = ["runc", "io.containerd.runc.v2", "crun", "nvidia"];
/// The user `nobody`, for containers whose root would be root of this machine.
const NOBODY: &str = "65534:65534";

/// The isolation of all jobs of a worker.
#[derive(Debug)]
pub(crate) struct Isolation {
    config: IsolationConfig,
    runtime: Option<String>,
    resolvers: Resolvers,
    guard: Option<Guard>,
    /// None means that containers have no network, or that their runtime has a network stack of its own.
    sandboxes: Option<Sandboxes>,
    /// Most that a job may write.
    pub(crate) disk_bytes: u64,
    /// Root in a container is root of this machine, so jobs of strangers must not run as root.
    refuses_root: bool,
    /// Builds are refused. The engine's builder cannot use the runtime of jobs, so it would run commands of strangers on this machine's
    /// kernel, and the owner has not allowed that.
    refuses_builds: bool,
    /// The engine cannot limit the size of a root file system, or has refused to.
    cannot_bound_rootfs: AtomicBool,
    /// What the running jobs write.
    pub(crate) writers: Arc<Writers>,
    probe: Option<Probe>,
}

impl Isolation {
    /// Removes the network, its rules and the prepared sandboxes.
    pub(crate) async fn close(&self) {
        if let Some(sandboxes) = &self.sandboxes {
            sandboxes.close().await;
        }
        if let Some(guard) = &self.guard {
            guard.close().await;
        }
    }

    /// Whether jobs of strangers run here.
    pub(crate) fn is_untrusted(&self) -> bool {
        self.config.untrusted
    }

    /// Whether a build would be less confined than a job.
    pub(crate) fn refuses_builds(&self) -> bool {
        self.refuses_builds
    }

    /// Checks that a job may use an image, even if it is present: strangers may use public registries and those that the owner allows.
    pub(crate) async fn check_registry(&self, image: &ImageReference) -> Result<(), ForbiddenRegistry> {
        if self.config.untrusted { check_registry(image, &self.config.allow_registry).await } else { Ok(()) }
    }

    /// Most processes and threads of a job.
    pub(crate) fn pids(&self) -> u32 {
        self.config.pids
    }

    /// The network for jobs and builds. It exists when this returns.
    pub(crate) async fn network(&self) -> Result<String, Fault> {
        match (&self.guard, self.config.network) {
            (Some(guard), _) => guard.ensure().await.map(|()| guard.network.name.clone()),
            (None, Network::None) => Ok("none".to_owned()),
            (None, _) => Ok("bridge".to_owned()),
        }
    }

    /// Rules around a build on the engine's default bridge. None if the worker has set no rules.
    pub(crate) async fn guard_build(&self, docker: &Docker) -> Result<Option<BuildGuard>, String> {
        match self.guard.as_ref().and_then(Guard::rules) {
            Some(rules) => BuildGuard::open(rules, docker).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether the isolation depends on the image's settings.
    pub(crate) fn needs_image_facts(&self) -> bool {
        self.refuses_root && self.config.user.is_none()
    }

    /// The confinement of a container of an image.
    pub(crate) async fn confinement(&self, image: &ImageFacts) -> Result<Confinement, Fault> {
        Ok(self.rights(image, self.network().await?))
    }

    fn rights(&self, image: &ImageFacts, network: String) -> Confinement {
        let capabilities: &[&str] = if self.config.untrusted { &CAPABILITIES_UNTRUSTED } else { &CAPABILITIES };
        let added = self.config.cap_add.iter().map(String::as_str);
        let mut capabilities: Vec<_> = capabilities.iter().copied().chain(added).map(str::to_owned).collect();
        capabilities.dedup();
        Confinement {
            runtime: self.runtime.clone(),
            network,
            dns: self.dns(),
            capabilities,
            user: self.user(image),
            pids: self.config.pids,
            is_read_only: self.config.read_only_rootfs,
            rootfs_bytes: (!self.cannot_bound_rootfs.load(Ordering::Relaxed)).then_some(self.disk_bytes),
        }
    }

    /// Announces that a container will be started, and gives it a sandbox if one is ready.
    pub(crate) async fn begin_start(&self) -> Option<PendingStart> {
        match &self.sandboxes {
            Some(sandboxes) => Some(sandboxes.begin_start().await),
            None => None,
        }
    }

    fn dns(&self) -> Vec<String> {
        let servers =
            self.resolvers.servers.iter().filter(|_| self.resolvers.is_own_choice && self.config.network != Network::None);
        servers.map(ToString::to_string).collect()
    }

    /// The user of a container. Only a number is accepted from an image, because a name may mean root in the image's own list of users.
    fn user(&self, image: &ImageFacts) -> Option<String> {
        if self.config.user.is_some() || !self.refuses_root {
            return self.config.user.clone();
        }
        let is_root = !config::is_user(&image.user) || image.user.split(':').any(|id| id.trim_start_matches('0').is_empty());
        Some(if is_root { NOBODY.to_owned() } else { image.user.clone() })
    }

    /// Records that the engine refused to limit a root file system, so that it is not asked again. Returns false if that was recorded
    /// already.
    pub(crate) fn note_unbounded_rootfs(&self) -> bool {
        !self.cannot_bound_rootfs.swap(true, Ordering::Relaxed)
    }

    /// The `resolv.conf` of containers. None when the engine writes it.
    pub(crate) fn resolver_file(&self) -> Option<String> {
        let has_own_stack = self.runtime.as_deref().is_some_and(|runtime| !SHARED_KERNEL.contains(&runtime));
        (self.guard.is_some() && has_own_stack).then(|| self.resolvers.file())
    }
}
