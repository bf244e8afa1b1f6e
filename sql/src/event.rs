//! Transitions: the history of a job, and what changed in a queue.

use std::collections::HashMap;

use protocol::{HistoryEntry, Qid, State};

use crate::queued::column;
use crate::{Db, Result};

const HISTORY: &str = include_str!("../queries/event/history.sql");
const CHANGED: &str = include_str!("../queries/event/changed.sql");
const HORIZON: &str = include_str!("../queries/event/horizon.sql");

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
    /// The transition as clients see it; `before` is the state that it left.
    pub fn to_entry(&self, before: State) -> HistoryEntry {
        let state = match self.kind.as_str() {
            "queued" | "released" | "requeued" => State::Queued,
            "claimed" => State::Running,
            "joined" | "left" => before,
            "removed" => State::Removed,
            _ => State::Finished,
        };
        HistoryEntry {
            state,
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

/// One change in a queue.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ChangedRow {
    /// Which queue.
    pub qid: Qid,
    /// Which job.
    pub job_id: String,
    /// Its place in the order of events: transaction, …
    pub xid: String,
    /// … then number.
    pub seq: i64,
    /// Whether nothing can come before it any more.
    pub is_settled: bool,
}

/// A place in the order of one queue's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCursor {
    /// Which queue.
    pub qid: Qid,
    /// Transaction, …
    pub xid: String,
    /// … then number.
    pub seq: i64,
}

/// What changed after some cursors.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The changes, in the order of each queue's events.
    pub rows: Vec<ChangedRow>,
    /// Where to read on in queues that have more.
    pub rest: Vec<EventCursor>,
}

impl From<Vec<ChangedRow>> for Changes {
    fn from(rows: Vec<ChangedRow>) -> Self {
        let mut last: HashMap<Qid, (i64, &ChangedRow)> = HashMap::new();
        for row in &rows {
            let n = last.get(&row.qid).map_or(0, |(n, _)| *n);
            last.insert(row.qid, (n + 1, row));
        }
        let full = last.into_values().filter(|(n, _)| *n >= CHANGES_MAX);
        let rest = full.map(|(_, row)| EventCursor { qid: row.qid, xid: row.xid.clone(), seq: row.seq }).collect();
        Self { rows, rest }
    }
}

impl Db {
    /// Every transition of one job, oldest first.
    pub async fn job_history(&self, qid: Qid, job_id: &str) -> Result<Vec<HistoryEntry>> {
        let query = sqlx::query_as(HISTORY).bind(qid).bind(job_id).bind(HISTORY_MAX);
        let rows: Vec<HistoryRow> = query.fetch_all(&self.pool).await?;
        let mut state = State::Queued;
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
            .bind(column(cursors, |c| c.xid.as_str()))
            .bind(column(cursors, |c| c.seq))
            .bind(CHANGES_MAX);
        let rows: Vec<ChangedRow> = query.fetch_all(&self.pool).await?;
        Ok(rows.into())
    }

    /// The cursor with which a new watcher starts.
    pub async fn event_horizon(&self) -> Result<String> {
        Ok(sqlx::query_scalar(HORIZON).fetch_one(&self.pool).await?)
    }
}
