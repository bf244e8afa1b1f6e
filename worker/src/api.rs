//! The worker's calls to the API: one attempt each, and how to go on after it.
//!
//! Errors are sorted by what the caller does next: ask again ([`ApiError::Away`]), drop the claim ([`ApiError::Stale`]) or give up
//! ([`ApiError::Refused`]). An outage is logged once when it begins and once when it ends. URLs hold the queue's name, so no error
//! text carries one.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::{
    ClaimAnswer, ClaimRequest, FinishRequest, HeartbeatAnswer, HeartbeatRequest, JobId, LogsRequest, QueueName, ReleaseRequest,
};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::error::{Error, innermost};
use crate::guard::Guarded;
use crate::proxy::Proxies;
use crate::stats::Stats;
use crate::status::{Obstacle, Status};

/// Time for an answer, on top of the wait that a request asks for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A download that stands still this long has failed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest obedience to `Retry-After`: the claims of a worker that is silent for longer are lost.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// Bytes of an error body that are worth reading.
const SENTENCE_BYTES_MAX: usize = 4096;

/// How a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No answer, or one that says to come again: retry.
    #[error("{0}")]
    Away(String),
    /// The claim's epoch is no longer the newest: drop the job.
    #[error("the claim was taken back")]
    Stale,
    /// Our own guard does not go there.
    #[error("{0}")]
    Forbidden(String),
    /// The API will not do it, now or later.
    #[error("{sentence} ({status})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// In the API's words.
        sentence: String,
    },
}

impl ApiError {
    /// Whether the queue's policy wants another token than ours, or any.
    pub(crate) fn is_about_the_token(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403, .. })
    }
}

/// One API address, one token.
#[derive(Debug)]
pub(crate) struct Api {
    base: Url,
    token: Option<String>,
    client: Client,
    /// For uploads: a redirected PUT is sent again by hand, because its body must be opened again.
    unredirected: Client,
    /// For URLs that strangers chose.
    guarded: Guarded,
    /// On the way to the API.
    proxy: Option<String>,
    is_away: AtomicBool,
    /// The API asked for silence until then.
    not_before: Mutex<Option<Instant>>,
    /// 1 when the API takes uploads itself, 2 when it sends them elsewhere, 0 while nobody knows.
    uploads: AtomicU8,
    /// What this worker has done.
    pub(crate) stats: Stats,
    /// What keeps it from doing more.
    pub(crate) status: Status,
}

