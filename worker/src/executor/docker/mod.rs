//! The Docker engine, through bollard (0.21.1). No other module names it.
//!
//! Traps that this file is shaped by:
//! - Names go into URL paths unescaped: only checked references and ids from our own calls get here.
//! - A pull without tag pulls every tag; errors of a pull may come inside its stream.
//! - A non-zero exit arrives as an error of `wait`. `wait` is asked after `start`, with the condition `not-running`, which also
//!   answers for a container that has already ended.
//! - Output is attached before start and the log driver is `none`: nothing grows on disk, and an unread stream blocks the
//!   container's own writes (the engine buffers about 1 MiB). The engine waits 2 s after the exit for unread output, then drops
//!   what it has not buffered.

mod confine;

use std::collections::HashMap;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Bollard;
use bollard::models::{ContainerCreateBody, DeviceRequest, HostConfig, HostConfigLogConfig, Mount as BollardMount, MountType};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, CreateImageOptionsBuilder, InspectContainerOptions,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::{ContainerSpec, Ending, Fault, Frame, LABEL_DATA, Mount, PullProgress};
use crate::error::{Error, innermost};
use crate::image::{ImageReference, Version};

/// Time for the engine's answer to the first ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Time on top of a container's grace for the engine to report that it stopped.
const STOP_MARGIN: Duration = Duration::from_mins(1);
/// A connection to the engine. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Docker {
    client: bollard::Docker,
    /// Cpus of the engine's machine, which need not be this one.
    pub(crate) cpus: u32,
    /// Bytes of memory of the engine's machine.
    pub(crate) memory_bytes: u64,
}

impl From<Bollard> for Fault {
    fn from(error: Bollard) -> Self {
        match error {
            Bollard::DockerResponseServerError { status_code, message } if !is_of_host(&message) => {
                Self::Refused { status: status_code, message }
            }
            Bollard::DockerStreamError { error } if !is_of_host(&error) => Self::Refused { status: 500, message: error },
            other => Self::Host(innermost(&other)),
        }
    }
}

/// Whether a refusal tells of this machine, not of what was asked: the engine gives both the status 500. What is not known here
/// counts as the job's, because a job that no machine can run must not go round for ever.
fn is_of_host(message: &str) -> bool {
    const OF_HOST: [&str; 7] = [
        "no space left on device",
        "cannot allocate memory",
        "dial unix",
        "failed to create endpoint",
        "context canceled",
        // Somebody removed the network between the look at it and the container's start.
        "network asman-",
        // An old gVisor on a new kernel; `--network=host` among its runtime's arguments mends that.
        "cannot run with network enabled in root network namespace",
    ];
    OF_HOST.iter().any(|words| message.contains(words))
}

