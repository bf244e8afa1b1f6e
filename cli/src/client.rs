//! The API as the commands see it: one method per route they use, typed, and errors that say whose fault it is.
//!
//! Holds a queue's name only to put it into a URL; no error text carries a URL's path.

use std::time::Duration;

use protocol::{Job, JobId, LogLine, QueueName};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which a connection is given up. The server sends a comment on a quiet stream more often than that.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// Slowest upload that is not given up, after a minute's allowance.
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// Most bytes of an error's body that are read.
const ERROR_CHARS_MAX: usize = 2_000;
/// What the API says of a job that it does not know, in every place.
const UNKNOWN: &str = "Job not found";
/// How a token is given here; the API only knows headers.
const TOKEN_HINT: &str = "; here it comes from --token or ASMAN_TOKEN";

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing answers at the address.
    #[error("no API answers at {0}; start one with `asman up`, or give its address with --api")]
    Unreachable(String),
    /// The API refuses the request (4xx) in its own words. Sending it again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// There is no such job.
    #[error("the queue knows no such job")]
    UnknownJob,
    /// The API failed (5xx), or the connection broke. Sending it again may help.
    #[error("the API failed: {0}")]
    Broken(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Unreachable(_) => Self::Missing(text),
            Error::Refused(_) | Error::UnknownJob => Self::BadInput(text),
            Error::Broken(_) => Self::Failed(text),
        }
    }
}

/// A part of a job's log.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogSlice {
    pub(crate) data: Vec<LogLine>,
    pub(crate) next_cursor: u64,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

/// A queue's policy, in the order of the server.
pub(crate) type Policy = serde_json::Map<String, Value>;

