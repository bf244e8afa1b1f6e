//! One claimed job: from its definition to the request that finishes it.
//!
//! In: a [`Task`]. Out: a [`FinishRequest`], or why there is none. Knows the API for files only; claims, leases and the spool are
//! the session's.
//!
//! Order: inputs and image, container, output to the log, outputs. Every step ends early when the task is halted. The container is
//! left for the caller to remove, on every path, so that outputs can be read and the finish be safe first.
//!
//! [`RunError::Job`] is the job's own fault and final; [`RunError::Host`] is ours, and another worker may do better.

mod command;
mod environment;
mod image;
mod inputs;
mod outputs;
mod signalled;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::{Claim, FinishRequest, JobResult, ParsedDefinition, Reason, Step, WorkerId};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::api::Api;
use crate::data_directory::Scratch;
use crate::executor::{ContainerSpec, Docker, Ending, Fault, LABEL_DATA, LABEL_EPOCH, LABEL_JOB, LABEL_WORKER, Mount};
use crate::holds::Halt;
use crate::log::Log;

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// Final: it would end so on any worker.
    #[error("{message}")]
    Job {
        /// What the job was doing.
        step: Step,
        /// As HTTP would say it; 400 when nobody said anything.
        status: u16,
        /// For the job's author.
        message: String,
    },
    /// This machine's: the claim is released.
    #[error("{0}")]
    Host(String),
    /// Told to end.
    #[error("halted")]
    Halted,
}

impl RunError {
    fn job(step: Step, message: impl Into<String>) -> Self {
        Self::Job { step, status: 400, message: message.into() }
    }

    fn of(step: Step, fault: Fault) -> Self {
        match fault {
            Fault::Refused { status, message } => Self::Job { step, status, message },
            Fault::Host(cause) => Self::Host(cause),
        }
    }
}

/// What all jobs of a worker share.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) api: Arc<Api>,
    pub(crate) docker: Docker,
    pub(crate) worker: WorkerId,
    /// See [`LABEL_DATA`].
    pub(crate) data_label: String,
    /// Limit of a job that states no memory.
    pub(crate) memory_bytes: u64,
    pub(crate) max_job_duration: Duration,
    pub(crate) stop_grace: Duration,
}

/// One job on its way.
pub(crate) struct Task<'a> {
    pub(crate) host: &'a Host,
    pub(crate) claim: &'a Claim,
    pub(crate) parsed: &'a ParsedDefinition,
    pub(crate) gpus: &'a [u32],
    pub(crate) scratch: Scratch,
    /// `/job-cache`.
    pub(crate) cache: std::path::PathBuf,
    pub(crate) log: Log,
    pub(crate) halt: &'a Halt,
    /// Set as soon as there is one to remove.
    pub(crate) container: &'a OnceLock<String>,
}

/// A container that ran.
struct Ended {
    ending: Ending,
    is_timed_out: bool,
    duration: Duration,
}

