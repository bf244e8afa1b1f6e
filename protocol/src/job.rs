//! Jobs as clients see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::{DataRef, Requirements};
use crate::end_code::EndFault;
use crate::log::LogLine;
use crate::missing::Missing;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum JobState {
    /// Waiting for a worker.
    Queued,
    /// A worker has claimed it.
    Running,
    /// Ended. The reason says how.
    Finished,
    /// Removed. Existing clients may still send it.
    Removed,
}

impl JobState {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Finished => "Finished",
            Self::Removed => "Removed",
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum Reason {
    /// The container ran to its end. Its exit code may be other than 0.
    Success,
    /// The container could not run to its end: it had no image or no input, its build failed, or it ran out of memory.
    Error,
    /// The job ran longer than allowed.
    TimedOut,
    /// Its last namespace was cancelled.
    Cancelled,
    /// Only for existing clients. Asman queues the job of a lost worker again.
    WorkerLost,
    /// A newer job replaced it in its namespace.
    JobReplacedByClient,
    /// A client deleted the result.
    Deleted,
}

impl Reason {
    /// Its name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Error => "Error",
            Self::TimedOut => "TimedOut",
            Self::Cancelled => "Cancelled",
            Self::WorkerLost => "WorkerLost",
            Self::JobReplacedByClient => "JobReplacedByClient",
            Self::Deleted => "Deleted",
        }
    }

    /// Whether the result may answer later submissions of the same job without a new run: always for a success, and for `Error` and
    /// `TimedOut` if the job is at fault.
    pub const fn is_cached(self) -> bool {
        matches!(self, Self::Success | Self::Error | Self::TimedOut)
    }

    /// Whether listings and broadcasts show such a job. Jobs with other reasons vanish from lists, as existing clients expect.
    pub const fn is_listed(self) -> bool {
        self.is_cached() || matches!(self, Self::Cancelled)
    }
}

impl std::str::FromStr for Reason {
    type Err = serde_json::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_value(Value::String(text.to_owned()))
    }
}

/// A job. `finished` is only in `result.json`, never in a listing or a broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its state.
    pub state: JobState,
    /// When it was submitted, epoch milliseconds.
    pub queued_time: i64,
    /// When it entered its state, epoch milliseconds.
    pub time: i64,
    /// The worker that has or had it. Empty when no worker had it.
    pub worker: String,
    /// Namespaces that keep it alive.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Tags that its worker must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Capacity that it needs from its worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Requirements>,
    /// Whether the submitter asked for a more detailed log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<bool>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_reason: Option<Reason>,
    /// Details of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Finished>,
}

/// The end of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(tag = "type", rename = "Finished")]
pub struct Finished {
    /// How it ended.
    pub reason: Reason,
    /// When, epoch milliseconds.
    pub time: i64,
    /// Who ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Why it has no result: an end code. Absent for `Success` and when the worker gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose fault that is. Only a failure that is the job's fault answers later submissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<EndFault>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The cancelled namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
}

/// The result of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct JobResult {
    /// Exit code of the container.
    #[serde(rename = "StatusCode", default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<i64>,
    /// The last log lines of the run. For a job that failed before its run, the lines of the pull or build. Workers send no lines here:
    /// the API adds the stored ones.
    #[serde(default)]
    pub logs: Vec<LogLine>,
    /// `build` when `logs` has lines of the build's log. Absent when they are lines of the run.
    #[serde(rename = "logsOf", default, skip_serializing_if = "Option::is_none")]
    pub logs_of: Option<String>,
    /// The lines that are not in `logs`. Absent when `logs` has all lines.
    #[serde(rename = "logsOmitted", default, skip_serializing_if = "Option::is_none")]
    pub logs_omitted: Option<OmittedLines>,
    /// How long the container ran, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "crate::definition::plain_number_or_none")]
    pub duration: Option<f64>,
    /// `{"statusCode", "json": {"message"}}` for reason `Error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(type = "unknown"))]
    pub error: Option<Value>,
    /// Whether the run was stopped because of its time limit.
    #[serde(rename = "isTimedOut", default)]
    pub is_timed_out: bool,
    /// Files of `/outputs` by their relative path.
    #[serde(default)]
    pub outputs: BTreeMap<String, DataRef>,
    /// The files of `/outputs` that are not in `outputs`. Absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// The beginning of a long log, which is not in a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct OmittedLines {
    /// How many lines of the log come before those in the result.
    pub lines: u64,
    /// URL of the whole log, relative to the address of the result.
    pub url: String,
}

/// One transition in `history.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct HistoryEntry {
    /// State after the transition.
    pub state: JobState,
    /// When, epoch milliseconds.
    pub time: i64,
    /// What happened: `queued`, `claimed`, `requeued`, `released`, `finished`, …
    pub event: String,
    /// How the job ended, or why it was queued again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The worker concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The namespace concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Number of the job's claim, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i16>,
    /// Why it ended or was released: an end code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose fault that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<EndFault>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields, rename = "Worker"))]
#[serde(rename_all = "camelCase")]
pub struct WorkerInfo {
    /// Its id.
    pub id: String,
    /// Its program's version.
    pub version: String,
    /// Cpus it offers.
    #[serde(serialize_with = "crate::definition::plain_number")]
    pub cpus: f64,
    /// Gpus it offers.
    pub gpus: u32,
    /// When it was last seen, epoch milliseconds.
    pub time: i64,
    /// Longest run it allows, such as `24h`.
    pub max_job_duration: String,
}
