//! Definitions, to a worker that may want to run them.

use std::collections::BTreeMap;

use protocol::{DefinitionsMessage, ServerMessage};
use serde_json::value::RawValue;

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
            let Ok(rows) = self.connection.app.db.list_definitions(qid, some).await else { return Ok(()) };
            let raw = |(job_id, text): (String, String)| Some((job_id, RawValue::from_string(text).ok()?));
            let definitions: BTreeMap<_, _> = rows.into_iter().filter_map(raw).collect();
            if !definitions.is_empty() {
                let message = ServerMessage::BroadcastJobDefinitions(DefinitionsMessage { definitions });
                self.connection.send(text_of(&message)).await?;
            }
        }
        Ok(())
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
