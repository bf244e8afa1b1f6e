//! The task-queue API: items with any JSON as their body, for clients that claim them with `GET get/{n}`.
//!
//! `/api/v1/queue/*` serves the one queue that the process is configured for ([`crate::Config::task_queue`]),
//! `/q/{queue}/api/v1/queue/*` serves any queue. The routes that existing clients use (`size`, `sizes`, `status`,
//! `lookup_state`, `lookup_item`, `describe`, `get`, `put`, `requeue`) answer byte for byte as they expect; the other routes
//! add leases, ends, pages and events. Errors have the form that those clients expect, `{"detail": …}`, and not that of our
//! other routes.
//!
//! Items are jobs of the queue. They share its claims, leases, events and listings; `get` also claims container jobs, and a
//! container worker may claim an item whose body is a container definition. Items are kept as long as results.
//!
//! Ids may contain slashes, plain or percent-encoded. Paths are parsed here and not by the router, because wrong methods, slashes
//! at the end and unknown paths are also answered in the form for those clients.

mod answer;
mod body;
mod claims;
mod description;
mod items;
mod number;
mod put;
mod schemas;
mod stages;
mod table;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use percent_encoding::percent_decode_str;
use protocol::{ErrorCode, Qid, QueueName};

use crate::access::Caller;
use crate::app::AppState;
use answer::Refusal;
pub(crate) use description::{Described, describe};
pub(crate) use table::ROUTES;
use table::{Route, Takes};

/// Serves the queue that the process is configured for.
pub(crate) const MOUNT: &str = "/api/v1/queue";
/// Serves any queue.
pub(crate) const MOUNT_OF_QUEUE: &str = "/q/{queue}/api/v1/queue";
/// The router's pattern below each mount.
pub(crate) const ENDS: [&str; 3] = ["", "/", "/{*rest}"];

/// Both mounts.
pub(crate) fn routes() -> Router<AppState> {
    let paths = [MOUNT, MOUNT_OF_QUEUE].into_iter().flat_map(|mount| ENDS.map(|end| format!("{mount}{end}")));
    paths.fold(Router::new(), |router, path| router.route(&path, any(dispatch)))
}

/// One parsed request.
struct Call {
    app: AppState,
    queue: QueueName,
    qid: Qid,
    /// The part after the route's name, decoded: an id, a stage or a number.
    argument: String,
    query: String,
    headers: HeaderMap,
    /// Empty except in a POST.
    body: Bytes,
}

/// The route of a path below a mount, with its argument decoded.
fn find(rest: &str) -> Option<(&'static Route, String)> {
    let (name, raw) = rest.split_once('/').map_or((rest, None), |(name, raw)| (name, Some(raw)));
    let route = ROUTES.iter().find(|route| route.name == name)?;
    let argument = raw.map(|raw| percent_decode_str(raw).decode_utf8_lossy().into_owned());
    match (route.takes, argument) {
        (Takes::Nothing, None) => Some((route, String::new())),
        (Takes::Stage | Takes::Number, Some(word)) if !word.is_empty() && !word.contains('/') => Some((route, word)),
        (Takes::Id, Some(id)) if !id.is_empty() && !raw.is_some_and(|raw| raw.ends_with('/')) => Some((route, id)),
        _ => None,
    }
}

/// The name of the queue, if the path has one, and the path below the mount.
fn take_apart(path: &str) -> Option<(Option<&str>, &str)> {
    let (queue, below) = match path.strip_prefix("/q/") {
        Some(rest) => rest.split_once('/').map(|(queue, _)| (Some(queue), &rest[queue.len()..]))?,
        None => (None, path),
    };
    Some((queue, below.strip_prefix(MOUNT)?.strip_prefix('/').unwrap_or_default()))
}

async fn dispatch(State(app): State<AppState>, OriginalUri(uri): OriginalUri, request: Request) -> Response {
    answer(app, &uri, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(app: AppState, uri: &Uri, request: Request) -> Result<Response, Refusal> {
    let (queue, rest) = take_apart(uri.path()).ok_or(Refusal::NotFound)?;
    let queue = match queue {
        Some(name) => {
            let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
            QueueName::try_from(name).map_err(|error| Refusal::Refused(ErrorCode::InvalidName, error.to_string()))?
        }
        None => app.config.task_queue().cloned().ok_or(Refusal::NotConfigured)?,
    };
    let Some((route, argument)) = find(rest) else { return Err(elsewhere(uri, rest, request.headers())) };
    let operation = route.operation(request.method().as_str()).ok_or_else(|| Refusal::Method(route.allow()))?;
    let is_delete = request.method() == Method::DELETE;
    let is_post = request.method() == Method::POST;
    let qid = queue.qid();
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &app).await?;
    app.admit(qid, operation.right, &caller).await?;
    let body = if is_post { body::collect(body).await? } else { Bytes::new() };
    let query = uri.query().unwrap_or_default().to_owned();
    // The id may be the other true id of a container job. An id with a NUL is refused later.
    let is_id = matches!(route.takes, Takes::Id) && !argument.contains('\0');
    let argument = if is_id { app.db.row_id(qid, &argument).await? } else { argument };
    let call = Call { app, queue, qid, argument, query, headers: parts.headers, body };
    match route.name {
        "size" => stages::size(call).await,
        "sizes" => stages::sizes(call).await,
        "status" => stages::status(call).await,
        "lookup_state" => stages::lookup_state(call).await,
        "lookup_item" => stages::lookup_item(call).await,
        "describe" => Ok(stages::describe(&call)),
        "get" => claims::get(call).await,
        "peek" => claims::peek(call).await,
        "put" => put::put(call).await,
        "requeue" => put::requeue(call).await,
        "claim" => claims::claim(call).await,
        "heartbeat" => claims::heartbeat(call).await,
        "success" => claims::success(call).await,
        "fail" => claims::fail(call).await,
        "release" => claims::release(call).await,
        "item" if is_delete => items::remove(call).await,
        "item" => items::show(call).await,
        "items" => items::list(call).await,
        "purge" => items::purge(call).await,
        "history" => items::history(call).await,
        "events" => items::events(call).await,
        _ => Err(Refusal::NotFound),
    }
}

/// The answer to an unknown path: a redirect if the path without its last slash is known.
fn elsewhere(uri: &Uri, rest: &str, headers: &HeaderMap) -> Refusal {
    let Some(bare) = rest.strip_suffix('/').filter(|bare| find(bare).is_some()) else { return Refusal::NotFound };
    let path = &uri.path()[..uri.path().len() - rest.len() + bare.len()];
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = headers.get("x-forwarded-proto").and_then(|scheme| scheme.to_str().ok()).unwrap_or("http");
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    HeaderValue::from_str(&format!("{scheme}://{host}{path}{query}")).map_or(Refusal::NotFound, Refusal::Moved)
}

/// An `OPTIONS` request that is not a CORS preflight is a wrong method here, as everywhere in this API.
pub(crate) async fn refuse_plain_options(request: Request, next: Next) -> Response {
    let is_plain = request.method() == Method::OPTIONS && !request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if is_plain && let Some((_, rest)) = take_apart(request.uri().path()) {
        return find(rest).map_or(Refusal::NotFound, |(route, _)| Refusal::Method(route.allow())).into_response();
    }
    next.run(request).await
}

/// Whether an unknown path comes from a client of this API and not from a person.
pub(crate) fn is_near(path: &str) -> bool {
    let bare = path.trim_start_matches('/');
    bare == "api" || bare.starts_with("api/")
}

/// The answer to an unknown path near our routes.
pub(crate) fn not_found() -> Response {
    Refusal::NotFound.into_response()
}
