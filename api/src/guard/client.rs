//! The client that connects only to addresses that were checked.
//!
//! Invariants: no proxy from the environment; redirects only to the same scheme, host and port, at most [`REDIRECTS_MAX`], and only
//! those that repeat the request (307, 308).
//! Bounds: [`TIMEOUT`] for a whole request; [`ANSWER_BYTES_MAX`] of an answer are read, so that its connection can be used again.

use std::time::{Duration, SystemTime};

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, StatusCode};

use egress::{Guard, forbidden_in};

use super::{Forbidden, check};

/// Time limit of one request, from the look-up of the name to the head of the answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REDIRECTS_MAX: usize = 3;
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Time limit for the rest of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const IDLE_PER_HOST: usize = 16;

/// Why a request was not accepted. The message does not contain the URL, which may contain secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// The request may not be sent.
    #[error("the URL {0}")]
    Forbidden(#[from] Forbidden),
    /// The receiver did not answer with 2xx. The duration is the wait that it asked for, if any.
    #[error("answered with status {}", .0.as_u16())]
    Status(StatusCode, Option<Duration>),
    /// The receiver did not answer in time.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The name has no address, the port is closed, or TLS failed.
    #[error("cannot be connected to")]
    Connect,
    /// The connection broke, or the answer is not HTTP.
    #[error("the answer broke off")]
    Broken,
}

/// Sends requests to addresses that users gave. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct GuardedClient {
    http: Client,
    guard: Guard,
}

impl GuardedClient {
    pub(crate) fn new(guard: Guard) -> reqwest::Result<Self> {
        let http = Client::builder()
            .dns_resolver(guard)
            .no_proxy()
            .redirect(Policy::custom(redirect))
            .referer(false)
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(Duration::from_secs(15))
            .user_agent(concat!("asman/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, guard })
    }

    /// Sends a body with these headers. Any 2xx counts as accepted.
    pub(crate) async fn post(&self, url: &str, headers: reqwest::header::HeaderMap, body: Vec<u8>) -> Result<(), RequestError> {
        let url = check(self.guard, url)?;
        let send = self.http.post(url).headers(headers).body(body).send();
        // A second time limit around everything, because the client's own limit does not always cover the name look-up.
        let answer = tokio::time::timeout(TIMEOUT, send).await.map_err(|_| RequestError::TimedOut)?;
        let mut response = answer.map_err(|error| failure_of(&error))?;
        let status = response.status();
        let wait = retry_after(response.headers(), SystemTime::now());
        // A failure from here on changes nothing: the receiver has already answered.
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, async {
            let mut n_read = 0;
            while let Ok(Some(chunk)) = response.chunk().await {
                n_read += chunk.len();
                if n_read > ANSWER_BYTES_MAX {
                    return;
                }
            }
        })
        .await;
        if status.is_success() { Ok(()) } else { Err(RequestError::Status(status, wait)) }
    }
}

/// How long an answer asks to wait: seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &reqwest::header::HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

/// A redirect that is not followed is an answer with status 3xx, and therefore a failure.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let repeats = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let is_same = attempt.previous().last().is_some_and(|last| last.origin() == attempt.url().origin());
    if repeats && is_same && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}

fn failure_of(error: &reqwest::Error) -> RequestError {
    if let Some(forbidden) = forbidden_in(error) {
        return RequestError::Forbidden(forbidden.into());
    }
    match () {
        () if error.is_timeout() => RequestError::TimedOut,
        () if error.is_connect() => RequestError::Connect,
        () => RequestError::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_may_ask_for_time_in_seconds_or_until_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&reqwest::header::HeaderMap::new(), now), None);
    }
}
