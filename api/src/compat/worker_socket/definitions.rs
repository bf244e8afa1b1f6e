//! Sends definitions to a worker that may want to run them. A definition with a login in its build context's URL is sent only to
//! the worker that has claimed the job.

use std::collections::BTreeMap;

use protocol::{DefinitionsMessage, JobId, ServerMessage, WorkerId};
use serde_json::value::RawValue;
use sql::ListedDefinition;

use super::Worker;
use crate::hub::text_of;
use crate::routes::socket::Closed;

/// Most definitions in one message: with the largest definitions this is 8 MiB.
const PER_MESSAGE: usize = 8;
/// Most definitions that answer one request, and most that come unasked with one message. A worker requests the others.
const ANSWERED_MAX: usize = 1_000;
const UNASKED_MAX: usize = 64;

impl Worker {
    /// Of these jobs, sends the definitions of those that wait or run. If none does, sends nothing.
    pub(super) async fn send_definitions<T: AsRef<str> + Sync>(&mut self, job_ids: &[T]) -> Result<(), Closed> {
        let job_ids: Vec<&str> = job_ids.iter().map(AsRef::as_ref).take(ANSWERED_MAX).collect();
        for some in job_ids.chunks(PER_MESSAGE) {
            let qid = self.connection.queue.qid();
            // After a short outage of the database the worker asks again.
            let worker = self.id.as_ref().map(WorkerId::as_str);
            let Ok(rows) = self.connection.app.db.list_definitions(qid, some, worker).await else { return Ok(()) };
            self.send_rows(rows).await?;
        }
        Ok(())
    }

    /// Sends a withheld definition to the worker that has just claimed its job.
    pub(super) async fn send_withheld(&mut self, worker: &WorkerId, job_id: &JobId) -> Result<(), Closed> {
        let qid = self.connection.queue.qid();
        let listed = self.connection.app.db.list_definitions(qid, &[job_id.as_str()], Some(worker.as_str())).await;
        let rows: Vec<_> = listed.unwrap_or_default().into_iter().filter(|row| row.login.is_some()).collect();
        self.send_rows(rows).await
    }

    async fn send_rows(&mut self, rows: Vec<ListedDefinition>) -> Result<(), Closed> {
        let raw = |row: ListedDefinition| Some((row.job_id.clone(), RawValue::from_string(with_types(row.whole()?)).ok()?));
        let definitions: BTreeMap<_, _> = rows.into_iter().filter_map(raw).collect();
        if definitions.is_empty() {
            return Ok(());
        }
        let message = ServerMessage::BroadcastJobDefinitions(DefinitionsMessage { definitions });
        self.connection.send(text_of(&message)).await
    }
}

type Members = BTreeMap<String, Box<RawValue>>;

/// The definition with an explicit type for every reference: workers on this socket do not know the default type.
fn with_types(text: String) -> String {
    let Ok(mut definition) = serde_json::from_str::<Members>(&text) else { return text };
    let mut is_changed = false;
    for name in ["inputs", "configFiles"] {
        let Some(files) = definition.get_mut(name) else { continue };
        let Ok(mut refs) = serde_json::from_str::<Members>(files.get()) else { continue };
        for reference in refs.values_mut() {
            if let Some(typed) = typed(reference) {
                *reference = typed;
                is_changed = true;
            }
        }
        if let Ok(raw) = serde_json::value::to_raw_value(&refs) {
            *files = raw;
        }
    }
    if is_changed { serde_json::to_string(&definition).unwrap_or(text) } else { text }
}

/// The reference with its default type added. `None` if it has a type.
fn typed(reference: &RawValue) -> Option<Box<RawValue>> {
    let mut members = serde_json::from_str::<Members>(reference.get()).ok()?;
    let has_type = members.get("type").is_some_and(|kind| kind.get() != "null");
    let is_text = members.get("value")?.get().starts_with('"');
    if has_type {
        return None;
    }
    let kind = if is_text { "utf8" } else { "json" };
    members.insert("type".to_owned(), serde_json::value::to_raw_value(kind).ok()?);
    serde_json::value::to_raw_value(&members).ok()
}

/// The jobs that an update shows as queued.
pub(super) fn newly_queued(text: &str) -> Vec<String> {
    if !text.starts_with(r#"{"type":"JobStateUpdates""#) || !text.contains(r#""Queued""#) {
        return Vec::new();
    }
    let Ok(ServerMessage::JobStateUpdates(message)) = serde_json::from_str(text) else { return Vec::new() };
    let queued = message.state.jobs.into_iter().filter(|(_, job)| job.state == protocol::JobState::Queued);
    queued.map(|(job_id, _)| job_id).take(UNASKED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_says_its_type_and_nothing_else_changes() {
        let text = r#"{"image":"a","inputs":{"a":{"value":"x"},"b":{"type":"url","value":"u"},"c":{"value":{"n":1.0}}},
            "configFiles":{"d":{"value":"y","hash":"h","type":null}},"requirements":{"cpus":1e0}}"#;
        let typed: serde_json::Value = serde_json::from_str(&with_types(text.to_owned())).unwrap();
        let expected = serde_json::json!({"image": "a", "inputs": {"a": {"value": "x", "type": "utf8"},
            "b": {"type": "url", "value": "u"}, "c": {"type": "json", "value": {"n": 1.0}}},
            "configFiles": {"d": {"value": "y", "hash": "h", "type": "utf8"}}, "requirements": {"cpus": 1.0}});
        assert_eq!(typed, expected);
        for text in [r#"{"image":"a" }"#, r#"{"inputs":{"a":{"type":"utf8","value":1}}}"#, "[1]", r#"{"inputs":[]}"#] {
            assert_eq!(with_types(text.to_owned()), text);
        }
    }
}
