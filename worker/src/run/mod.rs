//! Runs one claimed job, from its definition to its finish request.
//!
//! In: a [`Task`]. Out: a [`FinishRequest`], or why there is none. This room calls the API only for files and the log. The room `claim`
//! handles claims, leases and the spool.
//!
//! Order: inputs and image, container, output to the log, outputs. Every step ends early when the job must stop. The caller removes the
//! container on every path, after the outputs were read and the finish is safe.
//!
//! The code of a [`RunError`] decides what the worker does with the job: see [`ends`](crate::ends).

mod command;
mod confine;
mod container;
mod environment;
mod image;
mod inputs;
pub(crate) mod log;
mod output_access;
mod outputs;
mod program;
mod signalled;
mod spec;
mod trial;
mod watch;

pub(crate) use image::forbidden;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::{Claim, EndCode, FinishRequest, JobResult, ParsedDefinition, Reason, Step, WorkerId};
use serde_json::json;

use crate::api::Api;
use crate::claim::claims::StopSignal;
use crate::data_directory::Scratch;
use crate::engine::isolation::Containers;
use crate::engine::{Executor, Fault, RunEnd};
use crate::secrets::SecretSource;
use log::{Log, Written};

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// It failed. The code decides whether the job ends or is released.
    #[error("{message}")]
    Failed {
        /// Why.
        code: EndCode,
        /// What the job was doing.
        step: Step,
        /// HTTP status for the result. 400 when there was no other status.
        status: u16,
        /// For the job's author.
        message: String,
    },
    /// Its time limit was over before it ran.
    #[error("{message}")]
    TimedOut {
        /// Why.
        code: EndCode,
        /// What the job was doing.
        step: Step,
        /// Which limit, for the job's author.
        message: String,
    },
    /// This machine failed, so the worker releases the claim.
    #[error("{0}")]
    Host(String),
    /// The job was told to stop.
    #[error("the worker stopped the job")]
    Stopped,
}

impl RunError {
    pub(crate) fn failed(code: EndCode, step: Step, message: impl Into<String>) -> Self {
        Self::Failed { code, step, status: 400, message: message.into() }
    }

    /// A failure of the job itself, when no code says more.
    pub(crate) fn job(step: Step, message: impl Into<String>) -> Self {
        let code = match step {
            Step::Clone => EndCode::BuildContextInvalid,
            Step::Build => EndCode::BuildFailed,
            _ => EndCode::DefinitionInvalid,
        };
        Self::failed(code, step, message)
    }

    /// A failure of a call to the engine that has nothing from a definition, so it is never the job's fault.
    #[expect(clippy::needless_pass_by_value, reason = "maps errors")]
    pub(crate) fn of(step: Step, fault: Fault) -> Self {
        let code = if matches!(fault, Fault::Host(_)) { EndCode::EngineGone } else { EndCode::EngineRefused };
        Self::failed(code, step, fault.to_string())
    }

    /// The end code of the failure.
    pub(crate) const fn code(&self) -> Option<EndCode> {
        match self {
            Self::Failed { code, .. } | Self::TimedOut { code, .. } => Some(*code),
            Self::Host(_) => Some(EndCode::WorkerBroken),
            Self::Stopped => None,
        }
    }
}

/// What all jobs of a worker share.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) api: Arc<Api>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) worker: WorkerId,
    /// Value of the label [`LABEL_DATA`](crate::engine::LABEL_DATA).
    pub(crate) data_label: String,
    /// Memory limit of a job that states no memory.
    pub(crate) memory_bytes: u64,
    pub(crate) max_job_duration: Duration,
    pub(crate) stop_grace: Duration,
    /// Whether a container gets an init.
    pub(crate) init: crate::engine::Init,
    /// A job that writes to stderr has failed.
    pub(crate) stderr_fails: bool,
    /// Secrets that jobs may ask for by name.
    pub(crate) secrets: Vec<SecretSource>,
    /// None: the executor runs jobs without containers.
    pub(crate) containers: Option<Containers>,
    /// The cache of inputs.
    pub(crate) contents: Arc<crate::disk::Contents>,
    /// The record of images that were pulled or built for jobs.
    pub(crate) images: Arc<crate::disk::Images>,
    pub(crate) builds: crate::engine::build::Settings,
    /// A trial container that this machine could not start, although nothing in it comes from a definition.
    pub(crate) failed_trial: std::sync::Mutex<Option<crate::engine::ContainerSpec>>,
}

/// One job to run.
pub(crate) struct Task<'a> {
    pub(crate) host: &'a Host,
    pub(crate) claim: &'a Claim,
    pub(crate) parsed: &'a ParsedDefinition,
    pub(crate) gpus: &'a [String],
    pub(crate) scratch: Scratch,
    /// `/job-cache`.
    pub(crate) cache: std::path::PathBuf,
    pub(crate) log: Log,
    pub(crate) stop: &'a StopSignal,
    /// Id of the job's container. Set as soon as there is a container to remove.
    pub(crate) container: &'a OnceLock<String>,
}

/// A container that ran.
struct Ended {
    end: RunEnd,
    is_timed_out: bool,
    written: Written,
    /// A sentence for the job's author.
    note: Option<String>,
}

