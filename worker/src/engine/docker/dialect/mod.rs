//! Which engine answers, and how it differs from the Docker engine. The worker finds this out once, when it connects.
//!
//! Podman serves the Docker engine's API. These are the differences that the worker has seen (Podman 4.3.1):
//! - It has no `BuildKit`. Its own builder has another log: see `build::progress`.
//! - It ignores the runtime and the gpus of a request, and a bridge's options. Its own API can name a bridge: see [`libpod`](super::libpod).
//! - Its list of containers does not show which of them share a network, so a label of the container names its sandbox.
//! - It does not remove a container whose network another container has joined.
//! - It limits open files and processes where a request does not, and fails when these limits are above its own.
//! - A followed record of the output loses lines when its reader is slow. The record itself is complete.
//! - If a container cannot be started, Podman already refuses to attach to it, with status 409.
//! - A step of a build goes on when its build is stopped.
//! - With an init, the program of a container is the init, and the job's program is its argument.

mod mends;

use bollard::models::{ContainerCreateBody, ResourcesUlimits, SystemInfo, SystemVersion};
use rustix::process::{Resource, getrlimit};

use crate::engine::Fault;

/// Minor version of the first API (1.39) in which `BuildKit` is not experimental.
const BUILDKIT_API_MINOR: u32 = 39;
/// First version of Podman with [`libpod`](super::libpod)'s paths.
const LIBPOD_MAJOR: u32 = 4;
/// Beginning of the name of the part of Podman that runs containers. The runtime's name follows, in parentheses.
const PODMAN_RUNTIME: &str = "OCI Runtime";
/// Podman's paths for its init in a container.
const PODMAN_INITS: [&str; 2] = ["/run/podman-init", "/dev/init"];
/// How the messages of Docker's builders begin when a command fails, or a Dockerfile or a context is invalid.
const DOCKER_FAULTS: [&str; 8] = [
    "The command '",
    "executor failed running [",
    "failed to solve: process \"",
    "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error",
    "failed to solve with frontend dockerfile.v0: failed to create LLB definition: Unknown flag",
    "failed to solve with frontend dockerfile.v0: failed to build LLB: failed to compute cache key: \"",
    "failed to solve: dockerfile parse error",
    "failed to compute cache key: \"",
];
/// The message in a failed pull from a registry without TLS.
const NO_TLS: &str = "server gave HTTP response to HTTPS client";
const NO_TLS_MEND: &str = "Podman uses a registry without TLS only if its registries.conf names it with `insecure = true`";
/// Most open files of one process.
const FILES_MAX: u64 = 65_536;

/// An engine that serves the Docker engine's API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Docker,
    Podman,
}

/// The engine that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    kind: Kind,
    version: String,
    pub(super) is_rootless: bool,
    api_minor: u32,
}

impl std::fmt::Display for Dialect {
    /// The engine's name and version, such as `Podman 4.3.1, rootless`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rootless = if self.is_rootless { ", rootless" } else { "" };
        write!(f, "{} {}{rootless}", self.product(), self.version)
    }
}

impl Dialect {
    pub(super) fn read(version: &SystemVersion, info: &SystemInfo) -> Self {
        let parts = version.components.as_deref().unwrap_or_default();
        let is_podman = parts.iter().any(|part| part.name.to_lowercase().contains("podman"));
        let options = info.security_options.as_deref().unwrap_or_default();
        let minor = version.api_version.as_deref().and_then(|text| text.strip_prefix("1.")?.parse().ok());
        Self {
            kind: if is_podman { Kind::Podman } else { Kind::Docker },
            version: version.version.clone().unwrap_or_else(|| "of unknown version".to_owned()),
            is_rootless: options.iter().any(|option| option.contains("name=rootless")),
            api_minor: minor.unwrap_or(0),
        }
    }

    pub(crate) fn is_podman(&self) -> bool {
        self.kind == Kind::Podman
    }

    pub(crate) fn is_rootless(&self) -> bool {
        self.is_rootless
    }

