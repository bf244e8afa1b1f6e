//! A queue in numbers, and its jobs at a glance: what its page shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::{Reason, State};

/// How far back a report looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum Span {
    /// The last hour, minute by minute.
    #[default]
    Hour,
    /// The last day, hour by hour.
    Day,
}

/// A queue in numbers.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When it was made, epoch milliseconds.
    pub time: i64,
    /// How far back it looks.
    pub span: Span,
    /// Length of one interval.
    pub interval_seconds: u64,
    /// Whether workers get no jobs of the queue.
    pub paused: bool,
    /// Jobs that wait and run.
    pub depth: Depth,
    /// Oldest first; the last one is not over yet.
    pub intervals: Vec<Interval>,
    /// The workers, at most 500, the last seen first. One that is dead goes after an hour.
    pub workers: Vec<Load>,
}

/// Jobs that wait and run now, items of the task-queue API included.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Depth {
    /// Waiting ones.
    pub queued: i64,
    /// Running ones.
    pub running: i64,
    /// Whether there are more than could be counted.
    pub is_capped: bool,
    /// Since when the one waits that waits longest, epoch milliseconds; null when none waits.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub oldest_queued_time: Option<i64>,
}

/// Jobs that ended within an interval.
#[derive(Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Its beginning, epoch milliseconds.
    pub time: i64,
    /// How many ended.
    pub finished: i64,
    /// How many ended how. Ways in which none ended are left out.
    #[cfg_attr(feature = "typescript", ts(type = "Partial<Record<Reason, number>>"))]
    pub outcomes: BTreeMap<String, i64>,
    /// Of the outcome `Success`, how many have an exit code other than 0, going by the sample.
    pub program_failures: i64,
    /// Whether so many ended that the numbers are estimates.
    pub is_estimate: bool,
    /// Of how many jobs the times are.
    pub sampled: i64,
    /// Wait for the last claim; null when no job of the sample was claimed.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub waiting: Option<Times>,
    /// Run; null likewise.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub running: Option<Times>,
}

/// Seconds.
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
    /// What runs its jobs.
    pub executor: String,
    /// Cpus that it offers.
    pub cpus: f64,
    /// Gpus that it offers.
    pub gpus: i32,
    /// Bytes of memory that it offers; 0 when it does not say.
    pub memory: i64,
    /// Tags that it carries.
    pub tags: Vec<String>,
    /// Longest run that it allows.
    pub max_job_duration: String,
    /// When it was last seen, epoch milliseconds.
    pub time: i64,
    /// Whether that is lately enough for its jobs to be its own.
    pub is_alive: bool,
    /// Jobs that it holds.
    pub jobs: i64,
    /// Cpus that these take.
    pub cpus_used: f64,
    /// Gpus that these take.
    pub gpus_used: i64,
}

/// A page of jobs.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct JobPage {
    /// The jobs.
    pub data: Vec<ListedJob>,
    /// What to give as `before` for the next page; null on the last one.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub next: Option<String>,
}

/// A job at a glance.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ListedJob {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub reason: Option<Reason>,
    /// Why it ended so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub message: Option<String>,
    /// Exit code of its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub status_code: Option<i64>,
    /// Image, cut when it is long. Absent when there is none and when the definition is large.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub image: Option<String>,
    /// Whether the image is built for it.
    pub is_build: bool,
    /// Command, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub command: Option<String>,
    /// Whether it is an item of the task-queue API and no container job.
    pub is_item: bool,
    /// Who runs or ran it.
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
