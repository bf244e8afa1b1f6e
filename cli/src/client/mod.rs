//! The API as the commands see it: one method per route they use, typed, and errors that say whose fault it is.
//!
//! Holds a queue's name only to put it into a URL; no error text carries a URL's path. The routes are in `jobs`, `policy`, `blobs` and `mcp`.

mod answer;
mod blobs;
mod jobs;
mod mcp;
mod policy;

use std::time::Duration;

use protocol::{JobId, QueueName};
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use answer::{Passing, Patience, check};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which a connection is given up. The server sends a comment on a quiet stream more often than that.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing answers at the address.
    #[error("no API answers at {0}; start one with `asman up`, or give its address with --api")]
    Unreachable(String),
    /// Nothing answers there through a proxy.
    #[error("no API answers at {address} through the proxy {proxy}; unset that variable, or name the host in NO_PROXY")]
    BehindProxy {
        /// Of the API.
        address: String,
        /// With the variable that names it.
        proxy: String,
    },
    /// The API refuses the request (4xx) in its own words. Sending it again changes nothing.
    #[error("{said}")]
    Refused {
        /// In the API's words, or in ours where the request cannot be made.
        said: String,
        /// HTTP's; 400 where the request cannot be made.
        status: StatusCode,
    },
    /// There is no such job.
    #[error("the queue knows no such job")]
    UnknownJob,
    /// The API failed (5xx), or the connection broke. Sending it again may help.
    #[error("the API failed: {0}")]
    Broken(String),
}

impl Error {
    /// A request that cannot be made.
    pub(crate) fn impossible(said: impl Into<String>) -> Self {
        Self::Refused { said: said.into(), status: StatusCode::BAD_REQUEST }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Unreachable(_) | Error::BehindProxy { .. } => Self::Missing(text),
            Error::Refused { .. } | Error::UnknownJob => Self::BadInput(text),
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
    /// On the way to the API.
    proxy: Option<String>,
    token: Option<String>,
}

impl Client {
    /// Checks the address; connects to nothing yet.
    pub(crate) fn new(base: &str) -> Result<Self, Failure> {
        let invalid = || Failure::BadInput(format!("{base:?} is no address of an API; write it as http://localhost:8000"));
        let base = Url::parse(base.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(invalid)?;
        let proxies = worker::Proxies::of_environment();
        let builder = || {
            let agent = concat!("asman/", env!("CARGO_PKG_VERSION"));
            proxies.apply(reqwest::Client::builder()).connect_timeout(CONNECT_TIMEOUT).user_agent(agent)
        };
        let failed = |error: reqwest::Error| Failure::Failed(format!("cannot prepare HTTP: {error}"));
        let http = builder().read_timeout(SILENCE_TIMEOUT).build().map_err(failed)?;
        let uploads = builder().redirect(reqwest::redirect::Policy::none()).build().map_err(failed)?;
        let proxy = proxies.on_the_way_to(&base);
        Ok(Self { http, uploads, base, proxy, token: None })
    }

    /// Sends a token along, to the API alone.
    pub(crate) fn with_token(mut self, token: Option<String>) -> Result<Self, Failure> {
        self.token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if self.token.as_ref().is_some_and(|token| HeaderValue::from_str(token).is_err()) {
            return Err(Failure::BadInput("the token holds a character that no request can carry".to_owned()));
        }
        Ok(self)
    }

    /// Whether `GET /healthz` says so.
    pub(crate) async fn is_healthy(&self) -> bool {
        let Ok(url) = self.url(&["healthz"]) else { return false };
        self.http.get(url).send().await.is_ok_and(|response| response.status() == StatusCode::OK)
    }

    fn url(&self, segments: &[&str]) -> Result<Url, Error> {
        // A URL swallows these two whatever the escaping, and the request would reach another route.
        if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
            return Err(Error::impossible("a name cannot be . or .."));
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

    /// Sends a request, and again while the answer is one that passes and there is patience left. Every request of this client may
    /// be sent twice.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let mut patience = Patience::new();
        loop {
            // None: its body flows and is gone after the first attempt.
            let Some(again) = request.try_clone() else { return self.send_once(request).await.map_err(|(error, _)| error) };
            match self.send_once(again).await {
                Ok(response) => return Ok(response),
                Err((error, passing)) => match passing {
                    Some(passing) if patience.wait(passing).await => (),
                    _ => return Err(error),
                },
            }
        }
    }

    /// One attempt, and whether another may do better.
    async fn send_once(&self, request: RequestBuilder) -> Result<Response, (Error, Option<Passing>)> {
        match request.send().await {
            Ok(response) => {
                // A storage that the API pointed to is not waited for: the API itself has the file too.
                let is_api = response.url().origin() == self.base.origin();
                check(response).await.map_err(|(error, passing)| (error, passing.filter(|_| is_api)))
            }
            Err(error) => {
                let passes = !error.is_builder() && !error.is_connect() && !error.is_timeout();
                Err((self.broken(&error), passes.then(Passing::default)))
            }
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Error {
        match &self.proxy {
            _ if error.is_builder() => Error::impossible(format!("the request cannot be made: {}", reason(error))),
            Some(proxy) if error.is_connect() => Error::BehindProxy { address: self.base.to_string(), proxy: proxy.clone() },
            None if error.is_connect() => Error::Unreachable(self.base.to_string()),
            _ => Error::Broken(reason(error)),
        }
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
