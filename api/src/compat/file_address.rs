//! Addresses of stored files, for clients that ask for an address before each upload and download.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::AppState;
use crate::description::parameters::KeyPath;
use crate::description::schemas::{FileAddress, Refusals};
use crate::error::ApiError;
use crate::extract::Parts;
use crate::own_address::OwnAddress;
use crate::routes::blobs::check;

/// `GET /upload/:key`: an address to PUT to, and the reference to it. Kept for old clients.
#[utoipa::path(
    get,
    path = "/upload/{key}",
    tag = "files",
    params(KeyPath),
    responses((status = 200, description = "The address.", body = FileAddress), Refusals),
)]
pub(super) async fn upload(
    State(app): State<AppState>,
    Parts(key): Parts<String>,
    own: OwnAddress,
) -> Result<Json<Value>, ApiError> {
    check(&key)?;
    let url = match app.blobs.foreign_upload(&key).await? {
        Some(url) => url,
        None => own.file(&key),
    };
    Ok(Json(json!({"url": url, "ref": {"value": key, "type": "key"}})))
}

/// `GET /download/:key`: an address to GET from, and the reference to it. Kept for old clients.
#[utoipa::path(
    get,
    path = "/download/{key}",
    tag = "files",
    params(KeyPath),
    responses((status = 200, description = "The address.", body = FileAddress), Refusals),
)]
pub(super) async fn download(
    State(app): State<AppState>,
    Parts(key): Parts<String>,
    own: OwnAddress,
) -> Result<Json<Value>, ApiError> {
    check(&key)?;
    let url = match app.blobs.foreign_download(&key).await? {
        Some(url) => url,
        None => own.file(&key),
    };
    Ok(Json(json!({"url": url, "ref": {"value": url, "type": "url"}})))
}
