//! The API as the commands see it: one method per route they use, typed, and errors that say whose fault it is.
//!
//! Holds a queue's name only to put it into a URL; no error text carries a URL's path. The routes are in `jobs`, `policy` and `blobs`.

mod blobs;
mod jobs;
mod policy;

use std::time::Duration;

use protocol::{JobId, QueueName};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which a connection is given up. The server sends a comment on a quiet stream more often than that.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
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

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

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
