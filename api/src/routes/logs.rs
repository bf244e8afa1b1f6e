//! `…/build-logs.json` and `…/run-logs.json`: log lines after a cursor.

use axum::Json;
use axum::extract::State;
use protocol::{Qid, State as JobState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::job::find;
use crate::access::{Caller, ReaderOfJob};
use crate::app::{App, AppState};
use crate::description::answers::{LogSlice, Missing, Refusals};
use crate::error::ApiError;
use crate::extract::{IdPath, JobOnly, JobPath, Parameters};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Since {
    /// Lines already read: `nextCursor` of the answer before.
    #[serde(default)]
    since: i64,
}

/// `GET /q/:queue/j/:id/build-logs.json?since=N`: log lines of pull and build after a cursor.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/build-logs.json",
    tag = "jobs",
    params(JobPath, Since),
    responses((status = 200, description = "The lines.", body = LogSlice), Missing, Refusals),
)]
pub(crate) async fn build_logs(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
    Parameters(from): Parameters<Since>,
) -> Result<Json<Value>, ApiError> {
    read(&app, queue.qid(), id.as_str(), false, from.since).await
}

/// `GET /q/:queue/j/:id/run-logs.json?since=N`: log lines of the container after a cursor.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/run-logs.json",
    tag = "jobs",
    params(JobPath, Since),
    responses((status = 200, description = "The lines.", body = LogSlice), Missing, Refusals),
)]
pub(crate) async fn run_logs(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
    Parameters(from): Parameters<Since>,
) -> Result<Json<Value>, ApiError> {
    read(&app, queue.qid(), id.as_str(), true, from.since).await
}

/// `GET /j/:id/build-logs.json?since=N`: log lines of pull and build after a cursor, whatever the queue.
#[utoipa::path(
    get,
    path = "/j/{id}/build-logs.json",
    tag = "jobs",
    params(IdPath, Since),
    responses((status = 200, description = "The lines.", body = LogSlice), Missing, Refusals),
)]
pub(crate) async fn build_logs_anywhere(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    caller: Caller,
    Parameters(from): Parameters<Since>,
) -> Result<Json<Value>, ApiError> {
    read(&app, find(&app, id.as_str(), &caller).await?, id.as_str(), false, from.since).await
}

/// `GET /j/:id/run-logs.json?since=N`: log lines of the container after a cursor, whatever the queue.
#[utoipa::path(
    get,
    path = "/j/{id}/run-logs.json",
    tag = "jobs",
    params(IdPath, Since),
    responses((status = 200, description = "The lines.", body = LogSlice), Missing, Refusals),
)]
pub(crate) async fn run_logs_anywhere(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    caller: Caller,
    Parameters(from): Parameters<Since>,
) -> Result<Json<Value>, ApiError> {
    read(&app, find(&app, id.as_str(), &caller).await?, id.as_str(), true, from.since).await
}

async fn read(app: &App, qid: Qid, id: &str, is_run: bool, since: i64) -> Result<Json<Value>, ApiError> {
    // The state first: every line of a finished job was stored before its end.
    let job = app.db.get_job(qid, id).await?.ok_or(ApiError::NotFound("Job not found"))?;
    let chunk = app.db.read_log(qid, id, is_run, since.max(0)).await?;
    let is_final = job.state() == JobState::Finished && !chunk.has_more;
    Ok(Json(json!({"data": chunk.lines, "sliceStart": chunk.start, "nextCursor": chunk.end, "isFinal": is_final})))
}
