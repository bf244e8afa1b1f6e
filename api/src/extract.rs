//! The checked values that handlers take out of a request, with our own sentences for errors. Only `access` gives them a
//! queue's name.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request;
use protocol::{ErrorCode, JobId, QueueName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower_http::timeout::TimeoutError;
use utoipa::IntoParams;

use crate::error::ApiError;

/// The job of a path without a queue.
pub(crate) struct JobOnly(pub(crate) JobId);

/// All parameters of the path as text, for routes that have more than a queue and a job. Do not use the name of the queue from
/// here: get it through `access`, which checks the permission.
pub(crate) struct Parts<T>(pub(crate) T);

/// The path prefix of everything of a queue.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct QueuePath {
    /// The queue's name, which is also its key.
    #[param(value_type = QueueName, inline)]
    pub(crate) queue: String,
}

/// The path prefix of everything of a queue's job.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct JobPath {
    /// The queue's name, which is also its key.
    #[param(value_type = QueueName, inline)]
    pub(crate) queue: String,
    /// The job's id.
    #[param(value_type = JobId, inline)]
    pub(crate) id: String,
}

/// The path of a job whose queue is not named.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct IdPath {
    /// The job's id, which must be the hash of its definition, by today's rule or the old one.
    #[param(value_type = JobId, inline)]
    id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for JobOnly {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let Path(path) = Path::<IdPath>::from_request_parts(parts, state).await.map_err(ApiError::bad_request)?;
        Ok(Self(JobId::try_from(path.id).map_err(ApiError::invalid)?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Parts<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let Path(value) = Path::<T>::from_request_parts(parts, state).await.map_err(ApiError::bad_request)?;
        Ok(Self(value))
    }
}

/// A JSON object as the body, with any content type. At most `MAX` bytes.
pub(crate) struct Body<T, const MAX: usize = { protocol::limits::BODY_BYTES_MAX }>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned, const MAX: usize> FromRequest<S> for Body<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request.into_body(), MAX).await?;
        protocol::read_object("the body", &bytes)
            .map(Self)
            .map_err(|sentence| ApiError::refused(ErrorCode::InvalidBody, sentence))
    }
}

/// The bytes of a body, with any content type. At most `MAX` bytes.
pub(crate) struct RawBody<const MAX: usize>(pub(crate) Bytes);

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for RawBody<MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        read(request.into_body(), MAX).await.map(Self)
    }
}

/// A body that takes longer than this to arrive is given up.
const BODY_TIME: std::time::Duration = std::time::Duration::from_mins(2);

async fn read(body: axum::body::Body, max: usize) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, max));
    read.await.map_err(|_| ApiError::SlowBody)?.map_err(|error| {
        if is_slow(&error) {
            return ApiError::SlowBody;
        }
        // axum reports "length limit exceeded" only in the error's source.
        let is_limit = std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit"));
        if is_limit {
            ApiError::refused(ErrorCode::TooLarge, format!("the body is larger than {} KiB", max / 1024))
        } else {
            ApiError::refused(ErrorCode::IncompleteBody, "the body broke off before its end".to_owned())
        }
    })
}

/// Whether the client paused for too long within the body.
fn is_slow(error: &axum::Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).any(<dyn std::error::Error>::is::<TimeoutError>)
}

/// Parameters of the query string.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::<T>::from_request_parts(parts, state).await.map_err(|rejection| {
            let said = std::error::Error::source(&rejection).map(ToString::to_string).unwrap_or_default();
            ApiError::refused(ErrorCode::InvalidParameter, parameter_sentence(&said))
        })?;
        Ok(Self(value))
    }
}

/// A sentence that says which parameter is wrong, in place of the parser's message.
fn parameter_sentence(said: &str) -> String {
    let Some((name, cause)) = said.split_once(": ") else {
        let twice = said.strip_prefix("duplicate field `").and_then(|rest| rest.split_once('`'));
        return twice.map_or_else(
            || format!("the parameters cannot be read: {said}"),
            |(name, _)| format!("the parameter {name} is given twice; give it once"),
        );
    };
    if cause.contains("digit") || cause.contains("number") || cause.contains("integer") {
        return format!("the parameter {name} must be a whole number");
    }
    format!("the parameter {name} cannot be read: {cause}")
}
