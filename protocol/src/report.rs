//! The report of a queue and the list of its jobs, for the queue's page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::{JobState, Reason};

/// How far back a report looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum Span {
    /// The last hour, by minutes.
    #[default]
    Hour,
    /// The last day, by hours.
    Day,
}

/// The report of a queue.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When the report was made, epoch milliseconds.
    pub time: i64,
    /// How far back the report looks.
    pub span: Span,
    /// Length of one interval.
    pub interval_seconds: u64,
    /// Whether the queue is paused, so that workers get no jobs of it.
    pub paused: bool,
    /// Waiting and running jobs.
    pub depth: Depth,
    /// Intervals, oldest first. The last one is not over yet.
    pub intervals: Vec<Interval>,
    /// The workers, at most 500, the last seen first. A dead worker is listed for an hour.
    pub workers: Vec<Load>,
}

/// Number of waiting and running jobs, including items of the task-queue API.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Depth {
    /// Waiting jobs.
    pub queued: i64,
    /// Running jobs.
    pub running: i64,
    /// Whether there are more jobs than were counted.
    pub is_capped: bool,
    /// When the oldest waiting job was queued, epoch milliseconds. Null when no job waits.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub oldest_queued_time: Option<i64>,
}

/// Jobs that ended in an interval.
#[derive(Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Its beginning, epoch milliseconds.
    pub time: i64,
    /// How many jobs ended.
    pub finished: i64,
    /// How many jobs ended for each reason. Reasons without a job are left out.
    #[cfg_attr(feature = "typescript", ts(type = "Partial<Record<Reason, number>>"))]
    pub outcomes: BTreeMap<String, i64>,
    /// How many jobs with the reason `Success` have an exit code other than 0, estimated from the sample.
    pub program_failures: i64,
    /// Whether the numbers are estimates, because very many jobs ended.
    pub is_estimate: bool,
    /// Number of jobs in the sample of times.
    pub sampled: i64,
    /// Time from the submission to the last claim. Null when no job of the sample was claimed.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub waiting: Option<Times>,
    /// Time of the run. Null in the same case.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub running: Option<Times>,
}

/// Times in seconds.
#[derive(Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Times {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Longest.
    pub max: f64,
}

/// A worker and its load.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Its id.
    pub id: String,
    /// Version of its program.
    pub version: String,
    /// Its executor.
    pub executor: String,
    /// Cpus that it offers.
    pub cpus: f64,
    /// Gpus that it offers.
    pub gpus: i32,
    /// Bytes of memory that it offers. 0 when it does not say.
    pub memory: i64,
    /// Its tags.
    pub tags: Vec<String>,
    /// Longest run that it allows.
    pub max_job_duration: String,
    /// When it was last seen, epoch milliseconds.
    pub time: i64,
    /// Whether it was seen within the lease.
    pub is_alive: bool,
    /// Number of jobs that it has claimed.
    pub jobs: i64,
    /// Cpus of these jobs.
    pub cpus_used: f64,
    /// Gpus of these jobs.
    pub gpus_used: i64,
}

/// A page of jobs.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct JobPage {
    /// The jobs.
    pub data: Vec<ListedJob>,
    /// Value of `before` for the next page. Null on the last page.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub next: Option<String>,
}

/// A job in a list.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ListedJob {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: JobState,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub reason: Option<Reason>,
    /// Its end code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub message: Option<String>,
    /// Exit code of its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub status_code: Option<i64>,
    /// Image, cut if it is long. Absent when there is none or the definition is large.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub image: Option<String>,
    /// Whether the image is built for it.
    pub is_build: bool,
    /// Command, with the same rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub command: Option<String>,
    /// Whether it is an item of the task-queue API and not a container job.
    pub is_item: bool,
    /// The worker that runs or ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub worker: Option<String>,
    /// How many times it was claimed.
    pub attempt: i16,
    /// When it was submitted, epoch milliseconds.
    pub queued_time: i64,
    /// When it was last claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub claimed_time: Option<i64>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub finished_time: Option<i64>,
    /// How long its program ran, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub duration: Option<f64>,
}
