//! Messages that published workers send on their WebSocket. `PING` is not JSON, so it is not here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::{Duration, parse_duration};
use crate::limits;
use crate::log::{LogLine, Step};
use crate::message::{Envelope, StateChange};
use crate::name::{JobId, WorkerId};
use crate::worker_api::{WorkerDescription, platforms_default};

/// Worker to server.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", content = "payload")]
pub enum WorkerMessage {
    /// The worker's description, which also says that it is alive.
    WorkerRegistration(WorkerRegistration),
    /// Asks for a queued job (`Running`), or reports the end of a job (`Finished`).
    StateChange(Box<StateChange>),
    /// Log lines of a job that it runs.
    JobStatusLogs(JobStatusLogs),
    /// Asks for definitions.
    RequestJobDefinitions(DefinitionsRequest),
    /// Answer to `StatusRequest`. Its content is not used.
    WorkerStatusResponse(#[cfg_attr(feature = "typescript", ts(type = "Record<string, unknown>"))] Value),
}

impl WorkerMessage {
    /// Reads one text frame. `Ok(None)` is a message of an unknown type.
    pub fn parse(text: &str) -> Result<Option<Self>, serde_json::Error> {
        let envelope: Envelope<'_> = serde_json::from_str(text)?;
        let payload = envelope.payload();
        Ok(match envelope.kind.as_ref() {
            "WorkerRegistration" => Some(Self::WorkerRegistration(serde_json::from_str(payload)?)),
            "StateChange" => Some(Self::StateChange(serde_json::from_str(payload)?)),
            "JobStatusLogs" => Some(Self::JobStatusLogs(serde_json::from_str(payload)?)),
            "RequestJobDefinitions" => Some(Self::RequestJobDefinitions(serde_json::from_str(payload)?)),
            "WorkerStatusResponse" => Some(Self::WorkerStatusResponse(serde_json::from_str(payload)?)),
            _ => None,
        })
    }
}

/// Payload of `WorkerRegistration`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct WorkerRegistration {
    /// Its id.
    pub id: WorkerId,
    /// Its program's version.
    #[serde(default)]
    pub version: String,
    /// Cpus it offers.
    pub cpus: f64,
    /// Gpus it offers.
    #[serde(default)]
    pub gpus: f64,
    /// The worker's clock, epoch milliseconds. Not used.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<f64>"))]
    pub time: Value,
    /// Longest run it allows, text or milliseconds.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<Duration>"))]
    pub max_job_duration: Value,
}

impl WorkerRegistration {
    /// The worker's description in the form of the HTTP API. A time limit that cannot be read counts as the longest possible
    /// one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float to integer cast saturates")]
    pub fn describe(self) -> WorkerDescription {
        let text = self.max_job_duration.as_str().map_or_else(|| self.max_job_duration.to_string(), ToOwned::to_owned);
        WorkerDescription {
            id: self.id,
            version: self.version,
            cpus: self.cpus,
            gpus: self.gpus as u32,
            memory: 0,
            tags: Vec::new(),
            max_job_duration: Duration(parse_duration(&text).unwrap_or(limits::DURATION_MAX)),
            executor: "socket".to_owned(),
            secrets: Vec::new(),
            platforms: platforms_default(),
            builds: true,
        }
    }
}

/// Payload of `JobStatusLogs`: `JobStatusPayload` with checked names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct JobStatusLogs {
    /// The job of the log.
    pub job_id: JobId,
    /// What the job was doing.
    pub step: Step,
    /// The lines.
    pub logs: Vec<LogLine>,
}

/// Payload of `RequestJobDefinitions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct DefinitionsRequest {
    /// Which jobs.
    pub job_ids: Vec<JobId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_read_with_its_limit_as_text_as_number_and_without() {
        let limit = |json: &str| {
            let registration: WorkerRegistration = serde_json::from_str(json).unwrap();
            registration.describe().max_job_duration.0.as_secs()
        };
        assert_eq!(limit(r#"{"id":"w","version":"1","cpus":4,"gpus":0,"time":1,"maxJobDuration":"20m"}"#), 1_200);
        assert_eq!(limit(r#"{"id":"w","cpus":4,"maxJobDuration":5000}"#), 5);
        assert_eq!(limit(r#"{"id":"w","cpus":4}"#), limits::DURATION_MAX.as_secs());
    }
}
