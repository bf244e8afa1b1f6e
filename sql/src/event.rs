//! Transitions: the history of a job, and the changes in a queue.

use std::collections::HashMap;

use protocol::{HistoryEntry, Job, JobState, Qid, StateCursor};

use crate::queued::column;
use crate::{Db, Result};

const HISTORY: &str = include_str!("../queries/event/history.sql");
const CHANGED: &str = include_str!("../queries/event/changed.sql");
const HORIZON: &str = include_str!("../queries/event/horizon.sql");
const OLDEST_WRITER: &str = include_str!("../queries/event/oldest_writer.sql");

/// Most transitions of one job that its history shows.
const HISTORY_MAX: i64 = 10_000;
/// Most changes of one queue in one read.
const CHANGES_MAX: i64 = 2_000;

/// One transition of one job.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct HistoryRow {
    at_ms: i64,
    kind: String,
    reason: Option<String>,
    worker_id: Option<String>,
    namespace: Option<String>,
    attempt: Option<i16>,
    code: Option<String>,
    fault: Option<String>,
    message: Option<String>,
}

impl HistoryRow {
    /// The transition in the form for clients; `before` is the state before it.
    pub fn to_entry(&self, before: JobState) -> HistoryEntry {
        HistoryEntry {
            state: state_after(&self.kind).unwrap_or(before),
            time: self.at_ms,
            event: self.kind.clone(),
            reason: self.reason.as_deref().and_then(|reason| reason.parse().ok()),
            worker: self.worker_id.clone(),
            namespace: self.namespace.clone(),
            attempt: self.attempt,
            code: self.code.clone(),
            fault: self.fault.as_deref().and_then(|fault| fault.parse().ok()),
            message: self.message.clone(),
        }
    }
}

/// The state after a kind of event; none if the state does not change.
fn state_after(kind: &str) -> Option<JobState> {
    match kind {
        "queued" | "released" | "requeued" => Some(JobState::Queued),
        "claimed" => Some(JobState::Running),
        "joined" | "left" => None,
        "removed" => Some(JobState::Removed),
        _ => Some(JobState::Finished),
    }
}

/// One change in a queue.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ChangedRow {
    /// Which queue.
    pub qid: Qid,
    /// Which job.
    pub job_id: String,
    /// Its position in the order of events: transaction, …
    pub xid: String,
    /// … then number.
    pub seq: i64,
    kind: String,
    at_ms: i64,
    reason: Option<String>,
    worker_id: Option<String>,
    snapshot: String,
}

impl ChangedRow {
    /// The state after the change; none if the state did not change.
    pub fn state(&self) -> Option<JobState> {
        state_after(&self.kind)
    }

    /// The job after this change; `now` is its present state.
    pub fn job_then(&self, now: Job) -> Job {
        let state = self.state().unwrap_or(now.state);
        let worker = if state == JobState::Queued { None } else { self.worker_id.clone() };
        Job {
            state,
            time: self.at_ms,
            worker: worker.unwrap_or_default(),
            finished_reason: self
                .reason
                .as_deref()
                .filter(|_| state == JobState::Finished)
                .and_then(|reason| reason.parse().ok()),
            finished: None,
            ..now
        }
    }
}

/// What a watcher of one queue has seen: every event that this database snapshot sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCursor {
    /// Which queue.
    pub qid: Qid,
    /// The snapshot.
    pub snapshot: String,
    /// The position of a read of the other events, and the snapshot at its beginning.
    reading: Option<Reading>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    xid: String,
    seq: i64,
    began: String,
}

impl EventCursor {
    /// A watcher that has seen everything in this snapshot.
    pub fn at(qid: Qid, snapshot: String) -> Self {
        Self { qid, snapshot, reading: None }
    }

    /// The snapshot as a position in the history of the database. A read with a larger position sees everything that this one saw.
    pub fn state_cursor(&self) -> Option<StateCursor> {
        cursor_of(&self.snapshot)
    }

    fn place(&self) -> (&str, i64) {
        self.reading.as_ref().map_or(("0", 0), |reading| (reading.xid.as_str(), reading.seq))
    }

    /// The cursor after a read that ended with this row. Events that are committed during a long read are seen by the next one.
    fn behind(self, last: &ChangedRow, is_whole: bool) -> Self {
        let began = self.reading.map_or_else(|| last.snapshot.clone(), |reading| reading.began);
        if is_whole {
            return Self::at(self.qid, began);
        }
        Self { reading: Some(Reading { xid: last.xid.clone(), seq: last.seq, began }), ..self }
    }
}

