//! Containers: what one is made of, how one ends, and whose fault a failure is.
//!
//! The types here name no engine; `docker/` is the only implementation and the only place that names its client.

mod docker;

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;

use crate::error::Error;
pub(crate) use docker::{BuildOptions, Docker};

/// Label with the job's id.
pub(crate) const LABEL_JOB: &str = "asman.job";
/// Label with the claim's epoch.
pub(crate) const LABEL_EPOCH: &str = "asman.epoch";
/// Label with the worker's id.
pub(crate) const LABEL_WORKER: &str = "asman.worker";
/// Label with the hash of the data directory's path: what a start sweeps by.
pub(crate) const LABEL_DATA: &str = "asman.data";

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It understood and refused: the same everywhere, so the job's fault.
    #[error("{message}")]
    Refused {
        /// HTTP status of the engine.
        status: u16,
        /// In its own words.
        message: String,
    },
    /// It is gone or broken, or the disk is full: another machine may do better.
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
#[derive(Clone, Debug)]
pub(crate) struct ContainerSpec {
    /// Id of an image that is present.
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
    /// Indices of the gpus it sees.
    pub(crate) gpus: Vec<u32>,
    pub(crate) labels: HashMap<String, String>,
}

/// How a container ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) exit_code: i64,
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
    /// Neither.
    Nothing,
}

/// Who asks a registry.
#[derive(Clone)]
pub(crate) struct Login {
    /// Host and port.
    pub(crate) registry: String,
    pub(crate) user: String,
    pub(crate) password: String,
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

/// Makes an image from the tar of a root file system, without a registry.
pub async fn import_image(reference: &str, rootfs_tar: Vec<u8>) -> Result<(), Error> {
    let reference = reference.parse().map_err(|error: crate::image::InvalidImage| Error::Config(error.to_string()))?;
    let docker = Docker::connect().await?;
    docker.import(&reference, rootfs_tar).await.map_err(|fault| Error::Docker(fault.to_string()))
}