impl Task<'_> {
    /// Runs the job to its end. `running` is the id of the container that an earlier worker process started.
    pub(crate) async fn run(&self, running: Option<&str>) -> Result<FinishRequest, RunError> {
        let ended = match running {
            Some(id) => self.go_on(id).await?,
            None => self.launch().await?,
        };
        self.unless_stopped(self.open_outputs()).await?;
        let outputs = self.unless_stopped(outputs::collect(self)).await?;
        Ok(self.finish(&ended, outputs))
    }

    fn limit(&self) -> Duration {
        self.time_limit().0
    }

    /// How long the job may run, whose limit that is, and the end code when the time is over. A limit of the worker's owner is not the
    /// job's fault: another worker may give the job more time.
    pub(crate) fn time_limit(&self) -> (Duration, &'static str, EndCode) {
        let (own, claimed, workers) = (self.parsed.max_duration, self.claim.max_duration.0, self.host.max_job_duration);
        let limit = own.min(claimed).min(workers);
        if own <= limit {
            return (limit, "the job's own maxDuration", EndCode::TimedOut);
        }
        // The claim's limit also contains the worker's limit, in whole seconds.
        if workers.as_secs() <= claimed.as_secs() {
            return (limit, "the longest run that this worker allows (--max-job-duration)", EndCode::TimedOutByWorker);
        }
        (limit, "the longest run that its submitter and the queue allow", EndCode::TimedOut)
    }

    /// Runs a step, and drops it when the job must stop.
    async fn unless_stopped<T>(&self, step: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
        tokio::select! {
            result = step => result,
            () = self.stop.requested() => Err(RunError::Stopped),
        }
    }

    fn finish(&self, ended: &Ended, outputs: outputs::Outputs) -> FinishRequest {
        let code = ended.end.exit_code;
        let (end, message) = if ended.is_timed_out {
            let note = ended.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
            let (limit, whose, end) = self.time_limit();
            let whose = if end == EndCode::TimedOut { String::new() } else { format!(", {whose}") };
            (Some(end), Some(format!("ran longer than {}{whose}{note}", protocol::format_duration(limit))))
        } else if ended.end.is_out_of_memory {
            (Some(EndCode::OutOfMemory), Some(self.out_of_memory()))
        } else if self.host.stderr_fails && ended.written.has_stderr {
            (Some(EndCode::WroteToStderr), Some("the job wrote to stderr, which this worker counts as a failure".to_owned()))
        } else {
            let missing = || outputs.missing.as_ref().map(protocol::Missing::sentence);
            (None, ended.note.clone().or_else(|| watch::signal_note(code)).or_else(missing))
        };
        let reason = match end {
            None => Reason::Success,
            Some(EndCode::TimedOut | EndCode::TimedOutByWorker) => Reason::TimedOut,
            Some(_) => Reason::Error,
        };
        let error = message.as_ref().filter(|_| reason == Reason::Error).map(|message| error_json(code, message));
        let result = JobResult {
            status_code: Some(code),
            logs: Vec::new(),
            logs_of: None,
            logs_omitted: None,
            duration: Some((ended.end.duration.as_secs_f64() * 1000.0).round()),
            error,
            is_timed_out: ended.is_timed_out,
            outputs: outputs.stored,
            missing: outputs.missing,
        };
        FinishRequest { epoch: self.claim.epoch, reason, code: word(end), fault: end.map(EndCode::fault), message, result }
    }

    fn out_of_memory(&self) -> String {
        let (bytes, whose) = match self.parsed.memory_bytes {
            0 => (self.host.memory_bytes, "the worker's memory, because the job states none; set requirements.memory"),
            stated => (stated, "its requirements.memory"),
        };
        format!("out of memory: the job used more than {} MiB ({whose})", bytes / 1024 / 1024)
    }
}

/// A failure about a container that existed a moment ago. It is not the job's fault.
fn broken(fault: Fault) -> RunError {
    RunError::of(Step::Running, fault)
}

/// The finish request of a job that failed before its end.
pub(crate) fn failed(epoch: i64, code: EndCode, status: u16, message: &str) -> FinishRequest {
    let result = JobResult { error: Some(error_json(i64::from(status), message)), ..JobResult::default() };
    FinishRequest {
        epoch,
        reason: Reason::Error,
        code: word(Some(code)),
        fault: Some(code.fault()),
        message: Some(message.to_owned()),
        result,
    }
}

/// The finish request of a job whose time limit was over before it ran.
pub(crate) fn timed_out(epoch: i64, code: EndCode, message: &str) -> FinishRequest {
    let result = JobResult { is_timed_out: true, ..JobResult::default() };
    FinishRequest {
        epoch,
        reason: Reason::TimedOut,
        code: word(Some(code)),
        fault: Some(code.fault()),
        message: Some(message.to_owned()),
        result,
    }
}

fn word(end: Option<EndCode>) -> Option<String> {
    end.map(|code| code.as_str().to_owned())
}

fn error_json(status_code: i64, message: &str) -> serde_json::Value {
    json!({ "statusCode": status_code, "json": { "message": message } })
}
