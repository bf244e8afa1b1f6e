//! Runs one claimed job, from its definition to its finish request.
//!
//! In: a [`Task`]. Out: a [`FinishRequest`], or why there is none. This room calls the API only for files and the log. The room `claim`
//! handles claims, leases and the spool.
//!
//! Order: inputs and image, container, output to the log, outputs. Every step ends early when the job must stop. The caller removes the
//! container on every path, after the outputs were read and the finish is safe.
//!
//! - `container`: a run from its creation to its end. `spec`, `command`, `environment`, `secrets`: what the container gets.
//! - `inputs`, `outputs`: the files of a job on this machine's disk. `files`: the calls with which the engine asks for them.
//! - `log`: turns an output's bytes into lines and lines into numbered chunks, with back pressure. `stop`: tells a job to end early.
//!
//! # Invariants
//!
//! - Nothing here names an engine. What differs between engines is behind the traits [`Engine`] and [`Files`](crate::engine::Files).
//! - Everything that a job can make larger has a bound: log lines and bytes, buffered chunks, output files, inline bytes.
//!
//! # Errors
//!
//! The code of a [`RunError`] decides what the worker does with the job: see [`ends`](crate::ends).

mod command;
mod container;
mod environment;
mod files;
mod inputs;
pub(crate) mod log;
mod outputs;
mod secrets;
mod signalled;
mod spec;
mod stop;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::{Claim, EndCode, FinishRequest, JobResult, ParsedDefinition, Reason, WorkerId};
use serde_json::json;

use crate::api::Api;
use crate::data_directory::Scratch;
use crate::disk::Contents;
use crate::ends::RunError;
use crate::engine::{Engine, Job, JobLog, Outputs, RunEnd, TimeLimit};
use crate::secrets::SecretSource;
use log::{Log, Written};
pub(crate) use stop::StopSignal;

/// What all jobs of a worker share.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) api: Arc<Api>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) worker: WorkerId,
    /// Value of the label [`LABEL_DATA`](crate::labels::LABEL_DATA).
    pub(crate) data_label: String,
    /// Memory limit of a job that states no memory.
    pub(crate) memory_bytes: u64,
    pub(crate) max_job_duration: Duration,
    pub(crate) stop_grace: Duration,
    /// Whether a job that writes to stderr counts as failed.
    pub(crate) stderr_fails: bool,
    /// Secrets that jobs may ask for by name.
    pub(crate) secrets: Vec<SecretSource>,
    /// The cache of inputs.
    pub(crate) contents: Arc<Contents>,
}

/// One job to run.
pub(crate) struct Task<'a> {
    host: &'a Host,
    job: Job<'a>,
    log: Log,
    stop: &'a StopSignal,
    /// Id of the job's container. Set as soon as there is a container to remove.
    container: &'a OnceLock<String>,
}

/// What the caller knows of a job.
pub(crate) struct Assignment<'a> {
    pub(crate) claim: &'a Claim,
    pub(crate) parsed: &'a ParsedDefinition,
    pub(crate) gpus: &'a [String],
    pub(crate) scratch: Scratch,
    /// `/job-cache`.
    pub(crate) cache: &'a Path,
    pub(crate) log: Log,
    pub(crate) stop: &'a StopSignal,
    /// Id of the job's container.
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

impl<'a> Task<'a> {
    pub(crate) fn new(host: &'a Host, assignment: Assignment<'a>) -> Self {
        let Assignment { claim, parsed, gpus, scratch, cache, log, stop, container } = assignment;
        let memory_bytes = if parsed.memory_bytes == 0 { host.memory_bytes } else { parsed.memory_bytes };
        let limit = time_limit(parsed.max_duration, claim.max_duration.0, host.max_job_duration);
        let lines = JobLog(Arc::new(log.clone()));
        let job = Job { claim, parsed, gpus, scratch, cache, memory_bytes, limit, log: lines };
        Self { host, job, log, stop, container }
    }

    /// Runs the job to its end. `running` is the id of the container that an earlier worker process started.
    pub(crate) async fn run(&self, running: Option<&str>) -> Result<FinishRequest, RunError> {
        let ended = match running {
            Some(id) => self.go_on(id).await?,
            None => self.launch().await?,
        };
        let outputs = self.unless_stopped(self.host.engine.files().collect(&self.job, self)).await?;
        Ok(self.finish(&ended, outputs))
    }

    /// Runs a step, and drops it when the job must stop.
    async fn unless_stopped<T>(&self, step: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
        tokio::select! {
            result = step => result,
            () = self.stop.requested() => Err(RunError::Stopped),
        }
    }

    fn finish(&self, ended: &Ended, outputs: Outputs) -> FinishRequest {
        let code = ended.end.exit_code;
        let (end, message) = if ended.is_timed_out {
            let note = ended.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
            let TimeLimit { time: limit, whose, code: end } = self.job.limit;
            let whose = if end == EndCode::TimedOut { String::new() } else { format!(", {whose}") };
            (Some(end), Some(format!("ran longer than {}{whose}{note}", protocol::format_duration(limit))))
        } else if ended.end.is_out_of_memory {
            (Some(EndCode::OutOfMemory), Some(self.out_of_memory()))
        } else if self.host.stderr_fails && ended.written.has_stderr {
            (Some(EndCode::WroteToStderr), Some("the job wrote to stderr, which this worker counts as a failure".to_owned()))
        } else {
            let missing = || outputs.missing.as_ref().map(protocol::Missing::sentence);
            (None, ended.note.clone().or_else(|| signalled::note(code)).or_else(missing))
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
        FinishRequest { epoch: self.job.claim.epoch, reason, code: word(end), fault: end.map(EndCode::fault), message, result }
    }

    fn out_of_memory(&self) -> String {
        let (bytes, whose) = match self.job.parsed.memory_bytes {
            0 => (self.host.memory_bytes, "the worker's memory, because the job states none; set requirements.memory"),
            stated => (stated, "its requirements.memory"),
        };
        format!("out of memory: the job used more than {} MiB ({whose})", bytes / 1024 / 1024)
    }
}

/// How long a job may run, by its own limit, the claim's and the worker's. A limit of the worker's owner is not the job's fault: another
/// worker may give the job more time.
fn time_limit(own: Duration, claimed: Duration, workers: Duration) -> TimeLimit {
    let time = own.min(claimed).min(workers);
    let (whose, code) = if own <= time {
        ("the job's own maxDuration", EndCode::TimedOut)
    // The claim's limit also contains the worker's limit, in whole seconds.
    } else if workers.as_secs() <= claimed.as_secs() {
        ("the longest run that this worker allows (--max-job-duration)", EndCode::TimedOutByWorker)
    } else {
        ("the longest run that its submitter and the queue allow", EndCode::TimedOut)
    };
    TimeLimit { time, whose, code }
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
