//! The messages of the server: what they contain, and their text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::{Jobs, JobsMessage, LogsMessage, Qid, ServerMessage, StateCursor, WorkersMessage};
use sql::{Db, JobRow, Result};

/// A log message with this many lines gets no further chunk.
const LINES_JOINED_MAX: usize = 1_000;

/// A message for these jobs, which were read at this position in the history.
pub(super) fn jobs_message(rows: &[JobRow], cursor: Option<StateCursor>) -> JobsMessage {
    let jobs: BTreeMap<_, _> = rows.iter().map(|row| (row.job_id.clone(), row.to_job())).collect();
    JobsMessage { state: Jobs { jobs }, is_subset: false, is_past: false, cursor }
}

/// One message for neighbouring chunks of one job and step: a burst must not push earlier messages out of the ring.
pub(super) fn joined(rows: Vec<sql::NewerRow>) -> Result<Vec<LogsMessage>> {
    let mut messages: Vec<LogsMessage> = Vec::new();
    for row in rows {
        let mut logs = row.lines()?;
        match messages.last_mut() {
            Some(last) if last.job_id == row.job_id && last.step == row.step && last.logs.len() < LINES_JOINED_MAX => {
                last.logs.append(&mut logs);
                last.cursor = Some(row.lines_after);
            }
            _ => messages.push(LogsMessage { job_id: row.job_id, step: row.step, logs, cursor: Some(row.lines_after) }),
        }
    }
    Ok(messages)
}

/// The workers of a queue as one message.
pub(crate) async fn workers_message(db: &Db, qid: Qid, lease: Duration) -> Result<Arc<str>> {
    let rows = db.list_workers(qid, lease).await?;
    let workers = rows.iter().map(sql::WorkerRow::to_info).collect();
    Ok(text_of(&ServerMessage::Workers(WorkersMessage { workers })))
}

/// The message without its times, to find out whether anything else changed: every heartbeat changes `time`.
pub(super) fn without_times(text: &str) -> Arc<str> {
    let mut value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let workers = value.pointer_mut("/payload/workers").and_then(|workers| workers.as_array_mut());
    for worker in workers.into_iter().flatten() {
        worker["time"] = 0.into();
    }
    value.to_string().into()
}

/// A server message as a text frame.
pub(crate) fn text_of(message: &ServerMessage) -> Arc<str> {
    serde_json::to_string(message).unwrap_or_default().into()
}
