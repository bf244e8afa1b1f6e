//! The routes of jobs.

use protocol::{Job, JobId, LogLine, QueueName};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::Value;

use super::{Client, Data, Error, read};

/// A part of a job's log.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogSlice {
    pub(crate) data: Vec<LogLine>,
    pub(crate) next_cursor: u64,
}

impl Client {
    /// `POST /q/:queue`: the id of the acknowledged job.
    pub(crate) async fn submit(&self, queue: &QueueName, body: String) -> Result<JobId, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            job_id: JobId,
        }
        let request = self.request(Method::POST, &["q", queue.as_str()])?;
        let answer: Answer = self.json(request.header(CONTENT_TYPE, "application/json").body(body)).await?;
        Ok(answer.job_id)
    }

    /// `GET /q/:queue/j`: jobs by id, in the order of the server.
    pub(crate) async fn list(&self, queue: &QueueName) -> Result<serde_json::Map<String, Value>, Error> {
        let request = self.request(Method::GET, &["q", queue.as_str(), "j"])?;
        Ok(self.json::<Data<_>>(request).await?.data)
    }

    /// `GET …/result.json`: the finished job, or the state (`queued`, `running`) of a job that has not finished.
    pub(crate) async fn result(&self, queue: &QueueName, id: &JobId) -> Result<Result<Job, String>, Error> {
        let response = self.send(self.job(Method::GET, queue, id, &["result.json"])?).await?;
        let state = response.headers().get("x-asman-state").and_then(|value| value.to_str().ok());
        let state = state.unwrap_or("unknown").to_owned();
        match read::<Data<Option<Job>>>(response).await?.data {
            Some(job) => Ok(Ok(job)),
            None if state == "unknown" => Err(Error::UnknownJob),
            None => Ok(Err(state)),
        }
    }

    /// Why a job waits, from `GET /q/:queue/status`; nothing when it does not wait.
    pub(crate) async fn why_waiting(&self, queue: &QueueName, id: &JobId) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Waiting {
            job_id: String,
            why: String,
        }
        #[derive(Deserialize)]
        struct Status {
            waiting: Vec<Waiting>,
        }
        let status: Status = self.json(self.request(Method::GET, &["q", queue.as_str(), "status"])?).await?;
        Ok(status.waiting.into_iter().find(|waiting| waiting.job_id == id.as_str()).map(|waiting| waiting.why))
    }

    /// `POST …/cancel`: the API's answer, unchanged.
    pub(crate) async fn cancel(
        &self,
        queue: &QueueName,
        id: &JobId,
        namespace: &str,
        message: Option<&str>,
    ) -> Result<Value, Error> {
        let request = self.job(Method::POST, queue, id, &["cancel"])?.query(&[("namespace", namespace)]);
        let request = match message {
            Some(message) => request.query(&[("message", message)]),
            None => request,
        };
        let answer: Value = self.json(request).await?;
        let is_unknown = answer.get("code").is_some_and(|code| code == protocol::ErrorCode::NoJob.as_str());
        if is_unknown { Err(Error::UnknownJob) } else { Ok(answer) }
    }

    /// `GET …/run-logs.json` or `…/build-logs.json`, from line `since` on.
    pub(crate) async fn logs(&self, queue: &QueueName, id: &JobId, file: &str, since: u64) -> Result<LogSlice, Error> {
        let response = self.send(self.job(Method::GET, queue, id, &[file])?.query(&[("since", since)])).await?;
        if response.headers().get("x-asman-state").is_some_and(|state| state == "unknown") {
            return Err(Error::UnknownJob);
        }
        read(response).await
    }

    /// `GET …/stream`, after the event `last_id`.
    pub(crate) async fn stream(&self, queue: &QueueName, id: &JobId, last_id: Option<&str>) -> Result<Response, Error> {
        let request = self.job(Method::GET, queue, id, &["stream"])?.header(ACCEPT, "text/event-stream");
        let request = match last_id {
            Some(last_id) => request.header("last-event-id", last_id),
            None => request,
        };
        self.send(request).await
    }

    /// `GET …/outputs/*name`, redirects followed.
    pub(crate) async fn output(&self, queue: &QueueName, id: &JobId, name: &str) -> Result<Response, Error> {
        let segments: Vec<&str> = ["outputs"].into_iter().chain(name.split('/')).collect();
        self.send(self.job(Method::GET, queue, id, &segments)?).await
    }
}
