//! The types of a run: what it gets, what it wrote, how it ended.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{Confinement, Fault};

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

/// A file or folder of the host that a container sees.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) is_read_only: bool,
}

/// A container to create.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerSpec {
    /// Id of a present image. Empty for an engine without images.
    pub(crate) image: String,
    /// None means the image's entrypoint.
    pub(crate) entrypoint: Option<Vec<String>>,
    /// None means the image's command.
    pub(crate) command: Option<Vec<String>>,
    pub(crate) workdir: Option<String>,
    /// `NAME=value` each.
    pub(crate) env: Vec<String>,
    pub(crate) mounts: Vec<Mount>,
    /// Cpus, at most as many as the machine has.
    pub(crate) cpus: f64,
    /// Memory and swap together.
    pub(crate) memory_bytes: u64,
    /// None means 64 MiB.
    pub(crate) shm_bytes: Option<u64>,
    /// The folder with the job's secrets, for an engine that can mount it.
    pub(crate) secrets: Option<Mount>,
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
