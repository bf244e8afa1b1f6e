//! `…/metaframe.json`, below any path: the file that another page reads first when it embeds our page as a metaframe.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const METAFRAME: &str = include_str!("../../../web/public/metaframe.json");
/// Routes that would read `metaframe.json` as the name of a queue or the id of a job. Routes for files are not listed: there it
/// is the name of a file.
const SHADOWED: [&str; 3] = ["/q/{queue}", "/q/{queue}/j/{id}", "/j/{id}"];

/// `GET /metaframe.json`: the file that a page reads first when it embeds ours. Every other path with this ending answers the
/// same, unless it names a file.
#[utoipa::path(
    get,
    path = "/metaframe.json",
    tag = "operation",
    responses((status = 200, description = "The metaframe.", content_type = "application/json", body = serde_json::Value)),
)]
pub(crate) async fn metaframe() -> Response {
    description()
}

fn description() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], METAFRAME).into_response()
}

/// The layer that answers `…/metaframe.json` below every path.
pub(super) async fn answer_anywhere(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_asked_for = is_read && request.uri().path().ends_with("/metaframe.json");
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if is_asked_for && route.is_none_or(|route| SHADOWED.contains(&route)) {
        return description();
    }
    next.run(request).await
}
