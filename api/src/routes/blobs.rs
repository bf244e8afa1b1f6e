//! `/f/:key`: large inputs and outputs.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use protocol::limits::BLOB_BYTES_MAX;
use protocol::{ErrorCode, JobId};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::access::Caller;
use crate::app::AppState;
use crate::blob::FileName;
use crate::description::parameters::KeyPath;
use crate::description::schemas::{Exists, Limited, Missing, Refusals, Stored, TooLarge};
use crate::error::{ApiError, refusal};
use crate::extract::{Parameters, Parts};

/// How long this process reads from a client that keeps sending after its answer.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How many bytes of such a client are discarded at most.
const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bodies that are discarded at a time. Further connections are closed at once: their clients may see a reset and must ask
/// again.
const DRAINS_MAX: usize = 32;
static DRAINS: Semaphore = Semaphore::const_new(DRAINS_MAX);

/// How the bytes are sent.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Way {
    /// Anything but `0`: send them through this process, even if the store could be used directly.
    proxy: Option<String>,
    /// Name under which a client saves the file; the content type follows from it.
    name: Option<String>,
}

impl Way {
    fn name(&self) -> Option<FileName> {
        self.name.as_deref().filter(|name| !name.is_empty()).map(FileName::new)
    }

    fn is_proxied(&self) -> bool {
        self.proxy.as_ref().is_some_and(|word| word != "0")
    }
}

/// Keys have the form of job ids: 1 to 255 characters, no slash, no control character.
pub(crate) fn check(key: &str) -> Result<(), ApiError> {
    key.parse::<JobId>().map(|_| ()).map_err(|_| {
        ApiError::refused(
            ErrorCode::InvalidKey,
            "the key is empty, longer than 255 characters, or contains a slash or a control character".to_owned(),
        )
    })
}

/// `PUT /f/:key`: store the body, or say where to send it. A key that looks like a SHA-256 must be the hash of the content.
#[utoipa::path(
    put,
    path = "/f/{key}",
    tag = "files",
    params(KeyPath, Way),
    request_body(content = String, content_type = "application/octet-stream", description = "The bytes."),
    responses(
        (status = 200, description = "The file is stored.", body = Stored),
        (status = 307, description = "Send the same to the address in `Location`."),
        Limited,
        TooLarge,
        Refusals,
    ),
)]
pub(crate) async fn put(
    State(app): State<AppState>,
    Parts(key): Parts<String>,
    Parameters(way): Parameters<Way>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    check(&key)?;
    app.meters.upload(&caller)?;
    let n_bytes = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if n_bytes.is_some_and(|n_bytes| n_bytes > BLOB_BYTES_MAX) {
        return Err(ApiError::refused(ErrorCode::TooLarge, format!("a file may have at most {BLOB_BYTES_MAX} bytes")));
    }
    let elsewhere = if way.is_proxied() { None } else { app.blobs.redirect_put(&key, n_bytes).await? };
    let Some(url) = elsewhere else {
        app.blobs.put(&key, n_bytes, body).await?;
        return Ok(Json(json!({"success": true, "key": key})).into_response());
    };
    // A client that sent `Expect: 100-continue` waits for this answer. Reading its body would make it send the body here.
    if !headers.contains_key(header::EXPECT) {
        drain(body, &DRAINS);
    }
    let location = HeaderValue::try_from(url).map_err(ApiError::bad_request)?;
    let no_store = HeaderValue::from_static("no-store");
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location), (header::CACHE_CONTROL, no_store)]).into_response())
}

/// Reads, up to a limit, what a client still sends before it reads the answer. Closing a connection with unread bytes resets it,
/// and the client may then lose the answer.
fn drain(body: Body, drains: &'static Semaphore) {
    let Ok(turn) = drains.try_acquire() else { return };
    tokio::spawn(async move {
        let _turn = turn;
        let _ = tokio::time::timeout(DRAIN_MAX, read_off(body)).await;
    });
}

async fn read_off(body: Body) {
    let mut bytes = body.into_data_stream();
    let mut n_left = DRAIN_BYTES_MAX;
    while let Some(Ok(chunk)) = bytes.next().await {
        let Some(left) = n_left.checked_sub(chunk.len()) else { return };
        n_left = left;
    }
}

/// `GET /f/:key`: the bytes, or a redirect to them; ranges are supported.
#[utoipa::path(
    get,
    path = "/f/{key}",
    tag = "files",
    params(KeyPath, Way),
    responses(
        (status = 200, description = "The bytes.", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for.", body = String, content_type = "application/octet-stream"),
        (status = 302, description = "The file is at another address, see `Location`."),
        (status = 304, description = "The file is as old as the request says."),
        (status = 412, description = "The file is newer than the request says."),
        (status = 416, description = "The range is outside of the file."),
        Missing,
        Refusals,
    ),
)]
pub(crate) async fn get(
    State(app): State<AppState>,
    Parts(key): Parts<String>,
    Parameters(way): Parameters<Way>,
    request: Request,
) -> Result<Response, ApiError> {
    check(&key)?;
    app.blobs.get(&key, way.name(), request, way.is_proxied()).await
}

/// `GET /f/:key/exists`: whether a file is stored under the key.
#[utoipa::path(
    get,
    path = "/f/{key}/exists",
    tag = "files",
    params(KeyPath),
    responses(
        (status = 200, description = "The file is stored.", body = Exists),
        (status = 404, description = "It is not.", body = Exists),
        Refusals,
    ),
)]
pub(crate) async fn exists(State(app): State<AppState>, Parts(key): Parts<String>) -> Result<Response, ApiError> {
    check(&key)?;
    let exists = app.blobs.exists(&key).await?;
    if exists {
        return Ok(Json(json!({"exists": true})).into_response());
    }
    let body = json!({"exists": false, "error": "no file is stored under this key", "code": ErrorCode::NoFile});
    Ok(refusal(ErrorCode::NoFile, &body))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    /// A body without an end, and how many MiB of it were read.
    fn endless() -> (Body, Arc<AtomicUsize>) {
        let n_taken = Arc::new(AtomicUsize::new(0));
        let count = n_taken.clone();
        let chunk = Bytes::from(vec![0; 1024 * 1024]);
        let chunks = stream::repeat_with(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(chunk.clone())
        });
        (Body::from_stream(chunks), n_taken)
    }

    #[tokio::test]
    async fn a_body_without_an_end_is_read_off_for_64_mib() {
        let (body, n_taken) = endless();
        read_off(body).await;
        assert_eq!(n_taken.load(Ordering::SeqCst), 65);
    }

    #[tokio::test]
    async fn only_so_many_bodies_are_read_off_at_a_time() {
        static ONE: Semaphore = Semaphore::const_new(1);
        drain(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()), &ONE);
        assert_eq!(ONE.available_permits(), 0);
        let (body, n_taken) = endless();
        drain(body, &ONE);
        tokio::task::yield_now().await;
        assert_eq!(n_taken.load(Ordering::SeqCst), 0);
    }
}
