//! Gives every request an id, and counts it in the metrics.
//!
//! The id is the caller's `x-request-id` if it is usable, else a new one. It is sent back as a header, is part of the span of
//! everything that is logged for the request, and appears in the body of a 5xx. Metrics and spans contain the route and never the
//! path, because the path contains the queue's name.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Most characters of a caller's id.
const ID_CHARS_MAX: usize = 128;

tokio::task_local! {
    static ID: String;
}

/// The id of the request that this task answers, or a new id outside of any request.
pub(crate) fn current_id() -> String {
    ID.try_with(Clone::clone).unwrap_or_else(|_| Uuid::new_v4().to_string())
}

/// The layer around every route.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let id = id_of(&request);
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = word_of(request.method());
    let span = tracing::info_span!("request", id, method, route);
    let start = Instant::now();
    let mut response = ID.scope(id.clone(), next.run(request).instrument(span.clone())).await;
    let (status, seconds) = (response.status(), start.elapsed().as_secs_f64());
    span.in_scope(|| tracing::debug!(status = status.as_u16(), seconds, "answered"));
    metrics::counter!("asman_http_requests_total", "method" => method, "route" => route.clone(), "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!("asman_http_request_seconds", "method" => method, "route" => route).record(seconds);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

fn id_of(request: &Request) -> String {
    let sent = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    sent.filter(|text| is_usable(text)).map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned)
}

fn is_usable(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '+' | '=');
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.chars().all(is_plain)
}

/// The method as a label of metrics. Clients can invent methods, and each would become a separate series.
fn word_of(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        for id in ["a", "0af7651916cd43dd8448eb211c80319c", "Root=1-67891233-abcdef012345678912345678"] {
            assert!(is_usable(id), "{id}");
        }
        for id in ["", "a b", "a\"b", "é", "a/b", &"x".repeat(129)] {
            assert!(!is_usable(id), "{id}");
        }
    }
}
