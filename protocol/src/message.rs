//! Messages of the client WebSocket, and those that the server sends to workers too. Unknown ones are the receiver's to ignore.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::definition::EnqueueJob;
use crate::job::{Job, JobResult, Reason, State, WorkerInfo};
use crate::log::LogLine;
use crate::name::{JobId, Namespace, WorkerId};

/// Client to server. `PING` is no JSON and not here.
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
    /// Reads one text frame. `Ok(None)` is a message of a type that this end does not know.
    ///
    /// Read in two steps, because a definition keeps its own text and serde's tagged enums would have copied it.
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

/// What every message is wrapped in.
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl Envelope<'_> {
    /// The payload's text; an absent one is an empty object.
    pub(crate) fn payload(&self) -> &str {
        self.payload.map_or("{}", RawValue::get)
    }
}

/// Which job is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct JobQuery {
    /// Its id.
    pub job_id: JobId,
}

/// A transition that one end asks of the other.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct StateChange {
    /// Not used; existing clients send `""`.
    #[serde(default)]
    pub tag: String,
    /// Which job.
    pub job: JobId,
    /// The state it shall enter.
    pub state: State,
    /// More about it.
    pub value: StateChangeValue,
}

/// The members of every kind of state change. Which of them count follows from `state`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(default)]
pub struct StateChangeValue {
    /// The state's word again, where the sender gave it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The sender's clock, epoch milliseconds. Not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(as = "Option<f64>"))]
    pub time: Option<Number>,
    /// The submission, when `state` is `Queued`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enqueued: Option<EnqueueJob>,
    /// Who runs or ran it, when a worker says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// How it ended, when `state` is `Finished`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Whose hold ends; absent means `_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// A sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it left, when a worker finished it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
}

/// Server to client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", content = "payload")]
pub enum ServerMessage {
    /// All jobs: replaces what the client holds.
    JobStates(JobsMessage),
    /// Some jobs: merged into what the client holds.
    JobStateUpdates(JobsMessage),
    /// All workers.
    Workers(WorkersMessage),
    /// Log lines as they come.
    JobStatusPayload(LogsMessage),
    /// Workers forget what they keep of a job. Clients ignore it.
    ClearJobCache(ClearMessage),
    /// Definitions of jobs, to workers.
    BroadcastJobDefinitions(DefinitionsMessage),
    /// Asks a worker how it does.
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
    /// Whether other jobs exist that the message leaves out.
    pub is_subset: bool,
    /// The jobs are in other states by now, which a later message tells: this one is so that every state is told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub is_past: bool,
}

/// Payload of `Workers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct WorkersMessage {
    /// Workers seen within the lease.
    pub workers: Vec<WorkerInfo>,
}

/// Payload of `JobStatusPayload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct LogsMessage {
    /// Whose log.
    pub job_id: String,
    /// The step's word, see [`crate::Step`].
    pub step: String,
    /// The lines.
    pub logs: Vec<LogLine>,
    /// Number of the last of them in the build's or the run's log, as the cursors of `build-logs.json` and `run-logs.json` count.
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
    /// The namespace that let go last.
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
    fn unknown_messages_are_told_from_broken_ones() {
        assert!(ClientMessage::parse(r#"{"type":"Hello"}"#).unwrap().is_none());
        assert!(ClientMessage::parse("undefined").is_err());
        assert!(matches!(ClientMessage::parse(r#"{"type":"QueryJobStates"}"#), Ok(Some(ClientMessage::QueryJobStates))));
    }
}