impl Api {
    pub(crate) fn new(address: &str, token: Option<String>) -> Result<Self, Error> {
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| HeaderValue::from_str(token).is_err()) {
            let sentence = "--token or ASMAN_WORKER_TOKEN: the token holds a character that no request can carry";
            return Err(Error::Config(sentence.to_owned()));
        }
        let base = Url::parse(address.trim().trim_end_matches('/'))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base())
            .ok_or_else(|| Error::Config("--api is no http or https address; write it as https://queue.example".to_owned()))?;
        let proxies = Proxies::of_environment();
        let builder = || proxies.apply(Client::builder()).connect_timeout(CONNECT_TIMEOUT);
        let failed = |error: reqwest::Error| no_client(&error);
        Ok(Self {
            guarded: Guarded::new(&base, false).map_err(failed)?,
            token,
            client: builder().read_timeout(IDLE_TIMEOUT).build().map_err(failed)?,
            // No read timeout: it would also count the time that sending takes.
            unredirected: builder().redirect(redirect::Policy::none()).build().map_err(failed)?,
            proxy: proxies.on_the_way_to(&base),
            base,
            is_away: AtomicBool::new(false),
            not_before: Mutex::new(None),
            uploads: AtomicU8::new(0),
            stats: Stats::default(),
            status: Status::default(),
        })
    }

    /// `{api}/a/b/c`, each segment percent-encoded.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A file of `/f` through the API itself, whatever stores it.
    pub(crate) fn proxied_url(&self, key: &str) -> Url {
        let mut url = self.url(&["f", key]);
        url.set_query(Some("proxy=1"));
        url
    }

    /// The key, when this is the address of a file of `/f` of this very API.
    pub(crate) fn key_of(&self, url: &Url) -> Option<String> {
        let is_plain = url.origin() == self.base.origin() && url.query().is_none() && url.username().is_empty();
        let mut segments: Vec<_> = url.path_segments()?.collect();
        let encoded = segments.pop().filter(|_| is_plain)?;
        // Keys that need no escaping: all that we write ourselves.
        let is_key = !encoded.is_empty() && encoded.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        (is_key && self.url(&["f", encoded]) == *url).then(|| encoded.to_owned())
    }

    /// A request to the API itself, with the token.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.authorized(self.client.request(method, url))
    }

    /// The same without following redirects.
    pub(crate) fn upload_request(&self, url: Url) -> RequestBuilder {
        self.authorized(self.unredirected.put(url))
    }

    /// How long an upload's body waits for an answer to its head, as `Expect: 100-continue` would have it: an API that redirects
    /// closes the connection without reading the body, and the reset that follows may swallow its answer.
    pub(crate) fn upload_patience(&self) -> Duration {
        match self.uploads.load(Ordering::Relaxed) {
            0 => Duration::from_millis(300),
            1 => Duration::ZERO,
            _ => ANSWER_TIMEOUT,
        }
    }

    /// Remembers what became of an upload.
    pub(crate) fn learn_upload(&self, is_redirected: bool) {
        self.uploads.store(1 + u8::from(is_redirected), Ordering::Relaxed);
    }

    /// An upload to where the API has redirected it: without the token.
    pub(crate) fn redirected_upload(&self, url: Url) -> RequestBuilder {
        self.unredirected.put(url)
    }

    /// Fetches what a stranger named: without the token, every address judged, redirects followed. Every hop gets the headers.
    pub(crate) async fn foreign_get(&self, url: Url, headers: HeaderMap) -> Result<Response, ApiError> {
        self.guarded.get_with(url, |request| request.headers(headers.clone())).await
    }

    /// The client behind [`Api::foreign_get`], for whatever else a stranger may name.
    pub(crate) fn guarded(&self) -> &Guarded {
        &self.guarded
    }

    /// Lets [`Api::guarded`] reach the worker's own network.
    pub(crate) fn allowing_private_urls(mut self, allow: bool) -> Result<Self, Error> {
        self.guarded = Guarded::new(&self.base, allow).map_err(|error| no_client(&error))?;
        Ok(self)
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn claim(&self, queue: &QueueName, body: &ClaimRequest) -> Result<ClaimAnswer, ApiError> {
        self.post(&["q", queue.as_str(), "claim"], body, body.wait.0).await
    }

    pub(crate) async fn heartbeat(&self, queue: &QueueName, body: &HeartbeatRequest) -> Result<HeartbeatAnswer, ApiError> {
        self.post(&["q", queue.as_str(), "heartbeat"], body, body.wait.0).await
    }

    pub(crate) async fn logs(&self, queue: &QueueName, job: &JobId, body: &LogsRequest) -> Result<(), ApiError> {
        self.post_for_job(queue, job, "logs", body).await?;
        self.stats.log_bytes.add(body.lines.iter().map(|line| line.text.len() as u64).sum());
        Ok(())
    }

    pub(crate) async fn finish(&self, queue: &QueueName, job: &JobId, body: &FinishRequest) -> Result<(), ApiError> {
        self.post_for_job(queue, job, "finish", body).await
    }

    pub(crate) async fn release(&self, queue: &QueueName, job: &JobId, body: &ReleaseRequest) -> Result<(), ApiError> {
        self.post_for_job(queue, job, "release", body).await
    }

    async fn post_for_job(&self, queue: &QueueName, job: &JobId, verb: &str, body: &impl Serialize) -> Result<(), ApiError> {
        let segments = ["q", queue.as_str(), "j", job.as_str(), verb];
        self.post::<serde::de::IgnoredAny>(&segments, body, Duration::ZERO).await.map(|_| ())
    }

    async fn post<A: DeserializeOwned>(&self, to: &[&str], body: &impl Serialize, wait: Duration) -> Result<A, ApiError> {
        let request = self.request(Method::POST, self.url(to)).timeout(wait + ANSWER_TIMEOUT).json(body);
        let response = self.send(request).await?;
        let bytes = response.bytes().await.map_err(|error| self.went_away(away(error)))?;
        serde_json::from_slice(&bytes).map_err(|error| self.went_away(ApiError::Away(format!("answer cannot be read: {error}"))))
    }

    /// Sends a request to the API, not before it wants one, and sorts its answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let not_before = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = not_before {
            tokio::time::sleep_until(at).await;
        }
        let answer = request.send().await;
        let after = answer.as_ref().ok().filter(|answer| is_passing(answer.status())).and_then(retry_after);
        *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = after.map(|after| Instant::now() + after);
        match sort(answer).await {
            Err(error @ ApiError::Away(_)) => Err(self.went_away(error)),
            answer => {
                if self.is_away.swap(false, Ordering::Relaxed) {
                    self.status.cleared(Obstacle::Api, 0);
                }
                if matches!(answer, Err(ApiError::Refused { .. })) {
                    self.stats.api_errors.add(1);
                }
                answer
            }
        }
    }

    fn went_away(&self, error: ApiError) -> ApiError {
        self.stats.api_errors.add(1);
        if !self.is_away.swap(true, Ordering::Relaxed) {
            let via = self.proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
            self.status.blocked(Obstacle::Api, 0, &format!("the API does not answer{via} ({error}); it is asked until it does"));
        }
        error
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// When the API says to come again, in seconds, within what a lease allows.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn no_client(error: &reqwest::Error) -> Error {
    Error::Config(format!("no HTTP client: {error}"))
}

