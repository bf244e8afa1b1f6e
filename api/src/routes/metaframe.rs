//! `…/metaframe.json`: what a page that embeds ours as a metaframe asks first, below whatever path it embeds.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

const METAFRAME: &str = include_str!("../../../web/metaframe.json");

/// `GET /metaframe.json`, `/j/metaframe.json`: what a page that embeds ours asks first.
#[utoipa::path(
    get,
    path = "/metaframe.json",
    tag = "operation",
    responses((status = 200, description = "The metaframe.", content_type = "application/json", body = serde_json::Value)),
)]
pub(crate) async fn metaframe() -> Response {
    description()
}

/// The description, for any path that asks for it.
pub(crate) fn description() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], METAFRAME).into_response()
}

/// Whether a path asks for it.
pub(crate) fn is_asked_for(path: &str) -> bool {
    path.ends_with("/metaframe.json")
}
