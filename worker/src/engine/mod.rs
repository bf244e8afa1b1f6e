//! What runs jobs: an [`Executor`], the images of its containers, and their confinement.
//!
//! In: a container to create, or an image to make present. Out: the output of a run and how it ended ([`RunEnd`]).
//!
//! - The types here do not depend on an engine. `docker` is the only folder with the engine's client. `process` runs scripts without an
//!   engine. `dockerd` starts an engine.
//! - `images`: pulls and logins. `build`: from a definition's build block to an image.
//! - `isolation`: what confines a container, with its network and sandboxes. `confinement`: the types for that. `init`: whether a
//!   container gets an init. `gpus`: the gpus to offer.
//! - `probe`: checks that jobs can run here before the first is claimed. `folder_access`: access to files that a container wrote, for a
//!   worker that is not root.
//!
//! # Invariants
//!
//! - No container outlives its job. The next start after a crash finds what this one left by its labels.
//! - A definition never reaches the engine unchecked: references by the grammar of images, paths by the grammar of mounts.
//!
//! # Errors
//!
//! A [`Fault`] says whether the engine refused or is gone. [`ends`](crate::ends) decides whose fault that is.

pub(crate) mod build;
mod confinement;
mod docker;
mod dockerd;
pub(crate) mod folder_access;
mod gpus;
pub(crate) mod images;
mod init;
pub(crate) mod isolation;
pub(crate) mod probe;
mod process;

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::error::Error;
pub(crate) use confinement::{Confinement, ContainerLocation, EngineFacts, ImageFacts, NetworkSpec, SandboxSpec, WorkerNetwork};
pub(crate) use docker::{BuildOptions, Docker, Head, Helped, HelperSpec, Program, UnusedSandbox};
pub use dockerd::Dockerd;
pub use gpus::{Gpus, InvalidGpus};
pub use init::Init;
pub use isolation::{IsolationConfig, Network};
pub use probe::Need;
pub(crate) use process::Processes;

/// Runs jobs, each in a container or a process group.
///
/// The calls of one run come in this order: create, attach, start, wait (maybe with a stop during it), end, remove. Ids come from
/// `create` and `list`. Every call with an id may fail with [`Fault::Host`] when the run does not exist any more.
pub(crate) trait Executor: Debug + Send + Sync {
    /// The executor's name in the worker's description.
    fn name(&self) -> &'static str;

    /// The path at which a job finds a folder of this machine. `inside` is the path in a container.
    fn place(&self, folder: &Path, inside: &str) -> String;

    /// Checks that the executor answers.
    fn ping(&self) -> BoxFuture<'_, Result<(), Fault>>;

    /// Creates a run without starting it. Returns its id.
    fn create(&self, spec: ContainerSpec) -> BoxFuture<'_, Result<String, Fault>>;

    /// The output of a run from its start.
    fn attach<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>>;

    /// The recorded output of a started run, followed by its further output. The stream may end too early: the last output of a run
    /// is only in its [`record`](Self::record).
    fn replay<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>>;

    /// The recorded output of a run that has ended.
    fn record<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>>;

    /// Starts a run.
    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>>;

    /// Returns when a started run has ended.
    fn wait<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>>;

    /// Asks a run to end, and kills it after the grace.
    fn stop<'a>(&'a self, id: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), Fault>>;

    /// How long ago a run started, by this machine's clock.
    fn age<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Duration, Fault>>;

    /// How an ended run ended.
    fn end<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<RunEnd, Fault>>;

    /// Kills a run if it still runs, and removes it.
    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>>;

    /// The runs that workers of a data directory left.
    fn list<'a>(&'a self, data_label: &'a str) -> BoxFuture<'a, Result<Vec<Left>, Fault>>;
}

/// Output of a run, in the order in which it was read.
pub(crate) type Frames = BoxStream<'static, Result<Frame, Fault>>;

/// A run that an earlier worker process left.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) id: String,
    /// Its labels.
    pub(crate) labels: HashMap<String, String>,
    /// The run has started, and its output can be read again.
    pub(crate) can_go_on: bool,
}

/// Label with the job's id.
pub(crate) const LABEL_JOB: &str = "asman.job";
/// Label with the claim's epoch.
pub(crate) const LABEL_EPOCH: &str = "asman.epoch";
/// Label with the worker's id.
pub(crate) const LABEL_WORKER: &str = "asman.worker";
/// Label with the hash of the data directory's path. A start finds by it what earlier processes left.
pub(crate) const LABEL_DATA: &str = "asman.data";