    fn product(&self) -> &'static str {
        match self.kind {
            Kind::Docker => "Docker",
            Kind::Podman => "Podman",
        }
    }

    /// How sentences name the engine.
    pub(crate) fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Docker => "the Docker engine",
            Kind::Podman => "Podman",
        }
    }

    /// The engine's own program.
    pub(crate) fn program(&self) -> &'static str {
        match self.kind {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
        }
    }

    /// Whether the engine's API version has `BuildKit`.
    pub(crate) fn has_buildkit(&self) -> bool {
        !self.is_podman() && self.api_minor >= BUILDKIT_API_MINOR
    }

    /// Whether the engine follows a request for gpus. Podman ignores it.
    pub(crate) fn gives_gpus(&self) -> bool {
        !self.is_podman()
    }

    /// Whether a request can choose the runtime of its container.
    pub(crate) fn takes_runtime(&self) -> bool {
        !self.is_podman()
    }

    /// Whether the bridge of a network is there before its first container.
    pub(super) fn has_bridges_at_once(&self) -> bool {
        !self.is_podman()
    }

    /// Whether Podman's own API can name the bridge of a network.
    pub(super) fn has_libpod(&self) -> bool {
        let major = self.version.split('.').next().and_then(|text| text.parse::<u32>().ok());
        self.is_podman() && major.is_some_and(|major| major >= LIBPOD_MAJOR)
    }

    /// Whether a followed record of the output has every line.
    pub(super) fn follows_records(&self) -> bool {
        !self.is_podman()
    }

    /// Whether a sandbox is removed after the container that has joined it.
    pub(super) fn removes_sandboxes_last(&self) -> bool {
        self.is_podman()
    }

    /// Corrects the status of a refusal to attach to a container. Podman prepares the container for that call, and answers 409 (conflict)
    /// for every failure.
    pub(super) fn attach_fault(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Refused { status: 409, message } if self.is_podman() => Fault::Refused { status: 500, message },
            fault => fault,
        }
    }

    /// Adds to the refusal of a pull what the owner can do about it.
    pub(super) fn pull_fault(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Refused { status, message } if self.is_podman() && message.contains(NO_TLS) => {
                Fault::Refused { status, message: format!("{}; {NO_TLS_MEND}", message.trim_end()) }
            }
            fault => fault,
        }
    }

    /// Whether the engine's init ends with a code of its own when it could not run a program.
    pub(crate) fn has_own_init_code(&self) -> bool {
        self.is_podman()
    }

    /// The exit code that a shell would have used, if the container's output is that of an init that could not run the program. Podman's
    /// init ends with 1 in that case. The output proves nothing, because a job can print the same text.
    pub(crate) fn init_exit_code(&self, exit_code: i64, said: &str) -> i64 {
        let refusal =
            said.lines().find(|line| self.is_podman() && line.starts_with("ERROR (catatonit:") && line.contains("exec pid1"));
        match refusal {
            Some(line) if exit_code == 1 && line.contains("No such file") => 127,
            Some(_) if exit_code == 1 => 126,
            _ => exit_code,
        }
    }

    /// Whether a step of a build ends with its build, and its files can be counted.
    pub(crate) fn bounds_builds(&self) -> bool {
        !self.is_podman()
    }

    /// Whether a build failed because of its Dockerfile or its context, as the builder's message shows.
    pub(super) fn is_fault_of_build(&self, message: &str) -> bool {
        match self.kind {
            Kind::Docker => DOCKER_FAULTS.iter().any(|words| message.starts_with(words)),
            Kind::Podman => podman_fault(message.strip_prefix("error ").unwrap_or(message)),
        }
    }

    /// Whether the engine's client knows every state of a container.
    pub(super) fn has_known_states(&self) -> bool {
        !self.is_podman()
    }

    /// Whether the engine refuses with this status to remove a network that containers still use.
    pub(super) fn is_network_in_use(&self, status: u16) -> bool {
        matches!(status, 403 | 409) || (self.is_podman() && status == 500)
    }

    /// How often a removal is tried. Podman refuses to remove a container that ends at that moment.
    pub(super) fn removal_attempts(&self) -> usize {
        if self.is_podman() { 5 } else { 1 }
    }

    /// The program and its arguments that follow the engine's init.
    pub(super) fn behind_init(&self, mut words: Vec<String>) -> Vec<String> {
        let has_init = self.is_podman() && words.first().is_some_and(|word| PODMAN_INITS.contains(&word.as_str()));
        if has_init {
            let n = if words.get(1).is_some_and(|word| word == "--") { 2 } else { 1 };
            words.drain(..n);
        }
        words
    }

    /// Name and version of each part of the engine, such as `runc`.
    pub(super) fn parts(&self, version: SystemVersion) -> Vec<(String, String)> {
        let parts = version.components.unwrap_or_default().into_iter();
        parts
            .map(|part| if self.is_podman() { podman_part(part.name, part.version) } else { (part.name, part.version) })
            .collect()
    }

    /// The program of the engine's default runtime. Podman reports the name that the runtime has in its settings, which may be another one.
    pub(super) fn runtime_program(&self, name: String, parts: &[(String, String)]) -> String {
        if !self.is_podman() {
            return name;
        }
        let is_known = |part: &&(String, String)| ["runc", "crun", "runsc", "krun", "kata"].contains(&part.0.as_str());
        parts.iter().find(is_known).map_or(name, |(program, _)| program.clone())
    }

    /// Adds the limits that Podman would otherwise choose itself.
    pub(super) fn adapt(&self, mut body: ContainerCreateBody) -> ContainerCreateBody {
        if self.is_podman() {
            let limits = body.host_config.get_or_insert_default().ulimits.get_or_insert_default();
            let has = |limits: &[ResourcesUlimits], name: &str| limits.iter().any(|limit| limit.name.as_deref() == Some(name));
            if !has(limits, "nofile") {
                limits.push(ulimit("nofile", files_max()));
            }
            if let Some(most) = own_limit(Resource::Nproc) {
                limits.push(ulimit("nproc", most.min(pids_max().unwrap_or(most))));
            }
        }
        body
    }
}

