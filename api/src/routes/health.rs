//! `/healthz`, `/readyz`, `/metrics`: for load balancers and Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::AppState;

/// `GET /healthz`: the process is up.
pub(crate) async fn healthz() -> &'static str {
    "OK"
}

/// `GET /readyz`: 200 when requests can be served, else 503 with what is missing.
pub(crate) async fn readyz(State(app): State<AppState>) -> Response {
    let mut missing = Vec::new();
    if app.db.check_ready().await.is_err() {
        missing.push("database");
    }
    if app.blobs.check_ready().await.is_err() {
        missing.push("blob store");
    }
    if app.shutdown.is_cancelled() {
        missing.push("stopping");
    }
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": missing.is_empty(), "missing": missing}))).into_response()
}

/// `GET /metrics`: the process, for Prometheus.
pub(crate) async fn metrics() -> String {
    crate::metrics::render()
}
