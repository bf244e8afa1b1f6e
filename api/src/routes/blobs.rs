//! `/f/:key`: large inputs and outputs.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::JobId;
use serde_json::{Value, json};

use crate::app::AppState;
use crate::description::answers::{Exists, Missing, Refusals, Stored, TooLarge};
use crate::description::parameters::KeyPath;
use crate::error::ApiError;
use crate::extract::Parts;

/// Keys have the form of job ids: 1 to 255 characters, no slash, no control character.
fn check(key: &str) -> Result<(), ApiError> {
    key.parse::<JobId>().map(|_| ()).map_err(|_| {
        ApiError::BadRequest("the key is empty, longer than 255 characters, or holds a slash or a control character".to_owned())
    })
}

/// `PUT /f/:key`: store a file. A key that looks like a SHA-256 must be the content's.
#[utoipa::path(
    put,
    path = "/f/{key}",
    tag = "files",
    params(KeyPath),
    request_body(content = String, content_type = "application/octet-stream", description = "The bytes."),
    responses(
        (status = 200, description = "The file is stored.", body = Stored),
        (status = 307, description = "Send the same to the address in `Location`."),
        TooLarge,
        Refusals,
    ),
)]
pub(crate) async fn put(State(app): State<AppState>, Parts(key): Parts<String>, body: Body) -> Result<Json<Value>, ApiError> {
    check(&key)?;
    app.blobs.put(&key, body).await?;
    Ok(Json(json!({"success": true, "key": key})))
}

/// `GET /f/:key`: get a file. Ranges are honoured.
#[utoipa::path(
    get,
    path = "/f/{key}",
    tag = "files",
    params(KeyPath),
    responses(
        (status = 200, description = "The bytes.", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for.", body = String, content_type = "application/octet-stream"),
        (status = 302, description = "The file lies elsewhere, see `Location`."),
        (status = 304, description = "The file is as old as the request says."),
        (status = 412, description = "The file is newer than the request says."),
        (status = 416, description = "The range lies outside the file."),
        Missing,
        Refusals,
    ),
)]
pub(crate) async fn get(State(app): State<AppState>, Parts(key): Parts<String>, request: Request) -> Result<Response, ApiError> {
    check(&key)?;
    app.blobs.get(&key, request).await
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
    let status = if exists { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Ok((status, Json(json!({"exists": exists}))).into_response())
}
