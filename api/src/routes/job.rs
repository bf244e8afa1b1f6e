//! Reading jobs: lists, one job, its definition, its result, its namespaces and history.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use protocol::{Job, Qid, State as JobState, limits};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sql::ClaimKey;

use crate::app::{App, AppState};
use crate::error::ApiError;
use crate::extract::{InQueue, JobOnly, OfJob};

const NO_JOB: ApiError = ApiError::NotFound("Job not found");

/// `GET /q/:queue`, `/q/:queue/j`: queued and running jobs, and those that finished in the last minute.
pub(crate) async fn list(State(app): State<AppState>, InQueue(queue): InQueue) -> Result<Json<Value>, ApiError> {
    let rows = app.db.list_jobs(queue.qid(), limits::LISTED_FINISHED).await?;
    let jobs: BTreeMap<_, _> = rows.iter().map(|row| (row.job_id.clone(), row.to_job())).collect();
    Ok(Json(json!({"data": jobs})))
}

/// `GET /q/:queue/j/:id`: the job and its definition.
pub(crate) async fn get(State(app): State<AppState>, OfJob(queue, id): OfJob) -> Result<Response, ApiError> {
    show(&app, queue.qid(), id.as_str()).await
}

/// `GET /j/:id`, `/j/:id.json`: the same, found by the true hash of its definition. A browser gets the page that shows it.
pub(crate) async fn get_anywhere(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bare = id.as_str().strip_suffix(".json");
    if bare.is_none() && accepts.contains("text/html") {
        return Ok(vary(super::page()));
    }
    let id = bare.unwrap_or(id.as_str());
    let qid = find(&app, id).await?;
    show(&app, qid, id).await.map(vary)
}

/// A cache must not give a program the page, nor a person the JSON.
fn vary(mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// The queue of a job that the URL does not name.
pub(crate) async fn find(app: &App, id: &str) -> Result<Qid, ApiError> {
    app.db.find_job(id).await?.ok_or(NO_JOB)
}

#[derive(serde::Serialize)]
struct Shown {
    definition: Box<RawValue>,
    results: Option<Job>,
}

async fn show(app: &App, qid: Qid, id: &str) -> Result<Response, ApiError> {
    let text = app.db.get_definition(qid, id).await?.ok_or(NO_JOB)?;
    let job = full_job(app, qid, id).await?;
    let definition = RawValue::from_string(text).map_err(ApiError::bad_request)?;
    let shown = Shown { definition, results: job };
    Ok(Json(BTreeMap::from([("data", shown)])).into_response())
}

/// A job with its result, when it has one.
async fn full_job(app: &App, qid: Qid, id: &str) -> Result<Option<Job>, ApiError> {
    let Some(row) = app.db.get_job(qid, id).await? else { return Ok(None) };
    let mut job = row.to_job();
    if job.state == JobState::Finished
        && let Some(end) = app.db.get_result(qid, id).await?
    {
        let key = ClaimKey { qid, job_id: id.to_owned(), epoch: end.epoch };
        let logs = app.db.read_run_log(&key).await?;
        job.finished = Some(end.to_finished(logs)?);
    }
    Ok(Some(job))
}

/// `GET …/definition.json`: `{"data": Definition or null}`, the text as it was submitted.
pub(crate) async fn definition(State(app): State<AppState>, OfJob(queue, id): OfJob) -> Result<Response, ApiError> {
    show_definition(&app, Some(queue.qid()), id.as_str()).await
}

/// `GET /j/:id/definition.json`.
pub(crate) async fn definition_anywhere(State(app): State<AppState>, JobOnly(id): JobOnly) -> Result<Response, ApiError> {
    let qid = app.db.find_job(id.as_str()).await?;
    show_definition(&app, qid, id.as_str()).await
}

async fn show_definition(app: &App, qid: Option<Qid>, id: &str) -> Result<Response, ApiError> {
    let text = match qid {
        Some(qid) => app.db.get_definition(qid, id).await?,
        None => None,
    };
    let body = format!("{{\"data\":{}}}", text.as_deref().unwrap_or("null"));
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], body).into_response())
}

/// `GET …/result.json`, `…/results.json`: the finished job, or null. `x-asman-state` tells unknown from unfinished.
pub(crate) async fn result(State(app): State<AppState>, OfJob(queue, id): OfJob) -> Result<Response, ApiError> {
    show_result(&app, Some(queue.qid()), id.as_str()).await
}

/// `GET /j/:id/result.json`.
pub(crate) async fn result_anywhere(State(app): State<AppState>, JobOnly(id): JobOnly) -> Result<Response, ApiError> {
    let qid = app.db.find_job(id.as_str()).await?;
    show_result(&app, qid, id.as_str()).await
}

async fn show_result(app: &App, qid: Option<Qid>, id: &str) -> Result<Response, ApiError> {
    let job = match qid {
        Some(qid) => full_job(app, qid, id).await?,
        None => None,
    };
    let state = job.as_ref().map_or("unknown", |job| match job.state {
        JobState::Queued => "queued",
        JobState::Running => "running",
        JobState::Finished | JobState::Removed => "finished",
    });
    let data = job.filter(|job| job.state == JobState::Finished);
    let mut headers = HeaderMap::new();
    headers.insert("x-asman-state", HeaderValue::from_static(state));
    Ok((headers, Json(json!({"data": data}))).into_response())
}

/// `GET …/namespaces.json`: who holds the job alive.
pub(crate) async fn namespaces(State(app): State<AppState>, OfJob(queue, id): OfJob) -> Result<Json<Value>, ApiError> {
    let row = app.db.get_job(queue.qid(), id.as_str()).await?;
    Ok(Json(json!({"data": row.map(|row| row.namespaces).unwrap_or_default()})))
}

/// `GET …/history.json`: every transition, oldest first.
pub(crate) async fn history(State(app): State<AppState>, OfJob(queue, id): OfJob) -> Result<Json<Value>, ApiError> {
    let entries = app.db.job_history(queue.qid(), id.as_str()).await?;
    Ok(Json(json!({"data": entries})))
}
