//! What handlers take out of a request, checked, with our own sentences for what is wrong.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request;
use protocol::{JobId, QueueName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower_http::timeout::TimeoutError;

use crate::error::ApiError;

/// The queue of the path.
pub(crate) struct InQueue(pub(crate) QueueName);

/// The queue and the job of the path.
pub(crate) struct OfJob(pub(crate) QueueName, pub(crate) JobId);

/// The job of a path without a queue.
pub(crate) struct JobOnly(pub(crate) JobId);

/// Every part of the path, as text, for the routes that have parts of their own.
pub(crate) struct Parts<T>(pub(crate) T);

#[derive(Deserialize)]
struct QueuePath {
    queue: String,
}

#[derive(Deserialize)]
struct JobPath {
    queue: String,
    id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for InQueue {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let Path(path) = Path::<QueuePath>::from_request_parts(parts, state).await.map_err(ApiError::bad_request)?;
        Ok(Self(QueueName::try_from(path.queue).map_err(ApiError::bad_request)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfJob {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let Path(path) = Path::<JobPath>::from_request_parts(parts, state).await.map_err(ApiError::bad_request)?;
        let queue = QueueName::try_from(path.queue).map_err(ApiError::bad_request)?;
        Ok(Self(queue, JobId::try_from(path.id).map_err(ApiError::bad_request)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for JobOnly {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(ApiError::bad_request)?;
        Ok(Self(JobId::try_from(id).map_err(ApiError::bad_request)?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Parts<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let Path(value) = Path::<T>::from_request_parts(parts, state).await.map_err(ApiError::bad_request)?;
        Ok(Self(value))
    }
}

/// A JSON body, whatever its content type says. At most `MAX` bytes.
pub(crate) struct Body<T, const MAX: usize = { protocol::limits::BODY_BYTES_MAX }>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned, const MAX: usize> FromRequest<S> for Body<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request.into_body(), MAX).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| ApiError::BadRequest(format!("the body is not the JSON expected here: {error}")))
    }
}

/// A whole body that trickles in for longer than this is given up.
const BODY_TIME: std::time::Duration = std::time::Duration::from_mins(2);

async fn read(body: axum::body::Body, max: usize) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, max));
    read.await.map_err(|_| ApiError::SlowBody)?.map_err(|error| {
        if is_slow(&error) {
            return ApiError::SlowBody;
        }
        // axum says "length limit exceeded" only in the source.
        let is_limit = std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit"));
        if is_limit {
            ApiError::TooLarge(format!("the body is larger than {} KiB", max / 1024))
        } else {
            ApiError::BadRequest("the body broke off before its end".to_owned())
        }
    })
}

/// Whether a pause within the body was too long.
fn is_slow(error: &axum::Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).any(<dyn std::error::Error>::is::<TimeoutError>)
}

/// Parameters of the query string.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::<T>::from_request_parts(parts, state).await.map_err(ApiError::bad_request)?;
        Ok(Self(value))
    }
}
