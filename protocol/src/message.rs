//! Messages of the client WebSocket. Unknown ones are the receiver's to ignore.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::definition::EnqueueJob;
use crate::job::{Job, Reason, State, WorkerInfo};
use crate::log::LogLine;
use crate::name::{JobId, Namespace};

/// Client to server. `PING` is no JSON and not here.
#[derive(Debug)]
pub enum ClientMessage {
    /// Submit, cancel or clear.
    StateChange(Box<StateChange>),
    /// Ask for one job.
    QueryJob(JobId),
    /// Ask for all jobs.
    QueryJobStates,
}

impl ClientMessage {
    /// Reads one text frame. `Ok(None)` is a message of a type that this end does not know.
    ///
    /// Read in two steps, because a definition keeps its own text and serde's tagged enums would have copied it.
    pub fn parse(text: &str) -> Result<Option<Self>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            payload: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Query {
            job_id: JobId,
        }
        let envelope: Envelope<'_> = serde_json::from_str(text)?;
        let payload = envelope.payload.map_or("{}", RawValue::get);
        Ok(match envelope.kind.as_ref() {
            "StateChange" => Some(Self::StateChange(serde_json::from_str(payload)?)),
            "QueryJob" => Some(Self::QueryJob(serde_json::from_str::<Query>(payload)?.job_id)),
            "QueryJobStates" => Some(Self::QueryJobStates),
            _ => None,
        })
    }
}

/// A transition that one end asks of the other.
#[derive(Debug, Deserialize)]
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
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StateChangeValue {
    /// The submission, when `state` is `Queued`.
    pub enqueued: Option<EnqueueJob>,
    /// How it ended, when `state` is `Finished`.
    pub reason: Option<Reason>,
    /// Whose hold ends; absent means `_`.
    pub namespace: Option<Namespace>,
    /// A sentence for people.
    pub message: Option<String>,
}

/// Server to client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// Jobs by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Jobs {
    /// Jobs by id.
    pub jobs: BTreeMap<String, Job>,
}

/// Payload of `JobStates` and `JobStateUpdates`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobsMessage {
    /// The jobs.
    pub state: Jobs,
    /// Whether other jobs exist that the message leaves out.
    pub is_subset: bool,
}

/// Payload of `Workers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkersMessage {
    /// Workers seen within the lease.
    pub workers: Vec<WorkerInfo>,
}

/// Payload of `JobStatusPayload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogsMessage {
    /// Whose log.
    pub job_id: String,
    /// The step's word, see [`crate::Step`].
    pub step: String,
    /// The lines.
    pub logs: Vec<LogLine>,
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
