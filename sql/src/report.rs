//! Numbers of a queue: its depth, and the outcomes and times of its jobs.
//!
//! Every statement reads a bounded number of rows, for queues of any size and speed: see the headers of `queries/report`.

use std::time::Duration;

use protocol::Qid;

use crate::{Db, Result};

const DEPTH: &str = include_str!("../queries/report/depth.sql");
const OUTCOMES: &str = include_str!("../queries/report/outcomes.sql");
const TIMES: &str = include_str!("../queries/report/times.sql");
const WORKERS: &str = include_str!("../queries/report/workers.sql");

/// Most jobs of each state that [`Db::report_depth`] counts.
pub const DEPTH_MAX: i64 = 100_000;
/// Most workers that [`Db::report_workers`] shows.
const WORKERS_MAX: i64 = 500;
/// Most ended jobs of a slice of an interval that are counted one by one.
const COUNTED_MAX: i64 = 500;
/// Most ended jobs of a slice of an interval whose times are read.
const SAMPLED_MAX: i64 = 50;

/// The intervals that end now, the current one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Intervals {
    /// Length of one.
    pub length: Duration,
    /// How many.
    pub n: i32,
    /// The number of slices of each, so that a sample is spread over it.
    pub n_slices: i32,
}

/// Jobs that wait and run now, each counted up to [`DEPTH_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct DepthRow {
    /// Waiting ones.
    pub n_queued: i64,
    /// Running ones.
    pub n_running: i64,
    /// Since when the oldest waiting job waits, epoch milliseconds.
    pub oldest_queued_ms: Option<i64>,
    /// The database's clock, epoch milliseconds.
    pub now_ms: i64,
}

/// Jobs that ended in one interval in one way.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct OutcomeRow {
    /// Beginning of the interval, epoch milliseconds.
    pub interval_ms: i64,
    /// How they ended.
    pub reason: String,
    /// How many.
    pub n_jobs: f64,
    /// Whether there were too many to count them one by one.
    pub is_estimate: bool,
}

/// Times of a sample of the jobs that ended in one interval, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, sqlx::FromRow)]
pub struct TimesRow {
    /// Beginning of the interval, epoch milliseconds.
    pub interval_ms: i64,
    /// Jobs in the sample.
    pub n_sampled: i64,
    /// Those of them that ran to their end.
    pub n_success: i64,
    /// Those of them whose program exited with another code than 0.
    pub n_program_failures: i64,
    /// Median wait for the last claim.
    pub wait_p50: Option<f64>,
    /// 95th percentile.
    pub wait_p95: Option<f64>,
    /// Longest.
    pub wait_max: Option<f64>,
    /// Median run.
    pub run_p50: Option<f64>,
    /// 95th percentile.
    pub run_p95: Option<f64>,
    /// Longest.
    pub run_max: Option<f64>,
}

/// A worker seen lately and its load.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct LoadRow {
    /// Its id.
    pub worker_id: String,
    /// Version of its program.
    pub version: String,
    /// What runs its jobs.
    pub executor: String,
    /// Cpus that it offers.
    pub cpus: f64,
    /// Gpus that it offers.
    pub gpus: i32,
    /// Memory that it offers; 0 if unknown.
    pub memory_bytes: i64,
    /// Its tags.
    pub tags: Vec<String>,
    /// Longest run that it allows.
    pub max_seconds: i32,
    /// When it was last seen, epoch milliseconds.
    pub last_seen_ms: i64,
    /// Whether that is within the lease.
    pub is_alive: bool,
    /// Jobs that it runs.
    pub n_running: i64,
    /// Cpus that these take.
    pub cpus_used: f64,
    /// Gpus that these take.
    pub gpus_used: i64,
}

impl Db {
    /// Jobs of a queue that wait and run now, items included.
    pub async fn report_depth(&self, qid: Qid) -> Result<DepthRow> {
        Ok(sqlx::query_as(DEPTH).bind(qid).bind(DEPTH_MAX).fetch_one(&self.pool).await?)
    }

    /// Jobs of a queue that ended, by interval and reason, oldest first. Intervals without jobs are left out.
    pub async fn report_outcomes(&self, qid: Qid, intervals: Intervals) -> Result<Vec<OutcomeRow>> {
        Ok(of(OUTCOMES, qid, intervals, COUNTED_MAX).fetch_all(&self.pool).await?)
    }

    /// How long a sample of these jobs waited and ran, by interval, oldest first.
    pub async fn report_times(&self, qid: Qid, intervals: Intervals) -> Result<Vec<TimesRow>> {
        Ok(of(TIMES, qid, intervals, SAMPLED_MAX).fetch_all(&self.pool).await?)
    }

    /// The workers of a queue, at most 500, the last seen first. Dead workers are removed after an hour.
    pub async fn report_workers(&self, qid: Qid, lease: Duration) -> Result<Vec<LoadRow>> {
        Ok(sqlx::query_as(WORKERS).bind(qid).bind(lease.as_secs_f64()).bind(WORKERS_MAX).fetch_all(&self.pool).await?)
    }
}

type Rows<T> = sqlx::query::QueryAs<'static, sqlx::Postgres, T, sqlx::postgres::PgArguments>;

fn of<T>(statement: &'static str, qid: Qid, intervals: Intervals, n_max: i64) -> Rows<T>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    let Intervals { length, n, n_slices } = intervals;
    sqlx::query_as(statement).bind(qid).bind(length.as_secs_f64()).bind(n).bind(n_slices).bind(n_max)
}
