//! `/f/:key`: large inputs and outputs.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::JobId;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::app::AppState;
use crate::error::ApiError;
use crate::extract::Parts;

/// Keys have the form of job ids: 1 to 255 characters, no slash, no control character.
fn check(key: &str) -> Result<(), ApiError> {
    key.parse::<JobId>().map(|_| ()).map_err(|_| {
        ApiError::BadRequest("the key is empty, longer than 255 characters, or holds a slash or a control character".to_owned())
    })
}

/// `PUT /f/:key`: store the body. A key that looks like a SHA-256 must be the content's.
pub(crate) async fn put(
    State(app): State<AppState>,
    Parts(key): Parts<String>,
    caller: Caller,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    check(&key)?;
    app.meters.upload(&caller)?;
    app.blobs.put(&key, body).await?;
    Ok(Json(json!({"success": true, "key": key})))
}

/// `GET /f/:key`: the bytes; ranges are honoured.
pub(crate) async fn get(State(app): State<AppState>, Parts(key): Parts<String>, request: Request) -> Result<Response, ApiError> {
    check(&key)?;
    app.blobs.get(&key, request).await
}

/// `GET /f/:key/exists`.
pub(crate) async fn exists(State(app): State<AppState>, Parts(key): Parts<String>) -> Result<Response, ApiError> {
    check(&key)?;
    let exists = app.blobs.exists(&key).await?;
    let status = if exists { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Ok((status, Json(json!({"exists": exists}))).into_response())
}