/// How many transactions had ended in a snapshot, `xmin:xmax:xip,…`: those before xmax, except those that were under way. A snapshot
/// that sees more has a larger number.
pub(crate) fn cursor_of(snapshot: &str) -> Option<StateCursor> {
    let mut parts = snapshot.splitn(3, ':').skip(1);
    let end: u64 = parts.next()?.parse().ok()?;
    let n_under_way = parts.next()?.split(',').filter(|xid| !xid.is_empty()).count();
    Some(StateCursor(end.saturating_sub(n_under_way as u64)))
}

/// The oldest transaction that writes.
#[derive(Clone, Copy, Debug, PartialEq, sqlx::FromRow)]
pub struct OldestWriter {
    /// Process of the database, 0 for a prepared transaction.
    pub pid: i32,
    /// Its age; none if this role may not read it.
    pub age_seconds: Option<f64>,
}

/// What changed after some cursors.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The changes, in the order of each queue's events.
    pub rows: Vec<ChangedRow>,
    /// What the watchers of these queues have seen now.
    pub seen: Vec<EventCursor>,
    /// Where to continue in queues with more changes.
    pub rest: Vec<EventCursor>,
}

impl Changes {
    fn of(rows: Vec<ChangedRow>, cursors: &[EventCursor]) -> Self {
        let mut last: HashMap<Qid, (i64, &ChangedRow)> = HashMap::new();
        for row in &rows {
            let n = last.get(&row.qid).map_or(0, |(n, _)| *n);
            last.insert(row.qid, (n + 1, row));
        }
        let (mut seen, mut rest) = (Vec::new(), Vec::new());
        for cursor in cursors {
            match last.get(&cursor.qid) {
                Some((n, row)) if *n >= CHANGES_MAX => rest.push(cursor.clone().behind(row, false)),
                Some((_, row)) => seen.push(cursor.clone().behind(row, true)),
                None => seen.extend(cursor.reading.clone().map(|reading| Self::whole(cursor.qid, reading))),
            }
        }
        Self { rows, seen, rest }
    }

    fn whole(qid: Qid, reading: Reading) -> EventCursor {
        EventCursor::at(qid, reading.began)
    }
}

impl Db {
    /// Every transition of one job, oldest first.
    pub async fn job_history(&self, qid: Qid, job_id: &str) -> Result<Vec<HistoryEntry>> {
        let query = sqlx::query_as(HISTORY).bind(qid).bind(job_id).bind(HISTORY_MAX);
        let rows: Vec<HistoryRow> = query.fetch_all(&self.pool).await?;
        let mut state = JobState::Queued;
        let entries = rows.iter().map(|row| {
            let entry = row.to_entry(state);
            state = entry.state;
            entry
        });
        Ok(entries.collect())
    }

    /// What changed in each queue after its cursor.
    pub async fn changed_jobs(&self, cursors: &[EventCursor]) -> Result<Changes> {
        let query = sqlx::query_as(CHANGED)
            .bind(column(cursors, |c| c.qid))
            .bind(column(cursors, |c| c.snapshot.as_str()))
            .bind(column(cursors, |c| c.place().0))
            .bind(column(cursors, |c| c.place().1))
            .bind(CHANGES_MAX);
        let rows: Vec<ChangedRow> = query.fetch_all(&self.pool).await?;
        Ok(Changes::of(rows, cursors))
    }

    /// The cursor with which a new watcher starts.
    pub async fn event_horizon(&self, qid: Qid) -> Result<EventCursor> {
        Ok(EventCursor::at(qid, sqlx::query_scalar(HORIZON).fetch_one(&self.pool).await?))
    }

    /// The oldest transaction of the cluster that writes. It delays events after its beginning.
    pub async fn oldest_writer(&self) -> Result<Option<OldestWriter>> {
        Ok(sqlx::query_as(OLDEST_WRITER).fetch_optional(&self.pool).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_sees_more_has_a_larger_cursor() {
        let in_order = ["10:10:", "10:12:10", "10:13:10", "13:13:", "13:20:13,14,15,16,17"];
        let cursors = in_order.map(|snapshot| cursor_of(snapshot).unwrap().0);
        assert_eq!(cursors, [10, 11, 12, 13, 15]);
        assert_eq!(cursor_of(""), None);
    }
}
