//! Definitions, to a worker that may want to run them. One with a login in its build context's URL is sent only to the worker that
//! holds the job, as soon as it does.

use std::collections::BTreeMap;

use protocol::{DefinitionsMessage, JobId, ServerMessage, WorkerId};
use serde_json::value::RawValue;
use sql::ListedDefinition;

use super::Worker;
use crate::hub::text_of;
use crate::routes::socket::Closed;

/// Definitions in one message: with the largest, 8 MiB.
const PER_MESSAGE: usize = 8;
/// Most definitions that one request gets, and that come unasked with one message. A worker asks for the others.
const ANSWERED_MAX: usize = 1_000;
const UNASKED_MAX: usize = 64;

impl Worker {
    /// Sends the definitions of these jobs as far as they wait or run; nothing when none does.
    pub(super) async fn send_definitions<T: AsRef<str> + Sync>(&mut self, job_ids: &[T]) -> Result<(), Closed> {
        let job_ids: Vec<&str> = job_ids.iter().map(AsRef::as_ref).take(ANSWERED_MAX).collect();
        for some in job_ids.chunks(PER_MESSAGE) {
            let qid = self.connection.queue.qid();
            // A database that is away for a moment: the worker asks again.
            let worker = self.id.as_ref().map(WorkerId::as_str);
            let Ok(rows) = self.connection.app.db.list_definitions(qid, some, worker).await else { return Ok(()) };
            self.send_rows(rows).await?;
        }
        Ok(())
    }

    /// What was withheld until now, to the worker that has just claimed the job.
    pub(super) async fn send_withheld(&mut self, worker: &WorkerId, job_id: &JobId) -> Result<(), Closed> {
        let qid = self.connection.queue.qid();
        let listed = self.connection.app.db.list_definitions(qid, &[job_id.as_str()], Some(worker.as_str())).await;
        let rows: Vec<_> = listed.unwrap_or_default().into_iter().filter(|row| row.login.is_some()).collect();
        self.send_rows(rows).await
    }

    async fn send_rows(&mut self, rows: Vec<ListedDefinition>) -> Result<(), Closed> {
        let raw = |row: ListedDefinition| Some((row.job_id.clone(), RawValue::from_string(row.whole()?).ok()?));
        let definitions: BTreeMap<_, _> = rows.into_iter().filter_map(raw).collect();
        if definitions.is_empty() {
            return Ok(());
        }
        let message = ServerMessage::BroadcastJobDefinitions(DefinitionsMessage { definitions });
        self.connection.send(text_of(&message)).await
    }
}

/// The jobs that an update shows as queued.
pub(super) fn newly_queued(text: &str) -> Vec<String> {
    if !text.starts_with(r#"{"type":"JobStateUpdates""#) || !text.contains(r#""Queued""#) {
        return Vec::new();
    }
    let Ok(ServerMessage::JobStateUpdates(message)) = serde_json::from_str(text) else { return Vec::new() };
    let queued = message.state.jobs.into_iter().filter(|(_, job)| job.state == protocol::State::Queued);
    queued.map(|(job_id, _)| job_id).take(UNASKED_MAX).collect()
}
