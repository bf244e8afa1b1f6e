//! What runs jobs: an [`Engine`], the images of its jobs, and their confinement.
//!
//! In: a [`Job`] and a [`ContainerSpec`] for it. Out: the output of a run and how it ended ([`RunEnd`]).
//!
//! - `traits` and `files`: the traits through which the rest of the worker uses an engine: [`Engine`], [`Runs`] for the life of a run,
//!   [`Files`] for the files of a job, and [`Images`] for an engine that has images. `job`, `spec`, `words`, `fault`: the types of these
//!   traits. None of these files names a particular engine.
//! - `containers`: containers in a Docker engine. `docker` is the only folder with the engine's client. `dockerd` starts an engine.
//! - `process`: scripts, as processes of this machine.
//! - `images`: pulls and logins. `build`: from a definition's build block to an image.
//! - `isolation`: what confines a container, with its network and sandboxes. `confinement`: the types for that. `init`: whether a
//!   container gets an init. `gpus`: the gpus to offer.
//! - `probe`: checks that jobs can run here before the first is claimed. `refusals`: what a refusal means.
//!
//! # Invariants
//!
//! - No container outlives its job. After a crash, the next start of the worker finds the remaining containers by their labels.
//! - A definition never reaches an engine unchecked: the worker checks references by the grammar of images, and paths by the grammar of
//!   mounts.
//! - The module `run` uses only the traits, never a particular engine.
//!
//! # Errors
//!
//! A [`Fault`] says whether the engine refused or is gone. `refusals` finds its end code, which says whose fault it is.

pub(crate) mod build;
mod confinement;
mod containers;
mod docker;
mod dockerd;
mod fault;
mod files;
mod gpus;
pub(crate) mod images;
mod init;
pub(crate) mod isolation;
mod job;
pub(crate) mod probe;
mod process;
pub(crate) mod refusals;
mod spec;
mod traits;
mod words;

use crate::error::Error;
pub(crate) use confinement::{Confinement, ContainerLocation, EngineFacts, ImageFacts, NetworkSpec, SandboxSpec, WorkerNetwork};
pub(crate) use containers::{ContainerConfig, Containers};
pub(crate) use docker::{BuildOptions, Docker, Head, Helped, HelperSpec, Program, UnusedSandbox};
pub use dockerd::Dockerd;
pub(crate) use fault::Fault;
pub(crate) use files::{Files, LocalFiles, Outputs, Places, SharedDisk};
pub use gpus::{Gpus, InvalidGpus};
pub use images::{DockerLogin, ImageConfig};
pub(crate) use images::{Images, Present};
pub use init::Init;
pub use isolation::{IsolationConfig, Network};
pub(crate) use job::{Job, JobLog, Lines, TimeLimit};
pub use probe::Need;
pub(crate) use process::Processes;
pub(crate) use spec::{ContainerSpec, Frame, Frames, Left, Mount, RunEnd};
pub(crate) use traits::{Capacity, Engine, Prepared, Runs, Watch};
pub(crate) use words::{BuildStep, BuildWord, Login, PullProgress};

/// Name and version of the engine that a worker uses, such as `Docker 28.2.2` or `Podman 4.3.1, rootless`.
pub async fn engine_version() -> Result<String, Error> {
    Ok(Docker::connect().await?.dialect.to_string())
}

/// Runtimes that a container can have: all of the engine's, or only the default one if a request cannot choose.
pub async fn engine_runtimes() -> Result<Vec<String>, Error> {
    let facts = Docker::connect().await?.facts;
    Ok(if facts.takes_runtime { facts.runtimes.clone() } else { vec![facts.default_runtime.clone()] })
}

/// Makes an image from the tar of a root file system, without a registry.
pub async fn import_image(reference: &str, rootfs_tar: Vec<u8>) -> Result<(), Error> {
    let reference = reference.parse().map_err(|error: crate::engine::images::InvalidImage| Error::Config(error.to_string()))?;
    let docker = Docker::connect().await?;
    docker.import(&reference, rootfs_tar).await.map_err(|fault| Error::Docker(fault.to_string()))
}
