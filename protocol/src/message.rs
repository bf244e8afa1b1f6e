//! Messages of the client WebSocket. The server sends some of them to workers too. Receivers ignore unknown messages.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::definition::EnqueueJob;
use crate::job::{Job, JobResult, JobState, Reason, WorkerInfo};
use crate::log::LogLine;
use crate::name::{JobId, Namespace, WorkerId};

/// Client to server. `PING` is not JSON, so it is not here.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", content = "payload")]
pub enum ClientMessage {
    /// Submit, cancel or clear.
    StateChange(Box<StateChange>),
    /// Ask for one job.
    QueryJob(JobQuery),
    /// Ask for all jobs.
    QueryJobStates,
}

impl ClientMessage {
    /// Reads one text frame. `Ok(None)` is a message of an unknown type.
    ///
    /// The message is read in two steps, because a definition keeps its own text and serde's tagged enums would copy it.
    pub fn parse(text: &str) -> Result<Option<Self>, serde_json::Error> {
        let envelope: Envelope<'_> = serde_json::from_str(text)?;
        let payload = envelope.payload();
        Ok(match envelope.kind.as_ref() {
            "StateChange" => Some(Self::StateChange(serde_json::from_str(payload)?)),
            "QueryJob" => Some(Self::QueryJob(serde_json::from_str(payload)?)),
            "QueryJobStates" => Some(Self::QueryJobStates),
            _ => None,
        })
    }
}

/// The outer object of every message.
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl Envelope<'_> {
    /// The payload's text. An absent payload is an empty object.
    pub(crate) fn payload(&self) -> &str {
        self.payload.map_or("{}", RawValue::get)
    }
}

/// A question about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct JobQuery {
    /// Its id.
    pub job_id: JobId,
}

/// A change of a job's state that one side asks for.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct StateChange {
    /// Not used; existing clients send `""`.
    #[serde(default)]
    pub tag: String,
    /// Which job.
    pub job: JobId,
    /// The new state.
    pub state: JobState,
    /// Details of the change.
    pub value: StateChangeValue,
}

/// The members of every kind of state change. `state` decides which of them count.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(default)]
pub struct StateChangeValue {
    /// The name of the state again, if the sender gave it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The sender's clock, epoch milliseconds. Not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(as = "Option<f64>"))]
    pub time: Option<Number>,
    /// The submission, when `state` is `Queued`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enqueued: Option<EnqueueJob>,
    /// The worker that runs or ran the job, in a worker's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// How the job ended, when `state` is `Finished`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The namespace to cancel. Absent means `_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// A sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The job's result, when a worker finished it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
}

/// Server to client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", content = "payload")]
pub enum ServerMessage {
    /// All jobs. They replace the client's list.
    JobStates(JobsMessage),
    /// Some jobs. The client merges them into its list.
    JobStateUpdates(JobsMessage),
    /// All workers.
    Workers(WorkersMessage),
    /// New log lines.
    JobStatusPayload(LogsMessage),
    /// Tells workers to delete what they keep of a job. Clients ignore it.
    ClearJobCache(ClearMessage),
    /// Definitions of jobs, to workers.
    BroadcastJobDefinitions(DefinitionsMessage),
    /// Asks a worker for its status.
    StatusRequest {},
}

/// Jobs by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct Jobs {
    /// Jobs by id.
    pub jobs: BTreeMap<String, Job>,
}

/// Payload of `JobStates` and `JobStateUpdates`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct JobsMessage {
    /// The jobs.
    pub state: Jobs,
    /// Whether there are other jobs that are not in the message.
    pub is_subset: bool,
    /// The jobs are in newer states by now, and a later message has those. This message is sent so that the client sees every state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub is_past: bool,
    /// When the jobs were read, see [`StateCursor`]. Absent from past states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<StateCursor>,
}

/// A place in the history of the database: how many of its transactions had ended when something was read.
///
/// Of two states of a job, the one with the larger cursor is the newer one, whether they came by a socket or by a request, from one
/// process or from two. On the wire it is a decimal number in a string, because it may exceed what a double can hold. Compare cursors
/// as numbers, and only within one connection: a database that was restored from a dump counts from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "string"))]
pub struct StateCursor(pub u64);

impl Serialize for StateCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StateCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Payload of `Workers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct WorkersMessage {
    /// Workers with a heartbeat within the lease.
    pub workers: Vec<WorkerInfo>,
}

/// Payload of `JobStatusPayload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct LogsMessage {
    /// The job of the log.
    pub job_id: String,
    /// The name of the step, see [`crate::Step`].
    pub step: String,
    /// The lines.
    pub logs: Vec<LogLine>,
    /// The number that the last line of `logs` has in the build's or the run's log, as in the cursors of `build-logs.json` and `run-logs.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<i64>,
}

/// Payload of `ClearJobCache`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ClearMessage {
    /// Which job.
    pub job_id: String,
    /// The namespace that was cancelled last.
    pub namespace: String,
}

/// Payload of `BroadcastJobDefinitions`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct DefinitionsMessage {
    /// The text of each definition, by job id.
    #[cfg_attr(feature = "typescript", ts(as = "BTreeMap<String, crate::Definition>"))]
    pub definitions: BTreeMap<String, Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_keeps_the_text_of_its_definition_whatever_the_order_of_members() {
        let text = r#"{"payload":{"state":"Queued","value":{"type":"Queued","time":1,"enqueued":{"id":"x",
            "definition":{"b":1.0, "image":"a"},"control":{"namespace":"_"}}},"job":"x","tag":""},"type":"StateChange"}"#;
        let Some(ClientMessage::StateChange(change)) = ClientMessage::parse(text).unwrap() else { panic!("wrong type") };
        assert_eq!(change.value.enqueued.unwrap().definition.get(), r#"{"b":1.0, "image":"a"}"#);
    }

    #[test]
    fn unknown_messages_differ_from_invalid_ones() {
        assert!(ClientMessage::parse(r#"{"type":"Hello"}"#).unwrap().is_none());
        assert!(ClientMessage::parse("undefined").is_err());
        assert!(matches!(ClientMessage::parse(r#"{"type":"QueryJobStates"}"#), Ok(Some(ClientMessage::QueryJobStates))));
    }
}
