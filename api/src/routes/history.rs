//! `…/history.json`: the transitions of a job.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::job::look_for;
use crate::access::{Caller, ReaderOfJob};
use crate::app::AppState;
use crate::description::schemas::{History, Refusals};
use crate::error::ApiError;
use crate::extract::{IdPath, JobOnly, JobPath};

/// `GET …/history.json`: every transition of a job, oldest first.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/history.json",
    tag = "jobs",
    params(JobPath),
    responses((status = 200, description = "The transitions; none when there is no such job.", body = History), Refusals),
)]
pub(crate) async fn history(State(app): State<AppState>, ReaderOfJob(queue, id): ReaderOfJob) -> Result<Json<Value>, ApiError> {
    let entries = app.db.job_history(queue.qid(), id.as_str()).await?;
    Ok(Json(json!({"data": entries})))
}

/// `GET /j/:id/history.json`: every transition of a job in any queue, oldest first.
#[utoipa::path(
    get,
    path = "/j/{id}/history.json",
    tag = "jobs",
    params(IdPath),
    responses((status = 200, description = "The transitions; none when there is no such job.", body = History), Refusals),
)]
pub(crate) async fn history_anywhere(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let entries = match look_for(&app, id.as_str(), &caller).await? {
        Some((qid, id)) => app.db.job_history(qid, &id).await?,
        None => Vec::new(),
    };
    Ok(Json(json!({"data": entries})))
}
