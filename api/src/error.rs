//! Everything a handler can fail with, and the one place that turns it into a response.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::request;

/// Everything a handler can fail with. A 4xx sentence is for the user; a 5xx body says nothing, its cause is logged here, once.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The request cannot be understood or breaks a rule.
    #[error("{0}")]
    BadRequest(String),
    /// The door asks for a token and none came along.
    #[error("this queue asks for a token; send it as Authorization: Bearer <token>")]
    NoToken,
    /// The token is not the one that the door asks for.
    #[error("the token does not open this door of the queue")]
    WrongToken,
    /// Over a limit of the instance or of the queue's policy; later it may go.
    #[error("{sentence}")]
    TooMany {
        /// For the user.
        sentence: &'static str,
        /// When to try again.
        retry_after: std::time::Duration,
    },
    /// What the URL names does not exist.
    #[error("{0}")]
    NotFound(&'static str),
    /// The route is there, for another method.
    #[error("this route does not take this method")]
    Method,
    /// The worker no longer holds the claim.
    #[error("this claim is no longer live; drop the job")]
    StaleEpoch,
    /// Over a limit.
    #[error("{0}")]
    TooLarge(String),
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
    /// A 400 with the words of the cause.
    #[expect(clippy::needless_pass_by_value, reason = "so that it can be named in `map_err`")]
    pub(crate) fn bad_request(cause: impl ToString) -> Self {
        Self::BadRequest(cause.to_string())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::WrongToken => StatusCode::FORBIDDEN,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::StaleEpoch => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Range => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Stopping | Self::StoreAway => StatusCode::SERVICE_UNAVAILABLE,
            Self::StoreRefuses(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Database(error) if matches!(**error, sql::Error::Text) => StatusCode::BAD_REQUEST,
            Self::Database(error) if matches!(**error, sql::Error::Unreachable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(_) | Self::Blob(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The answer to a mistake of the client's, with its sentence under `member`; `None` for a fault of ours.
    pub(crate) fn refusal(&self, member: &str) -> Option<Response> {
        let status = self.status();
        if !status.is_client_error() {
            return None;
        }
        let mut response = (status, Json(json!({member: self.to_string()}))).into_response();
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

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(response) = self.refusal("error") {
            return response;
        }
        let status = self.status();
        let id = request::current_id();
        if !matches!(self, Self::Stopping | Self::StoreAway) {
            tracing::error!(id, cause = %self, "a request failed");
        }
        let mut response = (status, Json(json!({"error": "internal error", "id": id}))).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
