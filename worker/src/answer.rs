//! Sorts the answers to calls: success, or an error that tells the caller what to do next.

use reqwest::{Response, StatusCode};

use crate::error::innermost;

/// Most bytes read of an error body.
const SENTENCE_BYTES_MAX: usize = 4096;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// There was no answer, or the answer says to try again.
    #[error("{0}")]
    Away(String),
    /// The claim's epoch is no longer the newest: the worker drops the job.
    #[error("the API ended the claim")]
    Stale,
    /// The worker's own guard does not permit the address.
    #[error("{0}")]
    Forbidden(String),
    /// The API refuses the call for good.
    #[error("{sentence} ({status})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the API said.
        sentence: String,
    },
}

impl ApiError {
    /// Whether the queue's policy asks for a token that this worker does not have.
    pub(crate) fn is_about_the_token(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403, .. })
    }
}

pub(crate) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

pub(crate) fn away(error: reqwest::Error) -> ApiError {
    ApiError::Away(cause_of(error))
}

/// Why a request failed, without its URL.
pub(crate) fn cause_of(error: reqwest::Error) -> String {
    innermost(&error.without_url())
}

/// Sorts an answer. A redirect counts as a success, for callers that follow redirects themselves.
pub(crate) async fn sort(answer: reqwest::Result<Response>) -> Result<Response, ApiError> {
    let response = match answer {
        Ok(response) => response,
        // The request is invalid, so it was not sent and never will be.
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

/// The API's sentence about what went wrong: the `error` of a JSON body. A body of another form, such as a proxy's page, does not come from
/// this API; then the sentence is the name of the HTTP status.
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
    sentence.unwrap_or_else(|| status.canonical_reason().unwrap_or("it gives no reason").to_owned())
}
