//! Submissions: from a request body or a socket's message to a row in the queue.

use axum::Json;
use axum::extract::State;
use protocol::limits::DURATION_MIN;
use protocol::{EnqueueJob, ErrorCode, InvalidDefinition, Namespace, ParsedDefinition, QueueName};
use serde_json::{Value, json};
use sql::{OwedCallbacks, Submission};

use crate::access::Submitter;
use crate::app::{App, AppState};
use crate::description::schemas::{Limited, Refusals, Submitted, TooLarge};
use crate::error::ApiError;
use crate::extract::{Body, QueuePath};

/// `POST /q/:queue`, `/q/:queue/j`: queue one job. Acknowledged means durable; sending it again is harmless.
#[utoipa::path(
    post,
    path = "/q/{queue}",
    tag = "clients",
    params(QueuePath),
    request_body(content = EnqueueJob, example = json!({"definition": {"image": "alpine:3.20", "command": "echo hello"}})),
    responses((status = 200, description = "The job is queued, or the queue had it already.", body = Submitted), Limited, TooLarge, Refusals),
)]
pub(crate) async fn submit(
    State(app): State<AppState>,
    Submitter(queue): Submitter,
    Body(job): Body<EnqueueJob>,
) -> Result<Json<Value>, ApiError> {
    let sql::Submitted { job_id, .. } = enqueue(&app, &queue, job).await?;
    Ok(Json(json!({"success": true, "jobId": job_id})))
}

/// Checks and queues a job. Returns the id under which the queue stores it, and whether the queue had it before. A client may
/// send any id. If the sent id is the hash of the definition by either rule, the definition's own id replaces it, and later
/// messages to the client still use the sent id.
pub(crate) async fn enqueue(app: &App, queue: &QueueName, job: EnqueueJob) -> Result<sql::Submitted, ApiError> {
    let definition = ParsedDefinition::parse(job.definition.get()).map_err(ApiError::invalid)?;
    let control = job.control.unwrap_or_default();
    let sent_id = job.id.unwrap_or_else(|| definition.job_id.clone());
    sent_id.check_new().map_err(ApiError::invalid)?;
    let job_id = if definition.is_true_id(sent_id.as_str()) { definition.job_id.clone() } else { sent_id.clone() };
    if control.max_duration.is_some_and(|max| max.0 < DURATION_MIN) {
        return Err(ApiError::invalid(InvalidDefinition::TooShort { what: "control.maxDuration" }));
    }
    let max_duration = control.max_duration.map_or(definition.max_duration, |max| max.0.min(definition.max_duration));
    let submission = Submission {
        qid: queue.qid(),
        job_id: job_id.into(),
        sent_id: sent_id.into(),
        max_duration,
        definition,
        namespace: String::from(control.namespace.unwrap_or_default()),
        is_debug: job.debug.unwrap_or(false),
        callbacks: control
            .callbacks
            .filter(|c| c.queued.is_some() || c.finished.is_some())
            .map(|callbacks| OwedCallbacks { queue: queue.clone(), callbacks }),
        is_again: control.again.unwrap_or(false),
    };
    if submission.namespace == Namespace::ALL {
        return Err(ApiError::refused(
            ErrorCode::ReservedNamespace,
            "the namespace * means all and cannot hold a job; choose a name".to_owned(),
        ));
    }
    app.submit(submission).await
}
