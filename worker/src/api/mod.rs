//! The worker's calls to the API. Each call is one attempt, and its error tells the caller what to do next.
//!
//! The caller tries again after [`ApiError::Away`], drops the claim after [`ApiError::Stale`], and gives up after [`ApiError::Refused`].
//! An outage is logged once when it begins and once when it ends. URLs contain the queue's name, so no error text contains a URL.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::{
    ClaimAnswer, ClaimRequest, FinishRequest, HeartbeatAnswer, HeartbeatRequest, JobId, LogsRequest, QueueName, ReleaseRequest,
};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, Url, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::answer::{ApiError, away, is_passing, sort};
use crate::error::Error;
use crate::network::Guarded;
use crate::network::Proxies;
use crate::stats::Stats;
use crate::status::{Obstacle, Status};

/// Time for an answer, in addition to the wait that a request asks for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A download that brings no byte for this long has failed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest `Retry-After` that the worker follows. A worker that is silent for longer loses its claims.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// A client for one API address, with one token.
#[derive(Debug)]
pub(crate) struct Api {
    base: Url,
    token: Option<String>,
    client: Client,
    /// For uploads. The caller follows redirects itself, because it must open the body again for the second PUT.
    unredirected: Client,
    /// For URLs that strangers chose.
    guarded: Guarded,
    /// The proxy that requests to the API go through.
    proxy: Option<String>,
    is_away: AtomicBool,
    /// The API asked the worker to send nothing before this time.
    not_before: Mutex<Option<Instant>>,
    /// 1 when the API takes uploads itself, 2 when it redirects them, 0 when the worker has not seen either yet.
    uploads: AtomicU8,
    /// Counts of what this worker has done.
    pub(crate) stats: Stats,
    /// What keeps this worker from taking jobs.
    pub(crate) status: Status,
}

impl Api {
    pub(crate) fn new(address: &str, token: Option<String>) -> Result<Self, Error> {
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| HeaderValue::from_str(token).is_err()) {
            let sentence = "--token or ASMAN_WORKER_TOKEN: the token has a character that an HTTP header cannot contain; check it for line breaks";
            return Err(Error::Config(sentence.to_owned()));
        }
        let base = Url::parse(address.trim().trim_end_matches('/'))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base())
            .ok_or_else(|| {
                Error::Config("--api is not an http or https address; write it as https://queue.example".to_owned())
            })?;
        let proxies = Proxies::of_environment();
        let builder = || proxies.apply(Client::builder()).connect_timeout(CONNECT_TIMEOUT);
        let failed = |error: reqwest::Error| no_client(&error);
        Ok(Self {
            guarded: Guarded::new(&base, false).map_err(failed)?,
            token,
            client: builder().read_timeout(IDLE_TIMEOUT).build().map_err(failed)?,
            // No read timeout, because it would also count the time for sending.
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

    /// The address of a file of `/f` through the API itself, without a redirect to the storage.
    pub(crate) fn proxied_url(&self, key: &str) -> Url {
        let mut url = self.url(&["f", key]);
        url.set_query(Some("proxy=1"));
        url
    }

    /// The key, when this is the address of a file of `/f` of this API.
    pub(crate) fn key_of(&self, url: &Url) -> Option<String> {
        let is_plain = url.origin() == self.base.origin() && url.query().is_none() && url.username().is_empty();
        let mut segments: Vec<_> = url.path_segments()?.collect();
        let encoded = segments.pop().filter(|_| is_plain)?;
        // Accept only keys that need no escaping. No key that the worker writes needs it.
        let is_key = !encoded.is_empty() && encoded.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        (is_key && self.url(&["f", encoded]) == *url).then(|| encoded.to_owned())
    }

    /// A request to the API itself, with the token.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.authorized(self.client.request(method, url))
    }

    /// A request to the API that follows no redirects.
    pub(crate) fn upload_request(&self, url: Url) -> RequestBuilder {
        self.authorized(self.unredirected.put(url))
    }

    /// How long an upload waits for an answer before it sends its body, like `Expect: 100-continue`. An API that redirects closes the
    /// connection without reading the body, and the connection reset may destroy its answer.
    pub(crate) fn continue_timeout(&self) -> Duration {
        match self.uploads.load(Ordering::Relaxed) {
            0 => Duration::from_millis(300),
            1 => Duration::ZERO,
            _ => ANSWER_TIMEOUT,
        }
    }

    /// Records whether the API redirected an upload.
    pub(crate) fn learn_upload(&self, is_redirected: bool) {
        self.uploads.store(1 + u8::from(is_redirected), Ordering::Relaxed);
    }

    /// An upload to the address that the API redirected it to, without the token.
    pub(crate) fn redirected_upload(&self, url: Url) -> RequestBuilder {
        self.unredirected.put(url)
    }

    /// Fetches a URL that a stranger named. It sends no token, checks every address, follows redirects, and sends the headers with every
    /// request.
    pub(crate) async fn foreign_get(&self, url: Url, headers: HeaderMap) -> Result<Response, ApiError> {
        self.guarded.get_with(url, |request| request.headers(headers.clone())).await
    }

    /// The client behind [`Api::foreign_get`], for other requests that a stranger named.
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
        serde_json::from_slice(&bytes).map_err(|error| self.went_away(ApiError::Away(format!("cannot read its answer: {error}"))))
    }

    /// Sends a request to the API, after waiting as long as the API asked, and sorts its answer.
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
            self.status.blocked(
                Obstacle::Api,
                0,
                &format!("the API does not answer{via} ({error}); the worker tries again until it does"),
            );
        }
        error
    }
}

/// How long the API asks the worker to wait, at most [`RETRY_AFTER_MAX`].
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn no_client(error: &reqwest::Error) -> Error {
    Error::Config(format!("cannot make an HTTP client: {error}"))
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
    fn a_token_loses_the_white_space_around_it_and_is_refused_when_no_header_can_contain_it() {
        assert_eq!(Api::new("http://host", Some("abc\r\n".to_owned())).unwrap().token.unwrap(), "abc");
        assert!(Api::new("http://host", Some("\n".to_owned())).unwrap().token.is_none());
        assert!(matches!(Api::new("http://host", Some("a\nb".to_owned())), Err(Error::Config(_))));
    }
}
