//! How far a container is kept from its machine, and what the engine has for that.

use std::collections::HashMap;

use super::docker::network_in;

/// What holds for a container beside its capacity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Confinement {
    /// Runtime to run it in. None: the engine's default.
    pub(crate) runtime: Option<String>,
    /// `none`, `bridge`, the name of a network, or the sandbox that it joins.
    pub(crate) network: String,
    /// Name servers that the engine's resolver asks. Empty: those of the engine's machine.
    pub(crate) dns: Vec<String>,
    /// All others are dropped.
    pub(crate) capabilities: Vec<String>,
    /// User and group. None: the image's own.
    pub(crate) user: Option<String>,
    /// Most processes and threads at once.
    pub(crate) pids: u32,
    /// The root file system cannot be written; `/tmp` then lies in memory.
    pub(crate) is_read_only: bool,
    /// Bound on the root file system that the engine itself enforces. None: it cannot.
    pub(crate) rootfs_bytes: Option<u64>,
}

impl Confinement {
    /// Goes into a sandbox, whose network and name servers are settled.
    pub(crate) fn join(&mut self, sandbox: &str) {
        self.network = network_in(sandbox);
        self.dns = Vec::new();
    }
}

/// A container that does nothing and holds a network for another to join.
#[derive(Clone, Debug)]
pub(crate) struct SandboxSpec {
    /// `bridge`, or the name of a network.
    pub(crate) network: String,
    /// As [`Confinement::dns`].
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

/// A network that some worker made.
#[derive(Clone, Debug)]
pub(crate) struct WorkerNetwork {
    pub(crate) name: String,
    /// As [`Owner`](crate::owner::Owner) writes itself. None: made by an earlier version.
    pub(crate) owner: Option<String>,
    /// Seconds since 1970, by the engine's clock.
    pub(crate) created: i64,
}

/// What the engine says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct EngineFacts {
    pub(crate) runtimes: Vec<String>,
    pub(crate) default_runtime: String,
    /// Root in a container is somebody else outside.
    pub(crate) has_user_namespaces: bool,
    /// Its storage may enforce a bound on a container's root file system; whether it does shows only when it is asked to.
    pub(crate) may_bound_rootfs: bool,
    /// Name and version of each of its parts, such as `runc`.
    pub(crate) versions: Vec<(String, String)>,
}

/// What an image says about its containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageFacts {
    /// Empty: root.
    pub(crate) user: String,
    /// `NAME=value` each.
    pub(crate) env: Vec<String>,
    /// Program and first arguments, where the definition names none.
    pub(crate) entrypoint: Vec<String>,
    /// The same, behind the entrypoint.
    pub(crate) command: Vec<String>,
}

/// Where a running container is, as the engine tells; paths and numbers are of the engine's machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whereabouts {
    /// Its first process.
    pub(crate) pid: i64,
    /// What it changed of its root file system.
    pub(crate) rootfs: Option<std::path::PathBuf>,
    /// Volumes that its image asks for.
    pub(crate) volumes: Vec<std::path::PathBuf>,
}
