//! How a container is isolated from its machine, and what the engine offers for that.

use std::collections::HashMap;

use super::docker::network_in;

/// The settings of a container besides its capacity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Confinement {
    /// Runtime of the container. None means the engine's default.
    pub(crate) runtime: Option<String>,
    /// `none`, `bridge`, the name of a network, or the sandbox that the container joins.
    pub(crate) network: String,
    /// Name servers that the engine's resolver asks. Empty means the name servers of the engine's machine.
    pub(crate) dns: Vec<String>,
    /// Capabilities of the container. All others are dropped.
    pub(crate) capabilities: Vec<String>,
    /// User and group. None means those of the image.
    pub(crate) user: Option<String>,
    /// Most processes and threads at once.
    pub(crate) pids: u32,
    /// The root file system is read-only; `/tmp` is then in memory.
    pub(crate) is_read_only: bool,
    /// Size limit of the root file system that the engine enforces. None means that the engine cannot enforce one.
    pub(crate) rootfs_bytes: Option<u64>,
}

impl Confinement {
    /// Joins a sandbox, which already has a network and name servers.
    pub(crate) fn join(&mut self, sandbox: &str) {
        self.network = network_in(sandbox);
        self.dns = Vec::new();
    }
}

/// A container that only keeps a network ready for another container to join.
#[derive(Clone, Debug)]
pub(crate) struct SandboxSpec {
    /// `bridge`, or the name of a network.
    pub(crate) network: String,
    /// See [`Confinement::dns`].
    pub(crate) dns: Vec<String>,
    pub(crate) labels: HashMap<String, String>,
}

/// A bridge network without traffic between its containers.
#[derive(Clone, Debug)]
pub(crate) struct NetworkSpec {
    pub(crate) name: String,
    /// Name of its interface on the engine's machine.
    pub(crate) bridge: String,
    pub(crate) labels: HashMap<String, String>,
}

/// A network that a worker made.
#[derive(Clone, Debug)]
pub(crate) struct WorkerNetwork {
    pub(crate) name: String,
    /// The text form of the [`Owner`](crate::owner::Owner). None means that an earlier version made the network.
    pub(crate) owner: Option<String>,
    /// Seconds since 1970, by the engine's clock.
    pub(crate) created: i64,
}

/// What the engine reports about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct EngineFacts {
    /// Its name and version.
    pub(crate) name: String,
    /// How sentences name the engine, such as `the Docker engine`.
    pub(crate) noun: &'static str,
    /// A request can choose the runtime of its container. Otherwise every container has the default runtime.
    pub(crate) takes_runtime: bool,
    pub(crate) runtimes: Vec<String>,
    pub(crate) default_runtime: String,
    /// Root in a container is another user on the engine's machine.
    pub(crate) has_user_namespaces: bool,
    /// The engine's storage may be able to limit a container's root file system. Only an attempt shows whether it can.
    pub(crate) may_bound_rootfs: bool,
    /// Name and version of each part of the engine, such as `runc`.
    pub(crate) versions: Vec<(String, String)>,
}

/// The settings that an image has for its containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageFacts {
    /// User. Empty means root.
    pub(crate) user: String,
    /// `NAME=value` each.
    pub(crate) env: Vec<String>,
    /// Program and first arguments, used if the definition has no entrypoint.
    pub(crate) entrypoint: Vec<String>,
    /// Further arguments, used if the definition has no command.
    pub(crate) command: Vec<String>,
}

/// The process and folders of a running container, as the engine reports them. Paths and numbers are those of the engine's machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerLocation {
    /// Number of its first process.
    pub(crate) pid: i64,
    /// Folder with the files of the root file system that the container changed.
    pub(crate) rootfs: Option<std::path::PathBuf>,
    /// Volumes that the image asks for.
    pub(crate) volumes: Vec<std::path::PathBuf>,
}