/// Talks to one API.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// For uploads: follows no redirect, and has no timeout for reading, which would also count the time that sending takes.
    uploads: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl Client {
    /// Checks the address; connects to nothing yet.
    pub(crate) fn new(base: &str) -> Result<Self, Failure> {
        let invalid = || Failure::BadInput(format!("{base:?} is no address of an API; write it as http://localhost:8000"));
        let base = Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(invalid)?;
        let builder = || {
            let agent = concat!("asman/", env!("CARGO_PKG_VERSION"));
            reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).user_agent(agent)
        };
        let failed = |error: reqwest::Error| Failure::Failed(format!("cannot prepare HTTP: {error}"));
        let http = builder().read_timeout(SILENCE_TIMEOUT).build().map_err(failed)?;
        let uploads = builder().redirect(reqwest::redirect::Policy::none()).build().map_err(failed)?;
        Ok(Self { http, uploads, base, token: None })
    }

    /// Sends a token along, to the API alone.
    pub(crate) fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token.filter(|token| !token.is_empty());
        self
    }

    /// Whether `GET /healthz` says so.
    pub(crate) async fn is_healthy(&self) -> bool {
        let Ok(url) = self.url(&["healthz"]) else { return false };
        self.http.get(url).send().await.is_ok_and(|response| response.status() == StatusCode::OK)
    }

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

    /// `GET …/result.json`: the finished job, or the word for why there is none (`queued`, `running`).
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

    /// Why a job waits, as `GET /q/:queue/status` has it; nothing when it does not wait.
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

    /// `POST …/cancel`: the answer as it is.
    pub(crate) async fn cancel(
        &self,
        queue: &QueueName,
        id: &JobId,
        namespace: &str,
        message: Option<&str>,
    ) -> Result<Value, Error> {
        let request = self.job(Method::POST, queue, id, &["cancel"])?.query(&[("namespace", namespace)]);
        self.json(match message {
            Some(message) => request.query(&[("message", message)]),
            None => request,
        })
        .await
    }

    /// `GET …/run-logs.json` or `…/build-logs.json`, from line `since` on.
    pub(crate) async fn logs(&self, queue: &QueueName, id: &JobId, file: &str, since: u64) -> Result<LogSlice, Error> {
        self.json(self.job(Method::GET, queue, id, &[file])?.query(&[("since", since)])).await
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

    /// `GET /f/:key` through the API itself, whatever stores it.
    pub(crate) async fn proxied_blob(&self, key: &str) -> Result<Response, Error> {
        self.send(self.http.get(self.proxied_blob_url(key)?)).await
    }

    /// `GET …/outputs/*name`, redirects followed.
    pub(crate) async fn output(&self, queue: &QueueName, id: &JobId, name: &str) -> Result<Response, Error> {
        let segments: Vec<&str> = ["outputs"].into_iter().chain(name.split('/')).collect();
        self.send(self.job(Method::GET, queue, id, &segments)?).await
    }

    /// `GET /q/:queue/policy`.
    pub(crate) async fn policy(&self, queue: &QueueName) -> Result<Policy, Error> {
        Ok(self.json::<Data<_>>(self.request(Method::GET, &["q", queue.as_str(), "policy"])?).await?.data)
    }

    /// `PUT /q/:queue/policy`: the policy as it is now.
    pub(crate) async fn change_policy(&self, queue: &QueueName, body: &Policy) -> Result<Policy, Error> {
        let request = self.request(Method::PUT, &["q", queue.as_str(), "policy"])?.json(body);
        Ok(self.json::<Data<_>>(request).await?.data)
    }

    /// `DELETE /q/:queue/policy`: the defaults.
    pub(crate) async fn clear_policy(&self, queue: &QueueName) -> Result<Policy, Error> {
        Ok(self.json::<Data<_>>(self.request(Method::DELETE, &["q", queue.as_str(), "policy"])?).await?.data)
    }

    /// `GET /f/:key/exists`.
    pub(crate) async fn blob_exists(&self, key: &str) -> Result<bool, Error> {
        let response = self.request(Method::GET, &["f", key, "exists"])?.send().await.map_err(|error| self.broken(&error))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            _ => check(response).await.map(|_| true),
        }
    }

    /// `PUT /f/:key` of `length` bytes. When the store takes the bytes itself, gives its address: send them there.
    pub(crate) async fn put_blob(&self, url: Url, length: u64, body: reqwest::Body) -> Result<Option<Url>, Error> {
        let timeout = SILENCE_TIMEOUT + Duration::from_secs(length / UPLOAD_BYTES_PER_SECOND_MIN);
        let response = self.uploads.put(url).timeout(timeout).header(CONTENT_LENGTH, length).body(body).send().await;
        let response = response.map_err(|error| self.broken(&error))?;
        // A body that has flowed away must be opened again before it goes elsewhere.
        if response.status() != StatusCode::TEMPORARY_REDIRECT {
            return check(response).await.map(|_| None);
        }
        let location = response.headers().get(reqwest::header::LOCATION).and_then(|value| value.to_str().ok());
        let url = location.and_then(|location| response.url().join(location).ok());
        url.map(Some).ok_or_else(|| Error::Broken("a redirect leads nowhere".to_owned()))
    }

    /// The address of a blob.
    pub(crate) fn blob_url(&self, key: &str) -> Result<Url, Error> {
        self.url(&["f", key])
    }

    /// The same, where the API takes the bytes itself whatever stores them.
    pub(crate) fn proxied_blob_url(&self, key: &str) -> Result<Url, Error> {
        let mut url = self.blob_url(key)?;
        url.set_query(Some("proxy=1"));
        Ok(url)
    }

    fn url(&self, segments: &[&str]) -> Result<Url, Error> {
        // A URL swallows these two whatever the escaping, and the request would reach another route.
        if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
            return Err(Error::Refused("a name cannot be . or ..".to_owned()));
        }
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        Ok(url)
    }

    fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder, Error> {
        let request = self.http.request(method, self.url(segments)?);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    fn job(&self, method: Method, queue: &QueueName, id: &JobId, rest: &[&str]) -> Result<RequestBuilder, Error> {
        let segments: Vec<&str> = ["q", queue.as_str(), "j", id.as_str()].iter().chain(rest).copied().collect();
        self.request(method, &segments)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        read(self.send(request).await?).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        check(request.send().await.map_err(|error| self.broken(&error))?).await
    }

    fn broken(&self, error: &reqwest::Error) -> Error {
        if error.is_connect() { Error::Unreachable(self.base.to_string()) } else { Error::Broken(reason(error)) }
    }
}

/// The innermost cause, without the URL: its path holds the queue's name.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, error) { "the request failed".to_owned() } else { cause.to_string() }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Error> {
    let bytes = response.bytes().await.map_err(|error| Error::Broken(reason(&error)))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Broken(format!("its answer cannot be read: {error}")))
}

async fn check(response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let member = |name: &str| Some(serde_json::from_str::<Value>(&text).ok()?.get(name)?.as_str()?.to_owned());
    // A cancel of an unknown job has a `message`, as existing clients know it.
    let said = member("error").or_else(|| member("message"));
    if status == StatusCode::NOT_FOUND && said.as_deref() == Some(UNKNOWN) {
        return Err(Error::UnknownJob);
    }
    let said = said.map(|said| if matches!(status.as_u16(), 401 | 403) { said + TOKEN_HINT } else { said });
    let said: String = said.unwrap_or_else(|| format!("{status} {text}")).trim().chars().take(ERROR_CHARS_MAX).collect();
    // Too many requests and a request that took too long are nobody's typing mistake.
    let is_refused = status.is_client_error() && !matches!(status.as_u16(), 408 | 429);
    Err(if is_refused { Error::Refused(said) } else { Error::Broken(said) })
}
