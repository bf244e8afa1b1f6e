//! Cancelling and clearing: a namespace ends its hold on a job.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use protocol::{ErrorCode, JobId, Namespace, QueueName, Reason};
use serde::Deserialize;
use serde_json::json;
use sql::CancelOutcome;

use super::job::NO_JOB;
use crate::access::SubmitterOfJob;
use crate::app::{App, AppState};
use crate::description::parameters::{MessageParameter, NamespacePath};
use crate::description::schemas::{Cancelled, Limited, Missing, Refusals};
use crate::error::ApiError;
use crate::extract::{JobPath, Parameters, Parts};
use crate::hint::Kinds;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CancelParameters {
    /// The namespace that cancels the job; absent means `_`, and `*` means all.
    #[param(inline)]
    namespace: Option<Namespace>,
    /// A sentence that is shown with the job, at most 4096 bytes.
    #[param(max_length = 4096)]
    message: Option<String>,
}

/// `POST /q/:queue/j/:id/cancel?namespace=&message=`: cancel a job in one namespace. The job ends when no namespace holds it.
/// Returns when the change is durable.
#[utoipa::path(
    post,
    path = "/q/{queue}/j/{id}/cancel",
    tag = "clients",
    params(JobPath, CancelParameters),
    responses(
        (status = 200, description = "The job was cancelled in the namespace; or `message` says that there is no such job, or that it had ended before.", body = Cancelled),
        Limited,
        Refusals,
    ),
)]
pub(crate) async fn cancel(
    State(app): State<AppState>,
    SubmitterOfJob(queue, id): SubmitterOfJob,
    Parameters(parameters): Parameters<CancelParameters>,
) -> Result<Response, ApiError> {
    let namespace = parameters.namespace.unwrap_or_default();
    answer(&app, &queue, &id, &namespace, parameters.message.as_deref()).await
}

/// `POST /q/:queue/j/:id/:namespace/cancel`: cancel a job in the namespace of the path.
#[utoipa::path(
    post,
    path = "/q/{queue}/j/{id}/{namespace}/cancel",
    tag = "clients",
    params(JobPath, NamespacePath, MessageParameter),
    responses(
        (status = 200, description = "The job was cancelled in the namespace; or `message` says that there is no such job, or that it had ended before.", body = Cancelled),
        Limited,
        Refusals,
    ),
)]
pub(crate) async fn cancel_in_namespace(
    State(app): State<AppState>,
    SubmitterOfJob(queue, id): SubmitterOfJob,
    Parts((_, _, namespace)): Parts<(String, String, String)>,
    Parameters(parameters): Parameters<CancelParameters>,
) -> Result<Response, ApiError> {
    let namespace: Namespace = namespace.parse().map_err(ApiError::invalid)?;
    answer(&app, &queue, &id, &namespace, parameters.message.as_deref()).await
}

async fn answer(
    app: &App,
    queue: &QueueName,
    id: &JobId,
    namespace: &Namespace,
    message: Option<&str>,
) -> Result<Response, ApiError> {
    let outcome = end_hold(app, queue, id, namespace, Reason::Cancelled, message).await?;
    // Existing clients read the sentence under `message`, and repeat the request for half a minute after any status but 200.
    Ok(match outcome {
        CancelOutcome::Unknown => Json(json!({"message": "Job not found", "code": ErrorCode::NoJob})).into_response(),
        CancelOutcome::Finished | CancelOutcome::Removed => {
            Json(json!({"message": "Job already Finished|Removed"})).into_response()
        }
        CancelOutcome::Ended | CancelOutcome::Left | CancelOutcome::Absent => {
            Json(json!({"success": true, "jobId": id, "namespace": namespace})).into_response()
        }
    })
}

/// `DELETE /q/:queue/j/:id?namespace=&message=`: remove the result of a job. A job that has not ended ends in the namespace, as with
/// `cancel`. Returns when the change is durable. Doing it again is harmless.
#[utoipa::path(
    delete,
    path = "/q/{queue}/j/{id}",
    tag = "clients",
    params(JobPath, CancelParameters),
    responses((status = 200, description = "The queue does not have the result any more.", body = Cancelled), Missing, Limited, Refusals),
)]
pub(crate) async fn clear(
    State(app): State<AppState>,
    SubmitterOfJob(queue, id): SubmitterOfJob,
    Parameters(parameters): Parameters<CancelParameters>,
) -> Result<Response, ApiError> {
    let namespace = parameters.namespace.unwrap_or_default();
    match end_hold(&app, &queue, &id, &namespace, Reason::Deleted, parameters.message.as_deref()).await? {
        CancelOutcome::Unknown => Err(NO_JOB),
        _ => Ok(Json(json!({"success": true, "jobId": id, "namespace": namespace})).into_response()),
    }
}

/// Ends a namespace's hold on a job, to cancel it or to remove its result, and notifies all clients.
pub(crate) async fn end_hold(
    app: &App,
    queue: &QueueName,
    id: &JobId,
    namespace: &Namespace,
    reason: Reason,
    message: Option<&str>,
) -> Result<CancelOutcome, ApiError> {
    if message.is_some_and(|text| text.contains('\0') || text.len() > 4096) {
        return Err(ApiError::refused(
            ErrorCode::InvalidText,
            "the message contains a NUL or is longer than 4096 bytes".to_owned(),
        ));
    }
    let id = app.db.row_id(queue.qid(), id.as_str()).await?;
    let outcome = app.db.cancel_job(queue.qid(), &id, namespace.as_str(), reason, message).await?;
    if matches!(outcome, CancelOutcome::Ended | CancelOutcome::Left) {
        app.hint(queue.qid(), Kinds::STATES);
    }
    Ok(outcome)
}
