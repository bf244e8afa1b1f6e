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

mod body;
mod buildkit;
mod builds;
mod confine;
mod dialect;
mod helper;
mod image_store;
mod images;
mod inspect;
mod libpod;
mod listing;
mod pause;
mod plain;
mod program;
mod sandbox;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bollard::container::LogOutput;
use bollard::errors::Error as Bollard;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{Stream, StreamExt};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{ContainerSpec, EngineFacts, Fault, Frame, Frames, Left, RunEnd};
use crate::error::{Error, innermost};
use crate::labels::LABEL_DATA;
use body::container_body;
pub(crate) use builds::BuildOptions;
use dialect::Dialect;
pub(crate) use helper::{Helped, HelperSpec};
use program::platform;
pub(crate) use program::{Head, Program};
pub(crate) use sandbox::{UnusedSandbox, network_in};

/// Time for the engine's answer to the first ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const NO_ANSWER: &str = "no answer for 10 seconds";
/// Pause before a removal is tried again.
const REMOVAL_PAUSE: Duration = Duration::from_millis(200);
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
    /// Platform of the engine's machine, such as `linux/amd64`. Empty when the engine does not report it.
    pub(crate) platform: String,
    /// Which engine it is.
    pub(crate) dialect: Dialect,
    /// What the engine reported about itself when the worker connected.
    pub(crate) facts: Arc<EngineFacts>,
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
        let pinged = tokio::time::timeout(PING_TIMEOUT, client.ping()).await;
        pinged.map_err(|_elapsed| Error::NoDocker { cause: NO_ANSWER.to_owned() })?.map_err(no_docker)?;
        let (info, version) = tokio::try_join!(client.info(), client.version()).map_err(no_docker)?;
        let mut dialect = Dialect::read(&version, &info);
        if dialect.is_podman() {
            // An older version of Podman does not report this among its security options.
            dialect.is_rootless |= libpod::is_rootless().await.unwrap_or(false);
        }
        Ok(Self {
            client,
            cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1),
            memory_bytes: info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            platform: platform(info.os_type.clone(), info.architecture.clone()),
            architecture: info.architecture.clone().unwrap_or_default(),
            facts: Arc::new(confine::facts(&dialect, info, version)),
            dialect,
        })
    }

    /// Checks that the engine answers.
    pub(crate) async fn ping(&self) -> Result<(), Fault> {
        match tokio::time::timeout(PING_TIMEOUT, self.client.ping()).await {
            Ok(answer) => Ok(answer.map(|_| ())?),
            Err(_elapsed) => Err(Fault::Host(NO_ANSWER.to_owned())),
        }
    }

    /// Creates a container. Returns its id.
    pub(crate) async fn create(&self, spec: ContainerSpec) -> Result<String, Fault> {
        let body = self.dialect.adapt(container_body(spec, f64::from(self.cpus)));
        Ok(self.client.create_container(None::<CreateContainerOptions>, body).await?.id)
    }

    /// The output of a container from its start.
    pub(crate) async fn attach(&self, id: &str) -> Result<Frames, Fault> {
        let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        let attached = self.client.attach_container(id, Some(options)).await;
        Ok(frames(attached.map_err(|error| self.dialect.attach_fault(error.into()))?.output))
    }

    /// The recorded output of a container, followed by its further output if the engine sends that without gaps.
    pub(crate) fn followed(&self, id: &str) -> Frames {
        self.recorded(id, self.dialect.follows_records())
    }

    /// The recorded output of a container, followed by its further output if `follows` is true.
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
        let state = self.inspect(id).await?.state.unwrap_or_default();
        let exit_code = state.exit_code.ok_or_else(|| Fault::Host("the engine gives no exit code".to_owned()))?;
        let ran = moment(state.started_at).zip(moment(state.finished_at)).map(|(started, finished)| finished - started);
        let duration = ran.and_then(|ran| Duration::try_from(ran).ok()).unwrap_or_default();
        Ok(RunEnd { exit_code, duration, is_out_of_memory: state.oom_killed.unwrap_or(false) })
    }

    /// How long ago a container started, by this machine's clock.
    pub(crate) async fn age(&self, id: &str) -> Result<Duration, Fault> {
        let state = self.inspect(id).await?.state.unwrap_or_default();
        let started = moment(state.started_at).map(SystemTime::from);
        Ok(started.and_then(|started| started.elapsed().ok()).unwrap_or_default())
    }

    /// Removes a container and its sandbox. Only the container names its sandbox, so the sandbox is removed first where the engine allows
    /// that. If the container is removed first and the sandbox stays, it counts as unused, and the next start removes it.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Fault> {
        let Some(sandbox) = self.sandbox_of(id).await? else { return self.remove_one(id).await };
        let sandbox = sandbox.as_str();
        let [first, last] = if self.dialect.removes_sandboxes_last() { [id, sandbox] } else { [sandbox, id] };
        self.remove_one(first).await?;
        self.remove_one(last).await
    }

    /// Removes one container with its anonymous volumes.
    pub(crate) async fn remove_one(&self, id: &str) -> Result<(), Fault> {
        for _ in 1..self.dialect.removal_attempts() {
            match self.remove_once(id).await {
                Err(Fault::Refused { .. }) => tokio::time::sleep(REMOVAL_PAUSE).await,
                result => return result,
            }
        }
        self.remove_once(id).await
    }

    async fn remove_once(&self, id: &str) -> Result<(), Fault> {
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
