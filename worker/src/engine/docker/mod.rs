//! The Docker engine, through bollard (0.21.1). No other folder uses bollard. This file has the calls for containers; `images` has pulls,
//! `builds` the builds, `image_store` the images on the engine's disk, `confine` the calls for isolation, and `sandbox` the prepared networks.
//!
//! What to know before you change this file:
//! - The client does not escape names in URL paths, so only checked references and ids from our own calls may get here.
//! - A non-zero exit code arrives as an error of `wait`. The worker calls `wait` after `start`, with the condition `not-running`, which
//!   also answers for a container that has already ended.
//! - The worker attaches to the output before the start. An unread stream blocks the container's writes (the engine buffers about
//!   1 MiB). After the exit, the engine waits 2 s for the output to be read, then drops what it has not buffered.
//! - The engine also records the output, for a worker that takes the container over: in two `json-file` files of 32 MiB. `json-file`
//!   keeps every line as it was (`local` loses the end of lines longer than 16 KiB) and costs about 3 us a line.
//! - A followed record (seen with 20.10) first gives the output up to the moment of the call. If the container ends in the meantime, the
//!   stream ends there without an error, and the later output is not given. The record itself is complete when `wait` returns.

mod buildkit;
mod builds;
mod confine;
mod helper;
mod image_store;
mod images;
mod listing;
mod pause;
mod program;
mod sandbox;

use std::time::{Duration, SystemTime};

use bollard::container::LogOutput;
use bollard::errors::Error as Bollard;
use bollard::models::{ContainerCreateBody, DeviceRequest, HostConfig, HostConfigLogConfig, Mount as BollardMount, MountType};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, InspectContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{Stream, StreamExt};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{ContainerSpec, Fault, Frame, Frames, Left, Mount, RunEnd};
use crate::error::{Error, innermost};
use crate::labels::LABEL_DATA;
pub(crate) use builds::BuildOptions;
pub(crate) use helper::{Helped, HelperSpec};
use program::platform;
pub(crate) use program::{Head, Program};
pub(crate) use sandbox::{UnusedSandbox, network_in};

/// Time for the engine's answer to the first ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Minor version of the first API (1.39) in which `BuildKit` is not experimental.
const BUILDKIT_API_MINOR: u32 = 39;
/// Time for the engine to report that a container stopped, in addition to the container's grace.
const STOP_MARGIN: Duration = Duration::from_mins(1);

/// A connection to the engine. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Docker {
    client: bollard::Docker,
    /// Cpus of the engine's machine, which may be another machine.
    pub(crate) cpus: u32,
    /// Bytes of memory of the engine's machine.
    pub(crate) memory_bytes: u64,
    /// Architecture of the engine's machine, as the engine names it.
    architecture: String,
    /// Platform of the engine's machine, such as `linux/amd64`. Empty when the engine does not say.
    pub(crate) platform: String,
    /// Whether the engine has `BuildKit`.
    pub(crate) has_buildkit: bool,
}

impl From<Bollard> for Fault {
    fn from(error: Bollard) -> Self {
        match error {
            Bollard::DockerResponseServerError { status_code, message } => Self::Refused { status: status_code, message },
            // The error came inside a successful answer, so it has no status of its own.
            Bollard::DockerStreamError { error } => Self::Refused { status: 500, message: error },
            other => Self::Host(innermost(&other)),
        }
    }
}

