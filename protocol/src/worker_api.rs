//! Bodies of the worker API. All calls are idempotent: a worker may send each of them again.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::duration::Duration;
use crate::end_code::EndFault;
use crate::job::{JobResult, Reason};
use crate::labels::labels_of_worker;
use crate::limits;
use crate::log::{LogLine, Step};
use crate::name::{JobId, WorkerId};

/// A worker and its capacity.
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
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Longest run it allows.
    #[serde(default = "duration_default")]
    pub max_job_duration: Duration,
    /// Its executor: `docker` or `process`. Only `process` gets jobs that name a script and no image.
    #[serde(default)]
    pub executor: String,
    /// Names of its secrets, which jobs may ask for.
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
    /// Its labels: see [`crate::labels`].
    pub fn labels(&self) -> Vec<String> {
        labels_of_worker(&self.tags, &self.secrets, &self.executor, &self.platforms, self.builds)
    }
}

/// Platforms of workers that do not name any.
pub(crate) fn platforms_default() -> Vec<String> {
    vec!["linux/amd64".to_owned()]
}

const fn yes() -> bool {
    true
}

const fn duration_default() -> Duration {
    Duration(limits::DURATION_DEFAULT)
}

/// Free capacity.
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
    /// The worker that claims.
    pub worker: WorkerDescription,
    /// Its free capacity.
    pub free: Free,
    /// How long to wait for a job. Absent means not at all.
    #[serde(default = "no_wait")]
    pub wait: Duration,
}

const fn no_wait() -> Duration {
    Duration(std::time::Duration::ZERO)
}

/// Answer to a claim. It has no jobs when none came within `wait`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ClaimAnswer {
    /// The claimed jobs, in the order of the queue.
    pub jobs: Vec<Claim>,
    /// Whether there are no jobs because the queue's owner has paused it.
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
    /// The epoch of the claim, which every later write must have.
    pub epoch: i64,
    /// How many times the job has been claimed, this one included.
    pub attempt: i16,
    /// When the claim ends at the latest, epoch milliseconds of the database's clock.
    pub deadline: i64,
    /// Longest run of the container.
    pub max_duration: Duration,
    /// The definition's text.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::Definition))]
    #[cfg_attr(feature = "typescript", ts(as = "crate::Definition"))]
    pub definition: Box<RawValue>,
    /// Namespaces that keep the job alive.
    pub namespaces: Vec<String>,
    /// Whether the submitter asked for a more detailed log.
    pub debug: bool,
}

/// A claim as its worker names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ClaimedJob {
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
    /// The worker.
    pub worker_id: WorkerId,
    /// Every claim that it has. The API queues a job of this worker again if its claim is missing here.
    pub jobs: Vec<ClaimedJob>,
    /// How long to wait for a job that must end. Absent means not at all.
    #[serde(default = "no_wait")]
    pub wait: Duration,
    /// Whether this is the last heartbeat, because the worker ends. A worker without claims then counts as gone at once and not when its
    /// lease runs out. Jobs of its claims that are missing in `jobs` are queued again at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub is_leaving: bool,
}

/// Answer to a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatAnswer {
    /// How long the claims live without another heartbeat.
    pub lease_seconds: f64,
    /// Claims that the API has ended. The worker stops these jobs and sends no finish.
    pub end: Vec<EndedJob>,
    /// Claims that the API does not know. The worker stops these jobs too.
    pub unknown: Vec<ClaimedJob>,
    /// Whether the API does not know the worker, which must describe itself with its next claim.
    #[serde(default)]
    pub is_unknown: bool,
}

/// A claim that the API has ended.
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
    /// Number of this chunk in the claim. It starts at 0 and has no gaps.
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
    /// Why it has no result: an end code. Absent for `Success`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose fault that is. A failure without a fault does not answer later submissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<EndFault>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its result.
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
    /// Why the worker releases the job: an end code. Absent when the worker only ends or takes no more jobs; such a release has no
    /// penalty. With a code, the job waits for a growing pause and goes behind the waiting jobs, and it ends after several such
    /// releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose fault that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<EndFault>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
