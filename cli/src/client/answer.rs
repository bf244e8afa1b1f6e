//! What an answer that is not a success means, and how long it is worth to ask again.
//!
//! Decisions follow the status and the code in the body, never its words. A body that is not JSON was not written by the API: it
//! is a page of some proxy on the way, and is never shown.
//! Bounds: [`TRIED_FOR`] in all, a body of [`BODY_BYTES_MAX`].

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::Error;

/// For how long an answer that passes is waited out.
const TRIED_FOR: Duration = Duration::from_secs(20);
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Of an error's body that are read.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Of its sentence that are shown.
const SENTENCE_CHARS_MAX: usize = 2_000;
/// How a token is given here; the API only knows headers.
const TOKEN_HINT: &str = "; here it comes from --token or ASMAN_TOKEN";
/// The code of a job that the queue does not know.
const NO_JOB: &str = protocol::ErrorCode::NoJob.as_str();

/// An answer that may be another one soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passing {
    /// When the API says to come again.
    after: Option<Duration>,
}

/// What is left of the time for trying.
pub(super) struct Patience {
    until: Instant,
    next: Duration,
}

impl Patience {
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

/// The body of a refusal of the API's.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    error: Option<String>,
    /// A cancel of an unknown job has it instead, as existing clients know it.
    message: Option<String>,
    code: Option<String>,
}

/// An answer that is a success, or what else it means and whether it passes.
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
    // Too many requests and a request that took too long are nobody's typing mistake.
    let is_refused = status.is_client_error() && passing.is_none();
    let said = match refusal.error.or(refusal.message) {
        Some(said) if matches!(status.as_u16(), 401 | 403) => said + TOKEN_HINT,
        Some(said) => said,
        None => format!("{status}, from something on the way that is not an API of Asman"),
    };
    let said = said.trim().chars().take(SENTENCE_CHARS_MAX).collect();
    Err((if is_refused { Error::Refused { said, status } } else { Error::Broken(said) }, passing))
}

/// What a gateway says while what is behind it starts again, and a server that has too much to do.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 502 | 503 | 504)
}

/// Seconds; the other form, a date, is not one that the API or a common gateway sends.
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
    fn patience_ends_and_the_server_says_how_long_a_wait_is() {
        let (mut patience, began) = (Patience::new(), Instant::now());
        let mut now = began;
        while let Some(wait) = patience.next(now, Passing::default()) {
            now += wait;
        }
        let waited = now - began;
        assert!(waited <= TRIED_FOR && waited > TRIED_FOR / 2, "{waited:?}");
        let after = |seconds| Passing { after: Some(Duration::from_secs(seconds)) };
        assert_eq!(Patience::new().next(began, after(7)), Some(Duration::from_secs(7)));
        assert_eq!(Patience::new().next(began, after(60)), None, "later than anybody waits");
    }
}
