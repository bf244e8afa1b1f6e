//! The API's client for the commands: one typed method for each route, and errors that say whose fault it is.
//!
//! The client uses a queue's name only in URLs. No error text contains a URL's path. The routes are in `jobs`, `policy`, `blobs` and
//! `mcp`.

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
use answer::{Passing, Retries, check};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The client closes a connection that is silent for this long. On a quiet stream the server sends comments more often.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No server answers at the address.
    #[error("no API answers at {0}; start one with `asman up`, or give its address with --api")]
    Unreachable(String),
    /// No server answers through a proxy.
    #[error("no API answers at {address} through the proxy {proxy}; unset that variable, or name the host in NO_PROXY")]
    BehindProxy {
        /// Address of the API.
        address: String,
        /// The proxy, with its environment variable.
        proxy: String,
    },
    /// The API refuses the request (4xx). Sending it again does not help.
    #[error("{said}")]
    Refused {
        /// The API's sentence, or ours if the request cannot be made.
        said: String,
        /// The HTTP status; 400 if the request cannot be made.
        status: StatusCode,
    },
    /// There is no such job.
    #[error("the queue has no such job")]
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
    /// For uploads: it follows no redirects, and has no read timeout, which would include the time of sending.
    uploads: reqwest::Client,
    base: Url,
    /// The proxy on the way to the API.
    proxy: Option<String>,
    token: Option<String>,
}

impl Client {
    /// Checks the address. It does not connect yet.
    pub(crate) fn new(base: &str) -> Result<Self, Failure> {
        let invalid = || Failure::BadInput(format!("{base:?} is not an address of an API; write it as http://localhost:8000"));
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

    /// Sends a token with every request to the API, and with no other request.
    pub(crate) fn with_token(mut self, token: Option<String>) -> Result<Self, Failure> {
        self.token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if self.token.as_ref().is_some_and(|token| HeaderValue::from_str(token).is_err()) {
            return Err(Failure::BadInput(
                "the token contains a character that cannot be sent in a header; check for line breaks and non-ASCII characters"
                    .to_owned(),
            ));
        }
        Ok(self)
    }

    /// Whether `GET /healthz` answers with status 200.
    pub(crate) async fn is_healthy(&self) -> bool {
        let Ok(url) = self.url(&["healthz"]) else { return false };
        self.http.get(url).send().await.is_ok_and(|response| response.status() == StatusCode::OK)
    }

    fn url(&self, segments: &[&str]) -> Result<Url, Error> {
        // URL parsers remove these two even when they are escaped, so the request would reach another route.
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

    /// Sends a request, and repeats it after temporary errors while there is time. Every request of this client may be sent
    /// twice.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let mut retries = Retries::new();
        loop {
            // A request with a streamed body cannot be cloned, because the first attempt consumes the body. It is sent once.
            let Some(again) = request.try_clone() else { return self.send_once(request).await.map_err(|(error, _)| error) };
            match self.send_once(again).await {
                Ok(response) => return Ok(response),
                Err((error, passing)) => match passing {
                    Some(passing) if retries.wait(passing).await => (),
                    _ => return Err(error),
                },
            }
        }
    }

    /// One attempt, and whether another one may succeed.
    async fn send_once(&self, request: RequestBuilder) -> Result<Response, (Error, Option<Passing>)> {
        match request.send().await {
            Ok(response) => {
                // An error of a storage to which the API redirects is not retried, because the API itself can serve the file.
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

/// The innermost cause, without the URL, whose path contains the queue's name.
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
