//! Every error of a handler, and the one place that turns it into a response.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use protocol::{Coded, ErrorCode};
use serde_json::{Value, json};

use crate::request;

/// Every error of a handler. A 4xx body has a sentence for the user and a code for programs. The body of a 500 has no details:
/// its cause is logged here, once.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The request is refused for the reason that the code names. The status follows from it.
    #[error("{1}")]
    Refused(ErrorCode, Cow<'static, str>),
    /// The permission requires a token, and the request has none.
    #[error("this queue requires a token; send it as Authorization: Bearer <token>")]
    NoToken,
    /// The token is not the one that the permission requires.
    #[error("the token does not give this permission on the queue; ask the queue's owner for the right one")]
    WrongToken,
    /// The request is over a limit of the server or of the queue's policy. It may succeed later.
    #[error("{sentence}")]
    TooMany {
        /// Which limit.
        code: ErrorCode,
        /// The sentence for the user.
        sentence: &'static str,
        /// When to try again.
        retry_after: std::time::Duration,
    },
    /// The route exists, but not for this method.
    #[error("this route does not support this method")]
    Method,
    /// The worker no longer has the claim.
    #[error("this claim is no longer live; drop the job")]
    StaleEpoch,
    /// The body did not come in time.
    #[error("the body did not come in time")]
    SlowBody,
    /// The process is stopping.
    #[error("the server is stopping; try again")]
    Stopping,
    /// The database did not answer.
    #[error("{0}")]
    Database(Arc<sql::Error>),
    /// The object storage does not answer or refuses this API's access. The log has the reason already.
    #[error("the object storage cannot be reached; try again later")]
    StoreAway,
    /// The object storage refuses the file permanently. The log has the reason already.
    #[error("the object storage refuses the file permanently ({0}); the operator of this API must change its settings")]
    StoreRefuses(String),
    /// A range outside of the file.
    #[error("the file does not have these bytes")]
    Range,
    /// The blob store failed.
    #[error("blob store: {0}")]
    Blob(Arc<std::io::Error>),
}

impl From<sql::Error> for ApiError {
    fn from(error: sql::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        Self::Blob(Arc::new(error))
    }
}

impl ApiError {
    /// A refusal with this sentence.
    pub(crate) fn refused(code: ErrorCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(code, sentence.into())
    }

    /// The refusal of a checked value, which has its own code.
    #[expect(clippy::needless_pass_by_value, reason = "so that it can be named in `map_err`")]
    pub(crate) fn invalid(cause: impl Coded) -> Self {
        Self::Refused(cause.code(), cause.to_string().into())
    }

    /// A 400 with the message of a cause that has no code of its own.
    #[expect(clippy::needless_pass_by_value, reason = "so that it can be named in `map_err`")]
    pub(crate) fn bad_request(cause: impl ToString) -> Self {
        Self::Refused(ErrorCode::InvalidRequest, cause.to_string().into())
    }

    /// The code beside the sentence; `None` for an internal error that is not temporary.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        Some(match self {
            Self::Refused(code, _) | Self::TooMany { code, .. } => *code,
            Self::NoToken => ErrorCode::NoToken,
            Self::WrongToken => ErrorCode::WrongToken,
            Self::Method => ErrorCode::WrongMethod,
            Self::StaleEpoch => ErrorCode::StaleEpoch,
            Self::Range => ErrorCode::NoSuchRange,
            Self::SlowBody => ErrorCode::SlowBody,
            Self::Stopping => ErrorCode::Stopping,
            Self::StoreAway => ErrorCode::NoStorage,
            Self::StoreRefuses(_) => ErrorCode::StorageRefused,
            Self::Database(error) => match **error {
                sql::Error::Text => ErrorCode::InvalidText,
                sql::Error::Unreachable(_) => ErrorCode::NoDatabase,
                _ => return None,
            },
            Self::Blob(_) => return None,
        })
    }

    /// The answer to a client's mistake, with its sentence under `member`; `None` for an internal error.
    pub(crate) fn refusal(&self, member: &str) -> Option<Response> {
        let code = self.code().filter(|code| status_of(*code).is_client_error())?;
        let mut response = refusal(code, &json!({member: self.to_string(), "code": code}));
        let headers = response.headers_mut();
        match self {
            Self::NoToken => drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::TooMany { retry_after, .. } => {
                let seconds = retry_after.as_millis().div_ceil(1_000).max(1);
                headers.insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
            }
            _ => {}
        }
        Some(response)
    }
}

impl ApiError {
    /// The sentence and the code for a caller without a response of its own, such as a tool. An internal error is logged here.
    pub(crate) fn told(&self) -> (String, Option<ErrorCode>) {
        let code = self.code();
        if code.is_some_and(|code| status_of(code).is_client_error()) {
            return (self.to_string(), code);
        }
        let id = self.log();
        let again = if code.is_some() { "; try again" } else { "" };
        (format!("internal error {id}{again}"), code)
    }

    /// When to try again, if that helps.
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::TooMany { retry_after, .. } => Some(*retry_after),
            _ => self.code().filter(|code| status_of(*code).is_server_error()).map(|_| std::time::Duration::from_secs(1)),
        }
    }

    /// Logs an internal error and returns its id in the log.
    fn log(&self) -> String {
        let id = request::current_id();
        if !matches!(self, Self::Stopping | Self::StoreAway) {
            tracing::error!(id, cause = %self, "a request failed");
        }
        id
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(response) = self.refusal("error") {
            return response;
        }
        let id = self.log();
        let Some(code) = self.code() else {
            return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error": "internal error", "id": id}))).into_response();
        };
        let mut response = refusal(code, &json!({"error": "internal error", "id": id, "code": code}));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }
}

/// The status that a code comes with.
pub(crate) fn status_of(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST)
}

/// A response with a code. Every refusal of this process is made here, so that [`complete`] recognises it.
pub(crate) fn refusal(code: ErrorCode, body: &Value) -> Response {
    let mut response = (status_of(code), Json(body)).into_response();
    response.extensions_mut().insert(code);
    response
}

/// Most bytes of a plain-text body that becomes the sentence of a refusal.
const SENTENCE_BYTES_MAX: usize = 1_000;

/// The outermost layer: it adds a sentence and a code to refusals that were not made by [`refusal`], such as those of
/// libraries. Pages for people are returned unchanged.
pub(crate) async fn complete(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if !response.status().is_client_error()
        || response.extensions().get::<ErrorCode>().is_some()
        || has_type(&response, "text/html")
    {
        return response;
    }
    let Some(code) = code_of(response.status()) else { return response };
    tracing::debug!(%code, "a refusal has no code");
    with_code(code, response).await
}

fn has_type(response: &Response, kind: &str) -> bool {
    let said = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    said.is_some_and(|said| said.starts_with(kind))
}

/// The most general code of a status.
fn code_of(status: StatusCode) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|code| code.status() == status.as_u16())
}

/// The same answer with a code in its body: members of an object stay, a text becomes the sentence.
async fn with_code(code: ErrorCode, response: Response) -> Response {
    let is_json = has_type(&response, "application/json");
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, SENTENCE_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    let members = if is_json { serde_json::from_str(&text).ok() } else { None };
    let mut members: serde_json::Map<String, Value> = members.unwrap_or_default();
    if members.is_empty() {
        let plain = code.meaning().replace('`', "");
        members.insert("error".to_owned(), if is_json || text.is_empty() { plain } else { text }.into());
    }
    members.insert("code".to_owned(), code.as_str().into());
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.extensions.insert(code);
    Response::from_parts(parts, Value::Object(members).to_string().into())
}
