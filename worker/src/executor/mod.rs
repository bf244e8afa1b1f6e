//! What runs jobs: the [`Executor`], what it is given, how a run ends, and whose fault a failure is.
//!
//! The types here name no engine. `docker` is the only module that names the engine's client; `process` runs scripts without one.

mod confinement;
mod docker;
mod process;

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::error::Error;
pub(crate) use confinement::{Confinement, EngineFacts, ImageFacts, NetworkSpec, SandboxSpec, Whereabouts, WorkerNetwork};
pub(crate) use docker::{BuildOptions, Docker, Head, Helped, HelperSpec, Program, UnusedSandbox};
pub(crate) use process::Processes;

/// Runs jobs, one container or process group each.
///
/// The order of calls about one run is create, attach, start, wait (with a stop in it, perhaps), ending, remove. Ids come from
/// `create` and `list`; every call about an id may fail with [`Fault::Host`] when the run has vanished.
pub(crate) trait Executor: Debug + Send + Sync {
    /// As a worker describes itself.
    fn name(&self) -> &'static str;

    /// Where a job finds a folder of this machine; `inside` is its place in a container.
    fn place(&self, folder: &Path, inside: &str) -> String;

    /// Whether it answers.
    fn ping(&self) -> BoxFuture<'_, Result<(), Fault>>;

    /// Makes a run that is not started and gives its id.
    fn create(&self, spec: ContainerSpec) -> BoxFuture<'_, Result<String, Fault>>;

    /// Everything that a run writes from its start on.
    fn attach<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>>;

    /// Everything that a started run has written, from the oldest that is kept, and goes on writing. It may end too early: what a
    /// run wrote last is in its [`record`](Self::record) alone.
    fn replay<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>>;

    /// Everything that a run which has ended has written, from the oldest that is kept.
    fn record<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>>;

    /// Starts a run.
    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>>;

    /// Returns when a started run has ended.
    fn wait<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>>;

    /// Asks a run to end, and kills it after the grace.
    fn stop<'a>(&'a self, id: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), Fault>>;

    /// How long ago a started run began, by this machine's clock.
    fn age<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Duration, Fault>>;

    /// How a run that has ended did so.
    fn ending<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Ending, Fault>>;

    /// Kills a run if it goes on and removes all of it.
    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>>;

    /// What workers of a data directory left.
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
    /// It runs or has run, and its output can be read again.
    pub(crate) can_go_on: bool,
}

/// Label with the job's id.
pub(crate) const LABEL_JOB: &str = "asman.job";
/// Label with the claim's epoch.
pub(crate) const LABEL_EPOCH: &str = "asman.epoch";
/// Label with the worker's id.
pub(crate) const LABEL_WORKER: &str = "asman.worker";
/// Label with the hash of the data directory's path: what a start sweeps by.
pub(crate) const LABEL_DATA: &str = "asman.data";

/// Label of a network or sandbox with its worker's [`Owner`](crate::owner::Owner): who starts next to a dead worker tidies up.
pub(crate) const LABEL_OWNER: &str = "asman.owner";

/// Label with the lock file of the worker's data directory: for people who look, and for workers of an earlier version.
pub(crate) const LABEL_LOCK: &str = "asman.lock";

/// Label of a sandbox; its value is that of [`LABEL_DATA`], which a sandbox does not have: it is no job's.
pub(crate) const LABEL_SANDBOX: &str = "asman.sandbox";

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It answered with a refusal. Whose fault that is, the status and what was asked tell: see [`ends`](crate::ends).
    #[error("{message}")]
    Refused {
        /// HTTP status of the engine; 500 for a failure inside a stream.
        status: u16,
        /// In its own words.
        message: String,
    },
    /// There is no answer: it is gone or broken, and another machine may do better.
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
    /// Id of an image that is present; empty for an executor without images.
    pub(crate) image: String,
    /// None: the image's own.
    pub(crate) entrypoint: Option<Vec<String>>,
    /// None: the image's own.
    pub(crate) command: Option<Vec<String>>,
    pub(crate) workdir: Option<String>,
    /// `NAME=value` each.
    pub(crate) env: Vec<String>,
    pub(crate) mounts: Vec<Mount>,
    /// More than the machine has is cut to that.
    pub(crate) cpus: f64,
    /// Memory and swap together.
    pub(crate) memory_bytes: u64,
    /// None: 64 MiB.
    pub(crate) shm_bytes: Option<u64>,
    /// The gpus it sees, by index or UUID.
    pub(crate) gpus: Vec<String>,
    /// Its first process is one of the engine's own, which passes signals on and collects orphans.
    pub(crate) has_init: bool,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) confinement: Confinement,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) exit_code: i64,
    /// From its start to its end, by the engine's clock.
    pub(crate) duration: Duration,
    /// The kernel killed a process in it for memory.
    pub(crate) is_out_of_memory: bool,
}

/// Some bytes that a container wrote; lines are cut anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) is_stderr: bool,
    pub(crate) bytes: Bytes,
}

/// One word of a pull's progress.
#[derive(Clone, Debug)]
pub(crate) struct PullProgress {
    /// Layer, or empty for the whole.
    pub(crate) layer: String,
    pub(crate) status: String,
}

/// One word of a build.
#[derive(Clone, Debug)]
pub(crate) enum BuildWord {
    /// What the builder and the commands wrote; lines are cut anywhere.
    Output(String),
    /// Of the pull of a base image.
    Progress(String),
    /// What `BuildKit` does.
    Steps(Vec<BuildStep>),
    /// Neither.
    Nothing,
}

/// One word of `BuildKit` about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BuildStep {
    /// It began, with its name, such as `[stage-0 2/3] RUN true`.
    Begun { id: String, name: String },
    /// It is as it was in an earlier build.
    Cached { id: String, name: String },
    /// What its command wrote; lines are cut anywhere.
    Output { id: String, text: String },
    /// It ended, with what went wrong if something did.
    Ended { id: String, error: Option<String> },
}

/// Who asks a registry.
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

/// Version of the Docker engine that a worker would use.
pub async fn docker_version() -> Result<String, Error> {
    Docker::connect().await?.version().await.map_err(|fault| Error::Docker(fault.to_string()))
}

/// Runtimes that this engine can run containers in.
pub async fn docker_runtimes() -> Result<Vec<String>, Error> {
    let facts = Docker::connect().await?.facts().await.map_err(|fault| Error::Docker(fault.to_string()))?;
    Ok(facts.runtimes)
}

/// Makes an image from the tar of a root file system, without a registry.
pub async fn import_image(reference: &str, rootfs_tar: Vec<u8>) -> Result<(), Error> {
    let reference = reference.parse().map_err(|error: crate::image::InvalidImage| Error::Config(error.to_string()))?;
    let docker = Docker::connect().await?;
    docker.import(&reference, rootfs_tar).await.map_err(|fault| Error::Docker(fault.to_string()))
}