impl Docker {
    /// Connects to `DOCKER_HOST` or the local socket, and checks that the engine answers.
    pub(crate) async fn connect() -> Result<Self, Error> {
        let no_docker = |error: Bollard| Error::NoDocker { cause: innermost(&error) };
        let client = bollard::Docker::connect_with_defaults().map_err(no_docker)?;
        let (architecture, unknown) = (String::new(), String::new());
        let mut docker = Self { client, cpus: 1, memory_bytes: 0, architecture, platform: unknown, has_buildkit: false };
        docker.ping().await.map_err(|fault| Error::NoDocker { cause: fault.to_string() })?;
        let info = docker.client.info().await.map_err(no_docker)?;
        docker.cpus = info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1);
        docker.platform = platform(info.os_type, info.architecture.clone());
        docker.architecture = info.architecture.unwrap_or_default();
        docker.has_buildkit = docker.looks_like_buildkit().await.map_err(|fault| Error::NoDocker { cause: fault.to_string() })?;
        docker.memory_bytes = info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Ok(docker)
    }

    /// Checks that the engine answers.
    pub(crate) async fn ping(&self) -> Result<(), Fault> {
        match tokio::time::timeout(PING_TIMEOUT, self.client.ping()).await {
            Ok(answer) => Ok(answer.map(|_| ())?),
            Err(_elapsed) => Err(Fault::Host("no answer for 10 seconds".to_owned())),
        }
    }

    pub(crate) async fn version(&self) -> Result<String, Fault> {
        Ok(self.client.version().await?.version.unwrap_or_else(|| "unknown".to_owned()))
    }

    /// Whether the engine's API version has `BuildKit`. Podman has the same API and its own builder.
    async fn looks_like_buildkit(&self) -> Result<bool, Fault> {
        let version = self.client.version().await?;
        let is_podman = version.components.unwrap_or_default().iter().any(|part| part.name.to_lowercase().contains("podman"));
        let minor = version.api_version.and_then(|text| text.strip_prefix("1.")?.parse::<u32>().ok());
        Ok(!is_podman && minor.is_some_and(|minor| minor >= BUILDKIT_API_MINOR))
    }

    /// Creates a container. Returns its id.
    pub(crate) async fn create(&self, spec: ContainerSpec) -> Result<String, Fault> {
        let body = container_body(spec, f64::from(self.cpus));
        Ok(self.client.create_container(None::<CreateContainerOptions>, body).await?.id)
    }

    /// The output of a container from its start.
    pub(crate) async fn attach(&self, id: &str) -> Result<Frames, Fault> {
        let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        Ok(frames(self.client.attach_container(id, Some(options)).await?.output))
    }

    /// The recorded output of a container, with its further output if that is followed.
    pub(crate) fn recorded(&self, id: &str, follows: bool) -> Frames {
        let options = LogsOptionsBuilder::new().follow(follows).stdout(true).stderr(true).tail("all").build();
        frames(self.client.logs(id, Some(options)))
    }

    /// Starts a container.
    pub(crate) async fn start(&self, id: &str) -> Result<(), Fault> {
        Ok(self.client.start_container(id, None).await?)
    }

    /// Returns when a started container has ended.
    pub(crate) async fn wait(&self, id: &str) -> Result<(), Fault> {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let mut answers = std::pin::pin!(self.client.wait_container(id, Some(options)));
        match answers.next().await {
            Some(Ok(_) | Err(Bollard::DockerContainerWaitError { .. })) => Ok(()),
            Some(Err(error)) => Err(error.into()),
            None => Err(Fault::Host("the engine closed the connection while the container ran".to_owned())),
        }
    }

    /// Asks a container to end, and kills it after the grace.
    pub(crate) async fn stop(&self, id: &str, grace: Duration) -> Result<(), Fault> {
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let patient = self.client.clone().with_timeout(grace + STOP_MARGIN);
        match patient.stop_container(id, Some(options)).await {
            // The container has stopped, or somebody else removed it.
            Ok(()) | Err(Bollard::DockerResponseServerError { status_code: 304 | 404, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How an ended container ended.
    pub(crate) async fn end(&self, id: &str) -> Result<RunEnd, Fault> {
        let state = self.client.inspect_container(id, None::<InspectContainerOptions>).await?.state.unwrap_or_default();
        let exit_code = state.exit_code.ok_or_else(|| Fault::Host("the engine gives no exit code".to_owned()))?;
        let ran = moment(state.started_at).zip(moment(state.finished_at)).map(|(started, finished)| finished - started);
        let duration = ran.and_then(|ran| Duration::try_from(ran).ok()).unwrap_or_default();
        Ok(RunEnd { exit_code, duration, is_out_of_memory: state.oom_killed.unwrap_or(false) })
    }

    /// How long ago a container started, by this machine's clock.
    pub(crate) async fn age(&self, id: &str) -> Result<Duration, Fault> {
        let state = self.client.inspect_container(id, None::<InspectContainerOptions>).await?.state.unwrap_or_default();
        let started = moment(state.started_at).map(SystemTime::from);
        Ok(started.and_then(|started| started.elapsed().ok()).unwrap_or_default())
    }

    /// Removes a container and its sandbox. The sandbox is removed first, because only the container tells which sandbox it has.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Fault> {
        if let Some(sandbox) = self.sandbox_of(id).await? {
            self.remove_one(&sandbox).await?;
        }
        self.remove_one(id).await
    }

    /// Removes one container with its anonymous volumes.
    pub(crate) async fn remove_one(&self, id: &str) -> Result<(), Fault> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.client.remove_container(id, Some(options)).await {
            // It does not exist, or is being removed.
            Ok(()) | Err(Bollard::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The containers that workers of a data directory left.
    pub(crate) async fn list(&self, data_label: &str) -> Result<Vec<Left>, Fault> {
        let containers = self.list_containers(Some(&format!("{LABEL_DATA}={data_label}"))).await?;
        let left = |container: listing::Listed| {
            let can_go_on = container.has_run();
            Left { id: container.id, labels: container.labels.unwrap_or_default(), can_go_on }
        };
        Ok(containers.into_iter().map(left).collect())
    }
}

/// Reads a time as the engine writes it (RFC 3339).
fn moment(text: Option<String>) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&text?, &Rfc3339).ok()
}

fn frames(output: impl Stream<Item = Result<LogOutput, Bollard>> + Send + 'static) -> Frames {
    let frame = |output: Result<LogOutput, Bollard>| {
        let output = output?;
        let is_stderr = matches!(output, LogOutput::StdErr { .. });
        Ok(Frame { is_stderr, bytes: output.into_bytes() })
    };
    output.map(frame).boxed()
}

fn container_body(spec: ContainerSpec, machine_cpus: f64) -> ContainerCreateBody {
    let mut host_config = host_config(&spec, machine_cpus);
    confine::confine(&spec.confinement, &mut host_config);
    ContainerCreateBody {
        image: Some(spec.image),
        entrypoint: spec.entrypoint,
        cmd: spec.command,
        working_dir: spec.workdir,
        user: spec.confinement.user,
        env: Some(spec.env),
        labels: Some(spec.labels),
        attach_stdin: Some(false),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &ContainerSpec, machine_cpus: f64) -> HostConfig {
    let memory = i64::try_from(spec.memory_bytes).unwrap_or(i64::MAX);
    HostConfig {
        // The engine refuses more cpus than the machine has, and takes 0 as no limit.
        nano_cpus: Some(nano(spec.cpus.clamp(0.01, machine_cpus))),
        memory: Some(memory),
        memory_swap: Some(memory),
        init: Some(spec.has_init),
        log_config: Some(record()),
        mounts: Some(spec.mounts.iter().map(bind).collect()),
        shm_size: spec.shm_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        device_requests: (!spec.gpus.is_empty()).then(|| vec![device_request(&spec.gpus)]),
        ..HostConfig::default()
    }
}

/// Settings of the engine's record of the output.
fn record() -> HostConfigLogConfig {
    let options = [("max-size", "32m"), ("max-file", "2")];
    let config = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(config) }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded by the cpus of a machine")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9) as i64
}

fn bind(mount: &Mount) -> BollardMount {
    BollardMount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.to_string_lossy().into_owned()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.is_read_only),
        ..BollardMount::default()
    }
}

fn device_request(gpus: &[String]) -> DeviceRequest {
    DeviceRequest {
        driver: Some(String::new()),
        device_ids: Some(gpus.to_vec()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}
