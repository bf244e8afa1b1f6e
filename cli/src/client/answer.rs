//! What an unsuccessful answer means, and how long to repeat the request.
//!
//! Decisions use the status and the code in the body, never the sentence. A body that is not JSON does not come from the API: it
//! is the page of a proxy, and is never shown. Bounds: [`TRIED_FOR`] in total, a body of [`BODY_BYTES_MAX`].

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::Error;

/// How long temporary errors are retried.
const TRIED_FOR: Duration = Duration::from_secs(20);
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Most bytes of an error's body that are read.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Most characters of its sentence that are shown.
const SENTENCE_CHARS_MAX: usize = 2_000;
/// How to give a token here; the API's sentence only names the header.
const TOKEN_HINT: &str = "; here it comes from --token or ASMAN_TOKEN";
/// The code for an unknown job.
const NO_JOB: &str = protocol::ErrorCode::NoJob.as_str();

/// A temporary error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passing {
    /// When the API says to try again.
    after: Option<Duration>,
}

/// The remaining time for retries.
pub(super) struct Retries {
    until: Instant,
    next: Duration,
}

impl Retries {
    pub(super) fn new() -> Self {
        Self { until: Instant::now() + TRIED_FOR, next: WAIT_MIN }
    }

    /// Waits before the next attempt; false when it would come too late.
    pub(super) async fn wait(&mut self, passing: Passing) -> bool {
        let Some(wait) = self.next(Instant::now(), passing) else { return false };
        tokio::time::sleep(wait).await;
        true
    }

    fn next(&mut self, now: Instant, passing: Passing) -> Option<Duration> {
        let wait = passing.after.unwrap_or(self.next);
        self.next = (self.next * 2).min(WAIT_MAX);
        (now + wait < self.until).then_some(wait)
    }
}

/// The body of a refusal by the API.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    error: Option<String>,
    /// If a client cancels an unknown job, the sentence is here and not in `error`, as existing clients expect.
    message: Option<String>,
    code: Option<String>,
}

/// Returns a successful answer. For any other it returns the error, and whether the error is temporary.
pub(super) async fn check(response: Response) -> Result<Response, (Error, Option<Passing>)> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let passing = is_passing(status).then(|| Passing { after: retry_after(&response) });
    let refusal = serde_json::from_slice::<Refusal>(&body(response).await).unwrap_or_default();
    if refusal.code.as_deref() == Some(NO_JOB) {
        return Err((Error::UnknownJob, None));
    }
    // 429 and 408 are not mistakes of the user.
    let is_refused = status.is_client_error() && passing.is_none();
    let said = match refusal.error.or(refusal.message) {
        Some(said) if matches!(status.as_u16(), 401 | 403) => said + TOKEN_HINT,
        Some(said) => said,
        None => format!("{status}, from a server that is not an Asman API; check --api and the proxy"),
    };
    let said = said.trim().chars().take(SENTENCE_CHARS_MAX).collect();
    Err((if is_refused { Error::Refused { said, status } } else { Error::Broken(said) }, passing))
}

/// The statuses of a gateway whose server restarts, and of an overloaded server.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 502 | 503 | 504)
}

/// The header `Retry-After`, in seconds. The API and common gateways do not send its other form, a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_BYTES_MAX {
            break;
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_end_and_the_server_says_how_long_a_wait_is() {
        let (mut retries, began) = (Retries::new(), Instant::now());
        let mut now = began;
        while let Some(wait) = retries.next(now, Passing::default()) {
            now += wait;
        }
        let waited = now - began;
        assert!(waited <= TRIED_FOR && waited > TRIED_FOR / 2, "{waited:?}");
        let after = |seconds| Passing { after: Some(Duration::from_secs(seconds)) };
        assert_eq!(Retries::new().next(began, after(7)), Some(Duration::from_secs(7)));
        assert_eq!(Retries::new().next(began, after(60)), None, "longer than the client waits");
    }
}
