//! Everything a handler can fail with, and the one place that turns it into a response.

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

/// Everything a handler can fail with. A 4xx body has a sentence for the user and a code for programs; a 500 says nothing, its
/// cause is logged here, once.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The request is refused for the reason that the code names. The status follows from it.
    #[error("{1}")]
    Refused(ErrorCode, Cow<'static, str>),
    /// The door asks for a token and none came along.
    #[error("this queue asks for a token; send it as Authorization: Bearer <token>")]
    NoToken,
    /// The token is not the one that the door asks for.
    #[error("the token does not open this door of the queue")]
    WrongToken,
    /// Over a limit of the instance or of the queue's policy; later it may go.
    #[error("{sentence}")]
    TooMany {
        /// Which limit.
        code: ErrorCode,
        /// For the user.
        sentence: &'static str,
        /// When to try again.
        retry_after: std::time::Duration,
    },
    /// The route is there, for another method.
    #[error("this route does not take this method")]
    Method,
    /// The worker no longer holds the claim.
    #[error("this claim is no longer live; drop the job")]
    StaleEpoch,
    /// The body did not come in time.
    #[error("the body did not come in time")]
    SlowBody,
    /// The process is stopping.
    #[error("the server is stopping; try again")]
    Stopping,
    /// The database gave no answer.
    #[error("{0}")]
    Database(Arc<sql::Error>),
    /// The object storage is away or refuses us. It has said why in the log already.
    #[error("the object storage is away")]
    StoreAway,
    /// The object storage will not take the file, now or later. The log has said why already.
    #[error("the object storage refuses the file for good ({0}); the operator of this API has to change its settings")]
    StoreRefuses(String),
    /// A part of the file that is not there.
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

    /// The refusal of a value that was checked and knows its code.
    #[expect(clippy::needless_pass_by_value, reason = "so that it can be named in `map_err`")]
    pub(crate) fn invalid(cause: impl Coded) -> Self {
        Self::Refused(cause.code(), cause.to_string().into())
    }

    /// A 400 with the words of a cause that has no code of its own.
    #[expect(clippy::needless_pass_by_value, reason = "so that it can be named in `map_err`")]
    pub(crate) fn bad_request(cause: impl ToString) -> Self {
        Self::Refused(ErrorCode::InvalidRequest, cause.to_string().into())
    }

    /// The code that stands beside the sentence; `None` for a fault of ours that does not pass by itself.
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

    /// The answer to a mistake of the client's, with its sentence under `member`; `None` for a fault of ours.
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
    /// The sentence and the code for a caller that gets no response of its own, as a tool's. A fault of ours is logged here.
    pub(crate) fn told(&self) -> (String, Option<ErrorCode>) {
        let code = self.code();
        if code.is_some_and(|code| status_of(code).is_client_error()) {
            return (self.to_string(), code);
        }
        let id = self.log();
        let again = if code.is_some() { "; try again" } else { "" };
        (format!("internal error {id}{again}"), code)
    }

    /// When to try again, where that helps.
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::TooMany { retry_after, .. } => Some(*retry_after),
            _ => self.code().filter(|code| status_of(*code).is_server_error()).map(|_| std::time::Duration::from_secs(1)),
        }
    }

    /// Logs a fault of ours, and gives the id by which the log knows it.
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

/// A response with a code. Each refusal of the process is made here, so that [`complete`] knows it for whole.
pub(crate) fn refusal(code: ErrorCode, body: &Value) -> Response {
    let mut response = (status_of(code), Json(body)).into_response();
    response.extensions_mut().insert(code);
    response
}

/// Most bytes of a body in plain text that is taken for the sentence of a refusal.
const SENTENCE_BYTES_MAX: usize = 1_000;

/// The outermost layer: a refusal that was not made by [`refusal`], such as a library's, gets its sentence and code here. Pages
/// for people stay as they are.
pub(crate) async fn complete(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if !response.status().is_client_error()
        || response.extensions().get::<ErrorCode>().is_some()
        || has_type(&response, "text/html")
    {
        return response;
    }
    let Some(code) = code_of(response.status()) else { return response };
    tracing::debug!(%code, "a refusal came without a code");
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

/// The same answer with a body that has a code: members of an object stay, a text becomes the sentence.
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
