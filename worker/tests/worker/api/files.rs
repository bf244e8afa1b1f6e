//! The calls of the fake API about files, and a separate storage to which the API redirects.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::FakeApi;

/// Answers 307 before it reads a byte, like the real API.
pub(super) async fn upload(
    State(api): State<FakeApi>,
    Path(key): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    assert!(headers.contains_key(header::CONTENT_LENGTH), "a signed upload needs a length");
    if api.with(|heard| heard.refuses_uploads) {
        return (StatusCode::PAYLOAD_TOO_LARGE, Json(json!({ "error": "the store is full" }))).into_response();
    }
    let elsewhere = api.with(|heard| heard.redirects_uploads.clone());
    match elsewhere.filter(|_| uri.query() != Some("proxy=1")) {
        Some(elsewhere) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("{elsewhere}/{key}"))]).into_response(),
        None => store(&api, key, body).await,
    }
}

pub(super) async fn record_elsewhere(State(api): State<FakeApi>, request: Request, next: Next) -> Response {
    let has_token = request.headers().contains_key(header::AUTHORIZATION);
    api.with(|heard| heard.elsewhere.push((format!("{} {}", request.method(), request.uri().path()), has_token)));
    next.run(request).await
}

pub(super) async fn store_elsewhere(State(api): State<FakeApi>, Path(key): Path<String>, body: Body) -> Response {
    store(&api, key, body).await
}

async fn store(api: &FakeApi, key: String, body: Body) -> Response {
    if api.with(|heard| heard.discards_uploads) {
        let (mut pieces, mut hash, mut n) = (body.into_data_stream(), Sha256::new(), 0);
        while let Some(piece) = pieces.next().await {
            let piece = piece.unwrap();
            hash.update(&piece);
            n += piece.len() as u64;
        }
        assert_eq!(hex::encode(hash.finalize()), key);
        api.with(|heard| heard.uploaded_bytes += n);
        return StatusCode::OK.into_response();
    }
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    assert_eq!(protocol::sha256_hex(&bytes), key);
    api.with(|heard| heard.blobs.insert(key, bytes));
    StatusCode::OK.into_response()
}

pub(super) async fn download(State(api): State<FakeApi>, Path(key): Path<String>, uri: Uri) -> Response {
    let elsewhere = api.with(|heard| heard.redirects_downloads.clone());
    match elsewhere.filter(|_| uri.query() != Some("proxy=1")) {
        Some(elsewhere) => (StatusCode::FOUND, [(header::LOCATION, format!("{elsewhere}/{key}"))]).into_response(),
        None => give(&api, &key),
    }
}

pub(super) async fn download_elsewhere(State(api): State<FakeApi>, Path(key): Path<String>) -> Response {
    api.with(|heard| heard.n_elsewhere += 1);
    give(&api, &key)
}

fn give(api: &FakeApi, key: &str) -> Response {
    match api.with(|heard| heard.blobs.get(key).cloned()) {
        Some(bytes) => bytes.into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({ "error": "no such file" }))).into_response(),
    }
}

/// Answers a request for an output of another job, which a definition may name, with a redirect to the storage.
pub(super) async fn output(State(api): State<FakeApi>, Path((_, _, name)): Path<(String, String, String)>) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, format!("{}/{name}", api.elsewhere))]).into_response()
}

pub(super) async fn exists(State(api): State<FakeApi>, Path(key): Path<String>) -> Response {
    let is_there = api.with(|heard| heard.blobs.contains_key(&key));
    let status = if is_there { StatusCode::OK } else { StatusCode::NOT_FOUND };
    (status, Json(json!({ "exists": is_there }))).into_response()
}
