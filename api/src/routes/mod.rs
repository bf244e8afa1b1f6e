//! The routes. One file for each family; the first line of each handler names its route.

pub(crate) mod blobs;
pub(crate) mod cancel;
pub(crate) mod client_socket;
mod consent;
mod copy;
pub(crate) mod description;
pub(crate) mod files;
mod health;
mod heartbeat;
mod history;
pub(crate) mod job;
pub(crate) mod jobs;
mod logs;
mod mcp;
mod metaframe;
mod names;
mod policy;
pub(crate) mod program;
mod report;
mod shown;
pub(crate) mod socket;
pub(crate) mod status;
mod stream;
pub(crate) mod submit;
#[cfg(test)]
mod tests;
pub(crate) mod web;
pub(crate) mod worker;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use protocol::ErrorCode;

use crate::app::AppState;
use crate::compat::{self, task_queue};
use crate::description::also;
use crate::error::{self, ApiError};

/// Every route of the process.
pub(crate) fn router(app: AppState) -> Router {
    let router =
        Router::from(described()).fallback(fallback).method_not_allowed_fallback(async || ApiError::Method).with_state(app);
    // The URL contains the queue's name, which is a secret, so it must not be sent on as a referrer.
    let no_referrer = SetResponseHeaderLayer::overriding(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Every header that a preflight names is allowed by its name, because `*` would not include `Authorization`.
    let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).expose_headers(Any);
    let cors = cors.allow_headers(AllowHeaders::mirror_request());
    let router = router.layer(axum::middleware::from_fn(metaframe::answer_anywhere));
    let router = router.layer(no_referrer).layer(cors).layer(axum::middleware::from_fn(task_queue::refuse_plain_options));
    router.layer(axum::middleware::from_fn(error::complete))
}

/// Every route with its description. A route that is added by `.route()` has no description, and the test in `tests` fails.
pub(crate) fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(program::program))
        .routes(routes!(description::openapi))
        .routes(routes!(description::docs))
        .routes(routes!(description::docs_page))
        .routes(routes!(metaframe::metaframe))
        .routes(routes!(consent::ask, consent::answer))
        .merge(agent_routes())
        .merge(queue_routes())
        .merge(job_routes())
        .merge(jobs_anywhere())
        .merge(worker_routes())
        .merge(compat::routes())
        .routes(routes!(blobs::put, blobs::get))
        .routes(routes!(blobs::exists))
}

fn agent_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(mcp::call))
        .routes(routes!(mcp::connect))
        .routes(routes!(mcp::health))
        .routes(routes!(mcp::info))
        .routes(routes!(description::llms))
        .routes(routes!(description::skill_file))
}

fn queue_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(submit::submit, job::list))
        .routes(also("/q/{queue}/j", routes!(submit::submit, job::list)))
        .routes(routes!(policy::get, policy::put, policy::delete))
        .routes(routes!(status::status))
        .routes(routes!(status::metrics))
        .routes(routes!(report::report))
        .routes(routes!(jobs::jobs))
        .routes(routes!(client_socket::connect))
}

fn job_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(job::get, cancel::clear))
        .routes(routes!(job::definition))
        .routes(routes!(job::result))
        .routes(routes!(job::namespaces))
        .routes(routes!(history::history))
        .routes(routes!(files::input))
        .routes(routes!(files::output))
        .routes(routes!(cancel::cancel))
        .routes(routes!(cancel::cancel_in_namespace))
        .routes(routes!(logs::build_logs))
        .routes(routes!(logs::run_logs))
        .routes(routes!(stream::stream))
}

fn jobs_anywhere() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(job::get_anywhere))
        .routes(routes!(copy::copy))
        .routes(routes!(job::definition_anywhere))
        .routes(routes!(job::result_anywhere))
        .routes(routes!(history::history_anywhere))
        .routes(routes!(files::input_anywhere))
        .routes(routes!(files::output_anywhere))
        .routes(routes!(logs::build_logs_anywhere))
        .routes(routes!(logs::run_logs_anywhere))
}

fn worker_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(worker::claim))
        .routes(routes!(heartbeat::heartbeat))
        .routes(routes!(worker::logs))
        .routes(routes!(worker::finish))
        .routes(routes!(worker::release))
}

/// Unknown paths under `/q`, `/j` and `/f` are mistakes of programs, and so are unknown paths with other methods than GET and
/// HEAD. All others come from browsers.
async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if task_queue::is_near(uri.path()) {
        return task_queue::not_found();
    }
    let is_api = ["/q", "/j", "/f"].iter().any(|p| uri.path() == *p || uri.path().starts_with(&format!("{p}/")));
    if is_api || !matches!(method, Method::GET | Method::HEAD) {
        return ApiError::refused(
            ErrorCode::NoRoute,
            "there is no such route; a queue is at /q/<queue>, and /docs lists all routes",
        )
        .into_response();
    }
    web::answer(uri.path(), &headers)
}