/// Label of a network or sandbox with its worker's [`Owner`](crate::owner::Owner), so that another worker can remove it when its worker
/// is dead.
pub(crate) const LABEL_OWNER: &str = "asman.owner";

/// Label with the lock file of the worker's data directory, for people and for workers of an earlier version.
pub(crate) const LABEL_LOCK: &str = "asman.lock";

/// Label of a sandbox, with the value of [`LABEL_DATA`]. A sandbox does not have [`LABEL_DATA`] itself, because it is not a job's
/// container.
pub(crate) const LABEL_SANDBOX: &str = "asman.sandbox";

/// Why a call to the engine failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The engine refused. The status and the call decide whose fault it is: see [`ends`](crate::ends).
    #[error("{message}")]
    Refused {
        /// HTTP status of the engine. 500 for a failure inside a stream.
        status: u16,
        /// What the engine said.
        message: String,
    },
    /// The engine gave no answer, because it is gone or broken. Another machine may succeed.
    #[error("{0}")]
    Host(String),
}

/// A file or folder of the host in the container.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) is_read_only: bool,
}

/// A container to create.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerSpec {
    /// Id of a present image. Empty for an executor without images.
    pub(crate) image: String,
    /// None: the image's entrypoint.
    pub(crate) entrypoint: Option<Vec<String>>,
    /// None: the image's command.
    pub(crate) command: Option<Vec<String>>,
    pub(crate) workdir: Option<String>,
    /// `NAME=value` each.
    pub(crate) env: Vec<String>,
    pub(crate) mounts: Vec<Mount>,
    /// Cpus, at most as many as the machine has.
    pub(crate) cpus: f64,
    /// Memory and swap together.
    pub(crate) memory_bytes: u64,
    /// None: 64 MiB.
    pub(crate) shm_bytes: Option<u64>,
    /// The gpus of the container, by index or UUID.
    pub(crate) gpus: Vec<String>,
    /// The first process is the engine's init, which passes on signals and collects orphans.
    pub(crate) has_init: bool,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) confinement: Confinement,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunEnd {
    pub(crate) exit_code: i64,
    /// From its start to its end, by the engine's clock.
    pub(crate) duration: Duration,
    /// The kernel killed a process of the run because memory ran out.
    pub(crate) is_out_of_memory: bool,
}

/// Some bytes that a container wrote. A frame may end inside a line.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) is_stderr: bool,
    pub(crate) bytes: Bytes,
}

/// One message about a pull's progress.
#[derive(Clone, Debug)]
pub(crate) struct PullProgress {
    /// Layer, or empty for the whole image.
    pub(crate) layer: String,
    pub(crate) status: String,
}

/// One message of a build.
#[derive(Clone, Debug)]
pub(crate) enum BuildWord {
    /// Output of the builder and the commands. It may end inside a line.
    Output(String),
    /// Progress of the pull of a base image.
    Progress(String),
    /// Steps of `BuildKit`.
    Steps(Vec<BuildStep>),
    /// None of these.
    Nothing,
}

/// One message of `BuildKit` about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BuildStep {
    /// The step began. Its name is for example `[stage-0 2/3] RUN true`.
    Begun { id: String, name: String },
    /// The step's result comes from an earlier build.
    Cached { id: String, name: String },
    /// Output of its command. It may end inside a line.
    Output { id: String, text: String },
    /// The step ended, with an error if it failed.
    Ended { id: String, error: Option<String> },
}

/// A login for a registry.
#[derive(Clone)]
pub(crate) struct Login {
    /// Host and port.
    pub(crate) registry: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// The password is a token that stands for a user.
    pub(crate) is_token: bool,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Version of the Docker engine that a worker uses.
pub async fn docker_version() -> Result<String, Error> {
    Docker::connect().await?.version().await.map_err(|fault| Error::Docker(fault.to_string()))
}

/// Runtimes of the Docker engine.
pub async fn docker_runtimes() -> Result<Vec<String>, Error> {
    let facts = Docker::connect().await?.facts().await.map_err(|fault| Error::Docker(fault.to_string()))?;
    Ok(facts.runtimes)
}

/// Makes an image from the tar of a root file system, without a registry.
pub async fn import_image(reference: &str, rootfs_tar: Vec<u8>) -> Result<(), Error> {
    let reference = reference.parse().map_err(|error: crate::engine::images::InvalidImage| Error::Config(error.to_string()))?;
    let docker = Docker::connect().await?;
    docker.import(&reference, rootfs_tar).await.map_err(|fault| Error::Docker(fault.to_string()))
}