impl Task<'_> {
    /// Runs the job to its end.
    pub(crate) async fn run(&self) -> Result<FinishRequest, RunError> {
        let (mounts, image) = self.unless_halted(async { tokio::try_join!(inputs::write(self), image::ensure(self)) }).await?;
        let spec = self.container_spec(image, mounts)?;
        let ended = self.run_container(spec).await?;
        let outputs = self.unless_halted(outputs::collect(self)).await?;
        Ok(self.finish(&ended, outputs))
    }

    /// Gives up on a step, in the middle, when the task is halted.
    async fn unless_halted<T>(&self, step: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
        tokio::select! {
            result = step => result,
            () = self.halt.halted() => Err(RunError::Halted),
        }
    }

    fn container_spec(&self, image: String, files: Vec<Mount>) -> Result<ContainerSpec, RunError> {
        let definition = &self.parsed.definition;
        let refuse = |error: command::InvalidCommand| RunError::job(Step::Running, error.to_string());
        let shm_bytes = definition.shm_size.as_ref().filter(|size| !size.is_null()).map(|size| {
            let text = size.as_str().map_or_else(|| size.to_string(), str::to_owned);
            protocol::parse_size(&text).map_err(|error| RunError::job(Step::Running, error.to_string()))
        });
        let memory = self.parsed.memory_bytes;
        Ok(ContainerSpec {
            image,
            entrypoint: command::split("entrypoint", definition.entrypoint.as_deref()).map_err(refuse)?,
            command: command::split("command", definition.command.as_deref()).map_err(refuse)?,
            workdir: definition.workdir.clone().filter(|path| !path.is_empty()),
            env: environment::environment(definition, &self.host.api, &self.claim.job_id, self.gpus.len()),
            mounts: self.mounts(files),
            cpus: self.parsed.cpus,
            memory_bytes: if memory == 0 { self.host.memory_bytes } else { memory },
            shm_bytes: shm_bytes.transpose()?,
            gpus: self.gpus.to_vec(),
            labels: self.labels(),
        })
    }

    fn mounts(&self, files: Vec<Mount>) -> Vec<Mount> {
        let folder = |source, target: &str, is_read_only| Mount { source, target: target.to_owned(), is_read_only };
        let mut mounts = vec![
            folder(self.scratch.inputs(), "/inputs", true),
            folder(self.scratch.outputs(), "/outputs", false),
            folder(self.cache.clone(), "/job-cache", false),
        ];
        mounts.extend(files);
        mounts
    }

    fn labels(&self) -> HashMap<String, String> {
        let labels = [
            (LABEL_WORKER, self.host.worker.to_string()),
            (LABEL_JOB, self.claim.job_id.to_string()),
            (LABEL_EPOCH, self.claim.epoch.to_string()),
            (LABEL_DATA, self.host.data_label.clone()),
        ];
        labels.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Creates, starts and awaits the container; its output is in the log when this returns.
    async fn run_container(&self, spec: ContainerSpec) -> Result<Ended, RunError> {
        let docker = &self.host.docker;
        let refused = |fault| RunError::of(Step::Running, fault);
        // About a container that was there a moment ago: no fault of the job's.
        let broken = |fault: Fault| RunError::Host(fault.to_string());
        let id = docker.create(spec).await.map_err(refused)?;
        let id = self.container.get_or_init(|| id);
        let frames = docker.attach(id).await.map_err(broken)?;
        let pump = AbortOnDropHandle::new(tokio::spawn(self.log.clone().pump(frames)));
        docker.start(id).await.map_err(refused)?;
        let started = Instant::now();
        let is_timed_out = self.await_end(id, started).await?;
        let duration = started.elapsed();
        if self.halt.is_halted() {
            return Err(RunError::Halted);
        }
        let ending = docker.ending(id).await.map_err(broken)?;
        if !is_timed_out {
            signalled::check(docker, ending).await?;
        }
        self.unless_halted(async { pump.await.map_err(|error| RunError::Host(error.to_string())) }).await?;
        Ok(Ended { ending, is_timed_out, duration })
    }

    /// Returns when the container has ended, by itself, by its time limit (then true) or because the task was halted.
    async fn await_end(&self, id: &str, started: Instant) -> Result<bool, RunError> {
        let docker = &self.host.docker;
        let limit = self.claim.max_duration.0.min(self.host.max_job_duration);
        let is_timed_out = tokio::select! {
            ended = docker.wait(id) => return ended.map(|()| false).map_err(|fault| RunError::Host(fault.to_string())),
            () = tokio::time::sleep_until(started + limit) => true,
            () = self.halt.halted() => false,
        };
        docker.stop(id, self.host.stop_grace).await.map_err(|fault| RunError::Host(fault.to_string()))?;
        if is_timed_out {
            // After the stop: a log that nobody takes must not let the job run on.
            let line = format!("the job ran longer than {} and was stopped", protocol::format_duration(limit));
            self.log.error(Step::Running, line).await;
        }
        Ok(is_timed_out)
    }

    fn finish(&self, ended: &Ended, outputs: std::collections::BTreeMap<String, protocol::DataRef>) -> FinishRequest {
        let code = ended.ending.exit_code;
        let (reason, message) = if ended.is_timed_out {
            let limit = self.claim.max_duration.0.min(self.host.max_job_duration);
            (Reason::TimedOut, Some(format!("ran longer than {}", protocol::format_duration(limit))))
        } else if ended.ending.is_out_of_memory {
            (Reason::Error, Some(self.out_of_memory()))
        } else {
            (Reason::Success, None)
        };
        let error = message.as_ref().filter(|_| reason == Reason::Error).map(|message| error_json(code, message));
        let result = JobResult {
            status_code: Some(code),
            logs: Vec::new(),
            duration: Some((ended.duration.as_secs_f64() * 1000.0).round()),
            error,
            is_timed_out: ended.is_timed_out,
            outputs,
        };
        FinishRequest { epoch: self.claim.epoch, reason, message, result }
    }

    fn out_of_memory(&self) -> String {
        let (bytes, whose) = match self.parsed.memory_bytes {
            0 => (self.host.memory_bytes, "the worker's memory, since the job states none"),
            stated => (stated, "its requirements.memory"),
        };
        format!("out of memory: the job used more than {} MiB ({whose})", bytes / 1024 / 1024)
    }
}

/// The request that finishes a job which never ran to its end.
pub(crate) fn failed(epoch: i64, status: u16, message: &str) -> FinishRequest {
    let result = JobResult { error: Some(error_json(i64::from(status), message)), ..JobResult::default() };
    FinishRequest { epoch, reason: Reason::Error, message: Some(message.to_owned()), result }
}

fn error_json(status_code: i64, message: &str) -> serde_json::Value {
    json!({ "statusCode": status_code, "json": { "message": message } })
}
