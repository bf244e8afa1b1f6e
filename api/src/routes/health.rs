//! `/healthz`, `/readyz`, `/metrics`: for load balancers and Prometheus.

use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::QueueName;
use serde_json::json;

use crate::app::AppState;
use crate::description::schemas::Readiness;

/// The queue of a local API.
const LOCAL_QUEUE: &str = "local";

/// `GET /healthz`: check that the process is up.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses((status = 200, description = "Always `OK`.", body = String, content_type = "text/plain")),
)]
pub(crate) async fn healthz() -> &'static str {
    "OK"
}

/// `GET /readyz`: check whether requests can be served. If not, the answer is 503 and says what is missing.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "Ready.", body = Readiness),
        (status = 503, description = "Not ready.", body = Readiness),
    ),
)]
pub(crate) async fn readyz(State(app): State<AppState>) -> Response {
    let mut missing = Vec::new();
    let mut why = None;
    if let Err(error) = app.db.check_ready().await {
        missing.push("database");
        // Only the sentences of these errors are shown: they contain no host and no user.
        why = matches!(error, sql::Error::Schema { .. } | sql::Error::Newer { .. } | sql::Error::Procedures)
            .then(|| error.to_string());
    }
    if app.blobs.check_ready().await.is_err() {
        missing.push("blob store");
    }
    if app.leaving.is_cancelled() {
        missing.push("stopping");
    }
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({"ready": missing.is_empty(), "missing": missing});
    if let Some(sentence) = why {
        body["why"] = sentence.into();
    }
    (status, Json(body)).into_response()
}

/// `GET /metrics`: the metrics of the process, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses((status = 200, description = "Prometheus text.", body = String, content_type = "text/plain")),
)]
pub(crate) async fn metrics(State(app): State<AppState>) -> String {
    let mut text = crate::metrics::render();
    // Existing tools on one machine read the length of its only queue here.
    if app.config.local_access.local
        && let Ok(queue) = QueueName::from_str(LOCAL_QUEUE)
        && let Ok(counts) = app.db.count_jobs(queue.qid()).await
    {
        text += &super::status::queue_length(&counts);
    }
    text
}
