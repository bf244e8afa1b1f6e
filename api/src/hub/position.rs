//! The position in one queue's messages, so that each change and each line is sent once.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::JobState;
use sql::{EventCursor, JobRow, LogCursor};

use super::snapshot::Snapshot;

/// The position in one queue's messages.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// The events that were sent.
    pub(super) cursor: Option<EventCursor>,
    /// When each running job was submitted, epoch milliseconds.
    running: HashMap<String, i64>,
    pub(super) logs: HashMap<String, (i64, i32)>,
    pub(super) workers: Option<Arc<str>>,
    pub(super) snapshot: Option<Snapshot>,
}

impl Position {
    /// Starts to watch the queue for a client: from now on events after this position and lines after these cursors matter.
    pub(super) fn start(&mut self, cursor: EventCursor, running: HashMap<String, i64>, logs: HashMap<String, (i64, i32)>) {
        self.cursor.get_or_insert(cursor);
        self.running.extend(running);
        self.logs.extend(logs);
    }

    /// Forgets the stored snapshot, because it is outdated.
    pub(super) fn forget_snapshot(&mut self) {
        self.snapshot = None;
    }

    /// Adds the jobs whose log lines matter: those that run, and those that ended since the last tick.
    pub(super) fn note_running(&mut self, rows: &[JobRow]) {
        let alive = rows.iter().filter(|row| row.state() != JobState::Queued);
        self.running.extend(alive.map(|row| (row.job_id.clone(), row.queued_ms())));
    }

    pub(super) fn forget_ended(&mut self, rows: &[JobRow]) {
        for row in rows.iter().filter(|row| row.state() == JobState::Finished) {
            self.running.remove(&row.job_id);
            self.logs.remove(&row.job_id);
        }
    }

    pub(super) fn log_cursors(&self) -> Vec<LogCursor> {
        let cursor = |(job_id, queued_ms): (&String, &i64)| {
            let (epoch, seq) = self.logs.get(job_id).copied().unwrap_or((0, -1));
            LogCursor { job_id: job_id.clone(), epoch, seq, queued_ms: *queued_ms }
        };
        self.running.iter().map(cursor).collect()
    }
}
