//! Bodies of the worker API. Everything is idempotent: a worker may send any of them again.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::duration::Duration;
use crate::end_code::EndFault;
use crate::job::{JobResult, Reason};
use crate::labels::labels_of_worker;
use crate::limits;
use crate::log::{LogLine, Step};
use crate::name::{JobId, WorkerId};

/// What a worker is and offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct WorkerDescription {
    /// Its id, stable over restarts.
    pub id: WorkerId,
    /// Its program's version.
    #[serde(default)]
    pub version: String,
    /// Cpus it offers.
    pub cpus: f64,
    /// Gpus it offers.
    #[serde(default)]
    pub gpus: u32,
    /// Bytes of memory it offers.
    #[serde(default)]
    pub memory: u64,
    /// Tags it carries.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Longest run it allows.
    #[serde(default = "duration_default")]
    pub max_job_duration: Duration,
    /// How it runs jobs: `docker` or `process`. Jobs that name a script and no image are for the latter alone.
    #[serde(default)]
    pub executor: String,
    /// Names of the secrets that it gives to jobs which ask for them.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Platforms of the images that it builds.
    #[serde(default = "platforms_default")]
    pub platforms: Vec<String>,
    /// Whether it builds images.
    #[serde(default = "yes")]
    pub builds: bool,
}

impl WorkerDescription {
    /// The labels that it carries: see [`crate::labels`].
    pub fn labels(&self) -> Vec<String> {
        labels_of_worker(&self.tags, &self.secrets, &self.executor, &self.platforms, self.builds)
    }
}

/// Of workers that do not say.
pub(crate) fn platforms_default() -> Vec<String> {
    vec!["linux/amd64".to_owned()]
}

const fn yes() -> bool {
    true
}

const fn duration_default() -> Duration {
    Duration(limits::DURATION_DEFAULT)
}

/// Capacity that no job holds now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct Free {
    /// Cpus.
    pub cpus: f64,
    /// Gpus.
    #[serde(default)]
    pub gpus: u32,
    /// Bytes of memory.
    #[serde(default)]
    pub memory: u64,
    /// Most jobs wanted.
    pub jobs: u32,
}

/// `POST /q/:queue/claim`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct ClaimRequest {
    /// Who asks.
    pub worker: WorkerDescription,
    /// How much it can take now.
    pub free: Free,
    /// How long to wait for a job; absent means not at all.
    #[serde(default = "no_wait")]
    pub wait: Duration,
}

const fn no_wait() -> Duration {
    Duration(std::time::Duration::ZERO)
}

/// Answer of a claim. Empty after `wait`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ClaimAnswer {
    /// The claimed jobs, in the order of the queue.
    pub jobs: Vec<Claim>,
    /// Whether there are none because the queue's owner has paused it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub is_paused: bool,
}

/// One claimed job.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Which job.
    pub job_id: JobId,
    /// The fence: every later write carries it.
    pub epoch: i64,
    /// How many times the job has been claimed, this one included.
    pub attempt: i16,
    /// When the API takes the claim back, epoch milliseconds of the database's clock.
    pub deadline: i64,
    /// Longest run of the container.
    pub max_duration: Duration,
    /// The definition's text.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::Definition))]
    #[cfg_attr(feature = "typescript", ts(as = "crate::Definition"))]
    pub definition: Box<RawValue>,
    /// Who holds the job alive.
    pub namespaces: Vec<String>,
    /// Whether the submitter asked for more words.
    pub debug: bool,
}

/// A claim that a worker believes it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct HeldJob {
    /// Which job.
    pub job_id: JobId,
    /// Its claim's epoch.
    pub epoch: i64,
}

/// `POST /q/:queue/heartbeat`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatRequest {
    /// Who lives.
    pub worker_id: WorkerId,
    /// Every claim it holds. A claim of this worker that is missing here was lost on the way and is queued again.
    pub jobs: Vec<HeldJob>,
    /// How long to wait for a job that must end; absent means not at all.
    #[serde(default = "no_wait")]
    pub wait: Duration,
    /// Whether this is the last one: the worker ends and asks for no more jobs. Without claims it counts as gone at once, not
    /// when its lease is over, and its claims that are missing in `jobs` are queued again at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub is_leaving: bool,
}

/// Answer of a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatAnswer {
    /// How long the claims live without another heartbeat.
    pub lease_seconds: f64,
    /// Claims that ended here: stop them, finish nothing.
    pub end: Vec<EndedJob>,
    /// Claims that nobody knows: stop them too.
    pub unknown: Vec<HeldJob>,
    /// Whether the worker itself is unknown and must describe itself with its next claim.
    #[serde(default)]
    pub is_unknown: bool,
}

/// A claim that ended without its worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct EndedJob {
    /// Which job.
    pub job_id: JobId,
    /// The ended claim's epoch.
    pub epoch: i64,
    /// Why.
    pub reason: Reason,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `POST /q/:queue/j/:id/logs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct LogsRequest {
    /// The claim's epoch.
    pub epoch: i64,
    /// Number of this chunk in the claim, from 0, without gaps.
    pub seq: i32,
    /// What the job was doing.
    pub step: Step,
    /// The lines.
    pub lines: Vec<LogLine>,
}

/// `POST /q/:queue/j/:id/finish`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct FinishRequest {
    /// The claim's epoch.
    pub epoch: i64,
    /// How the job ended: `Success`, `Error` or `TimedOut`.
    pub reason: Reason,
    /// Why, as programs read it: one of the end codes. Absent for `Success`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose fault that is. A failure that does not say so answers no later submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<EndFault>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it left.
    #[serde(default)]
    pub result: JobResult,
}

/// `POST /q/:queue/j/:id/release`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct ReleaseRequest {
    /// The claim's epoch.
    pub epoch: i64,
    /// Why, as programs read it: one of the end codes. Absent when the worker only ends or takes no more jobs: such a release
    /// has no penalty. With a code the job goes behind those that wait, after a pause that grows, and ends after some such releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose fault that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<EndFault>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