fn away(error: reqwest::Error) -> ApiError {
    ApiError::Away(cause_of(error))
}

/// Why a request failed; never with its URL.
pub(crate) fn cause_of(error: reqwest::Error) -> String {
    innermost(&error.without_url())
}

/// Redirects count as answers: whoever asked without following them reads them.
pub(crate) async fn sort(answer: reqwest::Result<Response>) -> Result<Response, ApiError> {
    let response = match answer {
        Ok(response) => response,
        // It was never sent, and never will be.
        Err(error) if error.is_builder() => return Err(ApiError::Refused { status: 400, sentence: cause_of(error) }),
        Err(error) => return Err(away(error)),
    };
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return Ok(response);
    }
    if status == StatusCode::CONFLICT {
        return Err(ApiError::Stale);
    }
    let sentence = sentence_of(response).await;
    if is_passing(status) {
        return Err(ApiError::Away(format!("{sentence} ({status})")));
    }
    Err(ApiError::Refused { status: status.as_u16(), sentence })
}

/// What an API says went wrong: the `error` of a JSON body. Anything else was not written by an API of ours, such as a proxy's
/// page: then its status says what there is to say.
pub async fn sentence_of(mut response: Response) -> String {
    let status = response.status();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > SENTENCE_BYTES_MAX {
            break;
        }
    }
    let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let sentence = json.as_ref().and_then(|json| json["error"].as_str()).map(str::to_owned);
    sentence.unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_and_job_are_one_segment_each() {
        let api = Api::new("http://host:1/base/", None).unwrap();
        let url = api.url(&["q", "my queue?#%", "j", "ä", "logs"]);
        assert_eq!(url.as_str(), "http://host:1/base/q/my%20queue%3F%23%25/j/%C3%A4/logs");
        assert_eq!(api.key_of(&"http://host:1/base/f/ab-1".parse().unwrap()), Some("ab-1".to_owned()));
        for other in ["http://host:1/f/ab", "http://host/base/f/ab", "http://host:1/base/f/a/b", "http://host:1/base/f/ab?x=1"] {
            assert_eq!(api.key_of(&other.parse().unwrap()), None, "{other}");
        }
        assert!(Api::new("ftp://host", None).is_err());
        assert!(Api::new("host:8000", None).is_err());
        assert_eq!(Api::new(" http://host:1/base/\n", None).unwrap().url(&["q"]).as_str(), "http://host:1/base/q");
    }

    #[test]
    fn a_token_keeps_no_white_space_around_it_and_one_that_no_header_can_hold_is_refused() {
        assert_eq!(Api::new("http://host", Some("abc\r\n".to_owned())).unwrap().token.unwrap(), "abc");
        assert!(Api::new("http://host", Some("\n".to_owned())).unwrap().token.is_none());
        assert!(matches!(Api::new("http://host", Some("a\nb".to_owned())), Err(Error::Config(_))));
    }
}
