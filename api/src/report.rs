//! The data of a queue's page: depth, outcomes and times in each interval, and the workers with their load.
//!
//! Invariants: a report reads a bounded number of rows for queues of any size and speed (`sql/queries/report`). A queue costs one
//! report for each span every [`FRESH`], for any number of viewers. At most [`KEPT`] reports are cached. No report contains a
//! queue's name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use moka::future::Cache;
use protocol::report::{Depth, Interval, Load, Report, Span, Times};
use protocol::{Qid, Reason};
use serde::Serialize;
use sql::{Db, DepthRow, Intervals, LoadRow, OutcomeRow, TimesRow};
use utoipa::ToSchema;

use crate::error::ApiError;

/// How old a report may be.
const FRESH: Duration = Duration::from_secs(2);
/// Most cached reports. Each has at most a few hundred kilobytes, usually ten.
const KEPT: u64 = 200;

fn intervals_of(span: Span) -> Intervals {
    match span {
        Span::Hour => Intervals { length: Duration::from_mins(1), n: 60, n_slices: 4 },
        Span::Day => Intervals { length: Duration::from_hours(1), n: 24, n_slices: 12 },
    }
}

/// A queue in numbers.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownReport {
    data: Report,
}

/// The reports of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    db: Db,
    lease: Duration,
    known: Cache<(Qid, Span), Bytes>,
}

impl Reports {
    pub(crate) fn new(db: Db, lease: Duration) -> Self {
        Self { db, lease, known: Cache::builder().max_capacity(KEPT).time_to_live(FRESH).build() }
    }

    /// The report as JSON. Requests at the same time share one report.
    pub(crate) async fn get(&self, qid: Qid, span: Span, paused: bool) -> Result<Bytes, ApiError> {
        let made = async { self.make(qid, span, paused).await.map(|report| Bytes::from(to_json(&report))) };
        self.known.try_get_with((qid, span), made).await.map_err(|error: Arc<ApiError>| (*error).clone())
    }

    async fn make(&self, qid: Qid, span: Span, paused: bool) -> Result<ShownReport, ApiError> {
        let intervals = intervals_of(span);
        let depth = self.db.report_depth(qid).await?;
        let outcomes = self.db.report_outcomes(qid, intervals).await?;
        let times = self.db.report_times(qid, intervals).await?;
        let workers = self.db.report_workers(qid, self.lease).await?;
        let report = Report {
            time: depth.now_ms,
            span,
            interval_seconds: intervals.length.as_secs(),
            paused,
            intervals: fill(depth.now_ms, intervals, &outcomes, &times),
            depth: depth_of(&depth),
            workers: workers.into_iter().map(load_of).collect(),
        };
        Ok(ShownReport { data: report })
    }
}

fn to_json(report: &ShownReport) -> String {
    serde_json::to_string(report).unwrap_or_default()
}

fn depth_of(row: &DepthRow) -> Depth {
    Depth {
        queued: row.n_queued,
        running: row.n_running,
        is_capped: row.n_queued.max(row.n_running) >= sql::DEPTH_MAX,
        oldest_queued_time: row.oldest_queued_ms,
    }
}

fn load_of(row: LoadRow) -> Load {
    let max = Duration::from_secs(u64::try_from(row.max_seconds).unwrap_or(0));
    Load {
        id: row.worker_id,
        version: row.version,
        executor: row.executor,
        cpus: row.cpus,
        gpus: row.gpus,
        memory: row.memory_bytes,
        tags: row.tags,
        max_job_duration: protocol::format_duration(max),
        time: row.last_seen_ms,
        is_alive: row.is_alive,
        jobs: row.n_running,
        cpus_used: row.cpus_used,
        gpus_used: row.gpus_used,
    }
}

/// Every interval up to now, including those without jobs. An interval that began in the meantime is left to the next report.
fn fill(now_ms: i64, intervals: Intervals, outcomes: &[OutcomeRow], times: &[TimesRow]) -> Vec<Interval> {
    let length = i64::try_from(intervals.length.as_millis()).unwrap_or(i64::MAX);
    let current = now_ms - now_ms.rem_euclid(length);
    let begins = (0..i64::from(intervals.n)).rev().map(|back| current - back * length);
    begins.map(|time| interval(time, outcomes, times)).collect()
}

fn interval(time: i64, outcomes: &[OutcomeRow], times: &[TimesRow]) -> Interval {
    let own = || outcomes.iter().filter(|row| row.interval_ms == time);
    let outcomes: BTreeMap<String, i64> = own().map(|row| (row.reason.clone(), whole(row.n_jobs))).collect();
    let sample = times.iter().find(|row| row.interval_ms == time);
    let share = sample.filter(|row| row.n_success > 0).map_or(0.0, |row| row.n_program_failures as f64 / row.n_success as f64);
    let n_success = outcomes.get(Reason::Success.as_str()).copied().unwrap_or(0);
    Interval {
        time,
        finished: outcomes.values().sum(),
        program_failures: whole(n_success as f64 * share),
        is_estimate: own().any(|row| row.is_estimate),
        outcomes,
        sampled: sample.map_or(0, |row| row.n_sampled),
        waiting: sample.and_then(|row| percentiles(row.wait_p50, row.wait_p95, row.wait_max)),
        running: sample.and_then(|row| percentiles(row.run_p50, row.run_p95, row.run_max)),
    }
}

/// Rounded to milliseconds: smaller differences are noise of the clocks.
fn percentiles(p50: Option<f64>, p95: Option<f64>, max: Option<f64>) -> Option<Times> {
    let round = |seconds: f64| (seconds * 1_000.0).round() / 1_000.0;
    Some(Times { p50: round(p50?), p95: round(p95?), max: round(max?) })
}

#[expect(clippy::cast_possible_truncation, reason = "counts of jobs stay far below 2^52")]
fn whole(n: f64) -> i64 {
    n.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_without_jobs_are_there_and_a_sample_gives_the_share_of_failed_programs() {
        let intervals = Intervals { length: Duration::from_mins(1), n: 3, n_slices: 4 };
        let outcome =
            |reason: &str, n_jobs, is_estimate| OutcomeRow { interval_ms: 60_000, reason: reason.into(), n_jobs, is_estimate };
        let times = TimesRow {
            interval_ms: 60_000,
            n_sampled: 10,
            n_success: 8,
            n_program_failures: 2,
            wait_p50: Some(0.123_456),
            wait_p95: Some(1.0),
            wait_max: Some(2.0),
            run_p50: None,
            run_p95: None,
            run_max: None,
        };
        let filled = fill(179_999, intervals, &[outcome("Error", 20.4, false), outcome("Success", 100.0, true)], &[times]);
        assert_eq!(filled.iter().map(|one| one.time).collect::<Vec<_>>(), [0, 60_000, 120_000]);
        assert_eq!((filled[0].finished, filled[2].finished, filled[0].is_estimate), (0, 0, false));
        let busy = &filled[1];
        assert_eq!((busy.finished, busy.program_failures, busy.is_estimate, busy.sampled), (120, 25, true, 10));
        assert_eq!(busy.waiting, Some(Times { p50: 0.123, p95: 1.0, max: 2.0 }));
        assert_eq!(busy.running, None);
    }
}
