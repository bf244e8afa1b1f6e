//! What a job is, as clients see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::{DataRef, Requirements};
use crate::end_code::EndFault;
use crate::log::LogLine;
use crate::missing::Missing;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum State {
    /// Waiting for a worker.
    Queued,
    /// Held by a worker's claim.
    Running,
    /// Ended; the reason says how.
    Finished,
    /// Gone. Existing clients may still send it.
    Removed,
}

/// Same as [`State`]; the longer name reads better outside this crate.
pub type JobState = State;

impl State {
    /// The wire's word for it.
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
    /// The container ran to its end. Its exit code may still be non-zero.
    Success,
    /// Something kept it from running to its end: no image, failed build, lost inputs, out of memory, policy.
    Error,
    /// Ran longer than allowed.
    TimedOut,
    /// The last namespace let go.
    Cancelled,
    /// Existing clients know it; we put the job back in the queue instead.
    WorkerLost,
    /// A newer job took its namespace.
    JobReplacedByClient,
    /// A client threw the result away.
    Deleted,
}

impl Reason {
    /// The wire's word for it, which is also the database's.
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

    /// Whether the result may answer later submissions of the same job, which then run nothing: a success does, and the others where the
    /// fault is the job's own.
    pub const fn is_cached(self) -> bool {
        matches!(self, Self::Success | Self::Error | Self::TimedOut)
    }

    /// Whether listings and broadcasts show such a job. The others simply vanish, as existing clients expect.
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

/// A job as clients see it. `finished` is only in `result.json`, never in a listing or a broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Where it stands.
    pub state: State,
    /// When it was submitted, epoch milliseconds.
    pub queued_time: i64,
    /// When it entered its state, epoch milliseconds.
    pub time: i64,
    /// The worker that holds or held it; empty when none did.
    pub worker: String,
    /// Who holds it alive.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Tags it needs of its worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Capacity it needs of its worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Requirements>,
    /// Whether the submitter asked for more words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<bool>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_reason: Option<Reason>,
    /// All about its end.
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
    /// Why, as programs read it: one of the end codes. Absent for `Success`, and where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose fault that is. Only a failure of the job's own answers later submissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<EndFault>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The namespace that a cancel named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
}

/// What a job left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct JobResult {
    /// Exit code of the container.
    #[serde(rename = "StatusCode", default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<i64>,
    /// The last of the run's log lines; of a job that failed before it ran, what pull or build said. Workers send none here: the API
    /// adds what it stored.
    #[serde(default)]
    pub logs: Vec<LogLine>,
    /// `build` where `logs` are lines of the build's log. Absent: they are the run's.
    #[serde(rename = "logsOf", default, skip_serializing_if = "Option::is_none")]
    pub logs_of: Option<String>,
    /// What of the log is not in `logs`. Absent: `logs` is all of it.
    #[serde(rename = "logsOmitted", default, skip_serializing_if = "Option::is_none")]
    pub logs_omitted: Option<OmittedLines>,
    /// How long the container ran, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "crate::definition::plain_number_or_none")]
    pub duration: Option<f64>,
    /// `{"statusCode", "json": {"message"}}` for reason `Error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(type = "unknown"))]
    pub error: Option<Value>,
    /// Whether the run was ended for its length.
    #[serde(rename = "isTimedOut", default)]
    pub is_timed_out: bool,
    /// Files of `/outputs` by their relative path.
    #[serde(default)]
    pub outputs: BTreeMap<String, DataRef>,
    /// What of `/outputs` is not in `outputs`. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// The beginning of a long log, which a result leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct OmittedLines {
    /// How many lines of the log come before those that the result holds.
    pub lines: u64,
    /// Where the whole log is, relative to the address of the result.
    pub url: String,
}

/// One transition in `history.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct HistoryEntry {
    /// State after the transition.
    pub state: State,
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
    /// Which claim of the job this is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i16>,
    /// Why, as programs read it: one of the end codes, of an end or of a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose fault that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<EndFault>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A worker as clients see it.
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
