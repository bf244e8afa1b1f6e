//! `POST /j/:id/copy`: the same job in another queue.

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use protocol::{Control, EnqueueJob, ErrorCode, QueueName};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::job::look_for;
use super::submit::enqueue;
use crate::access::{Caller, Right};
use crate::app::AppState;
use crate::description::schemas::{Limited, Missing, Refusals, Submitted, TooLarge};
use crate::error::ApiError;
use crate::extract::{Body, IdPath, JobOnly};

const NO_DEFINITION: ApiError = ApiError::Refused(ErrorCode::NoDefinition, Cow::Borrowed("Job definition not found"));

/// Where a job is copied to.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CopyRequest {
    /// The target queue.
    queue: QueueName,
    /// The control of the new submission.
    #[serde(default)]
    control: Option<Control>,
    /// The source queue; absent means that the job is found by its true id.
    #[serde(default)]
    from: Option<QueueName>,
}

/// `POST /j/:id/copy`: queue the same job in another queue. Results are not copied: a queue trusts only its own workers. A job
/// with a login in its build context's URL is copied only for callers that may be its worker.
#[utoipa::path(
    post,
    path = "/j/{id}/copy",
    tag = "clients",
    params(IdPath),
    request_body(content = CopyRequest, example = json!({"queue": "another-queue"})),
    responses((status = 200, description = "The job is queued there.", body = Submitted), Missing, Limited, TooLarge, Refusals),
)]
pub(crate) async fn copy(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    caller: Caller,
    Body(request): Body<CopyRequest>,
) -> Result<Json<Value>, ApiError> {
    app.admit(request.queue.qid(), Right::Submit, &caller).await?;
    let (qid, row_id) = match &request.from {
        Some(from) => {
            app.admit(from.qid(), Right::Read, &caller).await?;
            (from.qid(), app.db.row_id(from.qid(), id.as_str()).await?)
        }
        None => look_for(&app, id.as_str(), &caller).await?.ok_or(NO_DEFINITION)?,
    };
    let stored = app.db.get_definition(qid, &row_id).await?.ok_or(NO_DEFINITION)?;
    if stored.login.is_some() {
        // The workers of the other queue will see the login, and the caller may be one of them.
        app.admit(qid, Right::Work, &caller).await?;
    }
    let definition = RawValue::from_string(stored.whole()).map_err(ApiError::bad_request)?;
    let job = EnqueueJob { id: Some(id), definition, control: request.control, debug: None };
    let copied = enqueue(&app, &request.queue, job).await?;
    Ok(Json(json!({"success": true, "jobId": copied.job_id})))
}
