//! `/openapi.json` and `/docs`: what this server can be asked, for programs and for people.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::description::DESCRIPTION;

/// `GET /openapi.json`: every route of this server, for programs.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operation",
    responses( (status = 200, description = "The document.", content_type = "application/json", body = serde_json::Value)),
)]
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION.json.clone()).into_response()
}

/// `GET /docs`: every route of this server, for people. It loads nothing from elsewhere.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "operation",
    responses( (status = 200, description = "The page.", content_type = "text/html", body = String)),
)]
pub(crate) async fn docs() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, DESCRIPTION.policy.as_str())];
    (headers, DESCRIPTION.html.clone()).into_response()
}