/// Whether Podman's builder blames the Dockerfile or the context. It quotes the step before the cause.
fn podman_fault(message: &str) -> bool {
    let of_step = |words: &str| message.starts_with("building at STEP \"") && message.contains(words);
    ["no FROM statement found", "The target \""].iter().any(|words| message.starts_with(words))
        || ["while running runtime: exit status ", "checking on sources under ", "Unknown instruction: "]
            .iter()
            .any(|words| of_step(words))
}

/// Name and version of a part of Podman. The version of its runtime is a text such as `runc version 1.1.5+ds1`, with further lines.
fn podman_part(name: String, version: String) -> (String, String) {
    let line = version.lines().next().unwrap_or_default();
    match line.split_once(" version ") {
        Some((program, number)) if name.starts_with(PODMAN_RUNTIME) => (program.to_owned(), number.to_owned()),
        _ => (name, version),
    }
}

/// Most open files of a process in a container. An engine without the right to raise its own limit cannot give a container more than
/// that limit. The worker assumes that the engine's limit is that of its own process.
pub(super) fn files_max() -> i64 {
    let most = i64::try_from(FILES_MAX).unwrap_or(i64::MAX);
    own_limit(Resource::Nofile).map_or(most, |own| own.min(most))
}

/// Most processes of this machine's kernel. Podman lowers its own limit of processes to this number.
fn pids_max() -> Option<i64> {
    std::fs::read_to_string("/proc/sys/kernel/pid_max").ok()?.trim().parse().ok()
}

/// The limit of this process. None means that there is no limit.
fn own_limit(resource: Resource) -> Option<i64> {
    getrlimit(resource).maximum.map(|most| i64::try_from(most).unwrap_or(i64::MAX))
}

pub(super) fn ulimit(name: &str, most: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(most), hard: Some(most) }
}

#[cfg(test)]
mod tests;
