//! The URLs. One file a family; each handler's first line names its route.

mod blobs;
mod cancel;
mod client_socket;
mod files;
mod health;
mod job;
mod logs;
mod status;
mod stream;
mod submit;
mod task_queue;
mod worker;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post, put};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::app::AppState;
use crate::error::ApiError;

/// Every route of the process.
pub(crate) fn router(app: AppState) -> Router {
    let router = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .merge(queue_routes())
        .merge(job_routes())
        .merge(worker_routes())
        .merge(task_queue::routes())
        .route("/f/{key}", put(blobs::put).get(blobs::get))
        .route("/f/{key}/exists", get(blobs::exists))
        .fallback(fallback)
        .method_not_allowed_fallback(async || ApiError::Method)
        .with_state(app);
    // The URL holds the queue's name, which is a secret: it must not travel on as a referrer.
    let no_referrer = SetResponseHeaderLayer::overriding(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Headers are mirrored: `*` would leave out `Authorization`.
    let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).expose_headers(Any);
    let cors = cors.allow_headers(AllowHeaders::mirror_request());
    router.layer(no_referrer).layer(cors).layer(axum::middleware::from_fn(task_queue::refuse_plain_options))
}

fn queue_routes() -> Router<AppState> {
    Router::new()
        .route("/q/{queue}", post(submit::submit).get(job::list))
        .route("/q/{queue}/j", post(submit::submit).get(job::list))
        .route("/q/{queue}/status", get(status::status))
        .route("/q/{queue}/metrics", get(status::metrics))
        .route("/q/{queue}/client", any(client_socket::connect))
        .route("/q/{queue}/browser", any(client_socket::connect))
        .route("/{queue}/client", any(client_socket::connect))
        .route("/{queue}/browser", any(client_socket::connect))
        .route("/{queue}/status", get(status::status))
        .route("/{queue}/metrics", get(status::metrics))
}

fn job_routes() -> Router<AppState> {
    Router::new()
        .route("/q/{queue}/j/{id}", get(job::get))
        .route("/q/{queue}/j/{id}/definition.json", get(job::definition))
        .route("/q/{queue}/j/{id}/result.json", get(job::result))
        .route("/q/{queue}/j/{id}/results.json", get(job::result))
        .route("/q/{queue}/j/{id}/namespaces.json", get(job::namespaces))
        .route("/q/{queue}/j/{id}/history.json", get(job::history))
        .route("/q/{queue}/j/{id}/inputs/{*name}", get(files::input))
        .route("/q/{queue}/j/{id}/outputs/{*name}", get(files::output))
        .route("/q/{queue}/j/{id}/cancel", post(cancel::cancel))
        .route("/q/{queue}/j/{id}/{namespace}/cancel", post(cancel::cancel_in_namespace))
        .route("/q/{queue}/j/{id}/build-logs.json", get(logs::build_logs))
        .route("/q/{queue}/j/{id}/run-logs.json", get(logs::run_logs))
        .route("/q/{queue}/j/{id}/stream", get(stream::stream))
        .route("/j/{id}", get(job::get_anywhere))
        .route("/j/{id}/definition.json", get(job::definition_anywhere))
        .route("/j/{id}/result.json", get(job::result_anywhere))
        .route("/j/{id}/results.json", get(job::result_anywhere))
        .route("/j/{id}/inputs/{*name}", get(files::input_anywhere))
        .route("/j/{id}/outputs/{*name}", get(files::output_anywhere))
        .route("/j/{id}/build-logs.json", get(logs::build_logs_anywhere))
        .route("/j/{id}/run-logs.json", get(logs::run_logs_anywhere))
}

fn worker_routes() -> Router<AppState> {
    Router::new()
        .route("/q/{queue}/claim", post(worker::claim))
        .route("/q/{queue}/heartbeat", post(worker::heartbeat))
        .route("/q/{queue}/j/{id}/logs", post(worker::logs))
        .route("/q/{queue}/j/{id}/finish", post(worker::finish))
        .route("/q/{queue}/j/{id}/release", post(worker::release))
}

/// The page that a browser gets for any path that is not ours.
const PAGE: &str = include_str!("../../../web/index.html");

/// Unknown paths under `/q`, `/j` and `/f` are mistakes of a program; any other is a person's browser.
async fn fallback(uri: Uri) -> Response {
    if task_queue::is_near(uri.path()) {
        return task_queue::not_found();
    }
    let is_api = ["/q", "/j", "/f"].iter().any(|p| uri.path() == *p || uri.path().starts_with(&format!("{p}/")));
    if is_api {
        return ApiError::NotFound("no such route").into_response();
    }
    page()
}

fn page() -> Response {
    (StatusCode::OK, Html(PAGE)).into_response()
}