impl Docker {
    /// Connects as `DOCKER_HOST` says, else to the local socket, and sees that the engine answers.
    pub(crate) async fn connect() -> Result<Self, Error> {
        let no_docker = |error: Bollard| Error::NoDocker { cause: innermost(&error) };
        let client = bollard::Docker::connect_with_defaults().map_err(no_docker)?;
        let mut docker = Self { client, cpus: 1, memory_bytes: 0 };
        docker.ping().await.map_err(|fault| Error::NoDocker { cause: fault.to_string() })?;
        let info = docker.client.info().await.map_err(no_docker)?;
        docker.cpus = info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1);
        docker.memory_bytes = info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Ok(docker)
    }

    /// Whether the engine answers.
    pub(crate) async fn ping(&self) -> Result<(), Fault> {
        match tokio::time::timeout(PING_TIMEOUT, self.client.ping()).await {
            Ok(answer) => Ok(answer.map(|_| ())?),
            Err(_elapsed) => Err(Fault::Host("no answer for 10 seconds".to_owned())),
        }
    }

    pub(crate) async fn version(&self) -> Result<String, Fault> {
        Ok(self.client.version().await?.version.unwrap_or_else(|| "unknown".to_owned()))
    }

    /// Id of an image that is present.
    pub(crate) async fn image_id(&self, image: &ImageReference) -> Result<Option<String>, Fault> {
        match self.client.inspect_image(&image.to_string()).await {
            Ok(found) => Ok(Some(found.id.unwrap_or_else(|| image.to_string()))),
            Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Fetches an image. It is there when the stream ends without an error.
    pub(crate) fn pull(&self, image: &ImageReference) -> impl Stream<Item = Result<PullProgress, Fault>> + use<> {
        let options = CreateImageOptionsBuilder::new().from_image(&image.name).tag(image.version.as_str()).build();
        let progress = self.client.create_image(Some(options), None, None);
        progress
            .map_ok(|word| PullProgress { layer: word.id.unwrap_or_default(), status: word.status.unwrap_or_default() })
            .map_err(Fault::from)
    }

    /// Makes an image of a root file system's tar.
    pub(crate) async fn import(&self, image: &ImageReference, rootfs_tar: Vec<u8>) -> Result<(), Fault> {
        let Version::Tag(tag) = &image.version else {
            return Err(Fault::Refused { status: 400, message: "an image can be imported under a tag only".to_owned() });
        };
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(&image.name).tag(tag).build();
        let body = bollard::body_full(rootfs_tar.into());
        self.client.create_image(Some(options), Some(body), None).try_for_each(|_| async { Ok(()) }).await?;
        Ok(())
    }

    /// Creates a container and gives its id.
    pub(crate) async fn create(&self, spec: ContainerSpec) -> Result<String, Fault> {
        let body = container_body(spec, f64::from(self.cpus));
        Ok(self.client.create_container(None::<CreateContainerOptions>, body).await?.id)
    }

    /// Everything that a container writes from its start on. Call it before [`Docker::start`].
    pub(crate) async fn attach(&self, id: &str) -> Result<impl Stream<Item = Result<Frame, Fault>> + use<>, Fault> {
        let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        let attached = self.client.attach_container(id, Some(options)).await?;
        Ok(attached.output.map(|output| {
            let output = output?;
            let is_stderr = matches!(output, LogOutput::StdErr { .. });
            Ok(Frame { is_stderr, bytes: output.into_bytes() })
        }))
    }

    pub(crate) async fn start(&self, id: &str) -> Result<(), Fault> {
        Ok(self.client.start_container(id, None).await?)
    }

    /// Returns when a started container runs no more.
    pub(crate) async fn wait(&self, id: &str) -> Result<(), Fault> {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let mut answers = std::pin::pin!(self.client.wait_container(id, Some(options)));
        match answers.next().await {
            Some(Ok(_) | Err(Bollard::DockerContainerWaitError { .. })) => Ok(()),
            Some(Err(error)) => Err(error.into()),
            None => Err(Fault::Host("the engine broke off while the container ran".to_owned())),
        }
    }

    /// Sends the image's stop signal, and kills after the grace.
    pub(crate) async fn stop(&self, id: &str, grace: Duration) -> Result<(), Fault> {
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let patient = self.client.clone().with_timeout(grace + STOP_MARGIN);
        match patient.stop_container(id, Some(options)).await {
            // Not running any more, or removed by somebody else.
            Ok(()) | Err(Bollard::DockerResponseServerError { status_code: 304 | 404, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How a container that runs no more has ended.
    pub(crate) async fn ending(&self, id: &str) -> Result<Ending, Fault> {
        let state = self.client.inspect_container(id, None::<InspectContainerOptions>).await?.state.unwrap_or_default();
        let exit_code = state.exit_code.ok_or_else(|| Fault::Host("the engine gives no exit code".to_owned()))?;
        Ok(Ending { exit_code, is_out_of_memory: state.oom_killed.unwrap_or(false) })
    }

    /// Kills a container if it runs and removes it with its anonymous volumes.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Fault> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.client.remove_container(id, Some(options)).await {
            // Gone, or being removed.
            Ok(()) | Err(Bollard::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ids of all containers, running or not, of a data directory.
    pub(crate) async fn list_of(&self, data_label: &str) -> Result<Vec<String>, Fault> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{LABEL_DATA}={data_label}")])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let containers = self.client.list_containers(Some(options)).await?;
        Ok(containers.into_iter().filter_map(|container| container.id).collect())
    }
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
        // The engine refuses more cpus than the machine has, and reads 0 as no limit.
        nano_cpus: Some(nano(spec.cpus.clamp(0.01, machine_cpus))),
        memory: Some(memory),
        memory_swap: Some(memory),
        init: Some(true),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        mounts: Some(spec.mounts.iter().map(bind).collect()),
        shm_size: spec.shm_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        device_requests: (!spec.gpus.is_empty()).then(|| vec![device_request(&spec.gpus)]),
        ..HostConfig::default()
    }
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

fn device_request(gpus: &[u32]) -> DeviceRequest {
    DeviceRequest {
        driver: Some(String::new()),
        device_ids: Some(gpus.iter().map(u32::to_string).collect()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}
