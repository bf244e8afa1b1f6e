//! The heartbeat of workers: it keeps their claims alive, and tells them which of their jobs must end.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use protocol::{ClaimedJob, EndedJob, ErrorCode, HeartbeatAnswer, HeartbeatRequest, JobId, Qid, limits};
use sql::{ClaimKey, ClaimStatus, ORPHAN_GRACE};

use crate::access::WorkerOf;
use crate::app::{App, AppState};
use crate::description::schemas::{Refusals, TooLarge};
use crate::error::ApiError;
use crate::extract::{Body, QueuePath};
use crate::hint::Kinds;

/// `POST /q/:queue/heartbeat`: report that a worker lives, and learn which of its jobs must end. It answers at once when a job
/// must end. A worker that stops sends `isLeaving` with its last heartbeat and then counts as disconnected.
#[utoipa::path(
    post,
    path = "/q/{queue}/heartbeat",
    tag = "workers",
    params(QueuePath),
    request_body(
        content = HeartbeatRequest,
        example = json!({"workerId": "laptop-1", "jobs": [{"jobId": "my-job", "epoch": 17}], "wait": "5s"}),
    ),
    responses((status = 200, description = "Which claims have ended.", body = HeartbeatAnswer), TooLarge, Refusals),
)]
pub(crate) async fn heartbeat(
    State(app): State<AppState>,
    WorkerOf(queue): WorkerOf,
    Body(request): Body<HeartbeatRequest>,
) -> Result<Json<HeartbeatAnswer>, ApiError> {
    if request.jobs.len() > limits::HEARTBEAT_JOBS_MAX {
        return Err(ApiError::refused(
            ErrorCode::InvalidRequest,
            format!("a heartbeat may name {} jobs", limits::HEARTBEAT_JOBS_MAX),
        ));
    }
    let qid = queue.qid();
    if request.is_leaving {
        return leave(&app, qid, &request).await.map(Json);
    }
    let mut watch = app.hub.watch(qid);
    let is_unknown = !app.db.heartbeat(qid, request.worker_id.as_str()).await?;
    let until = tokio::time::Instant::now() + request.wait.0.min(limits::WAIT_MAX);
    loop {
        watch.borrow_and_update();
        let mut answer = compare_claims(&app, qid, &request, ORPHAN_GRACE).await?;
        answer.is_unknown = is_unknown;
        if !answer.end.is_empty() || !answer.unknown.is_empty() || is_unknown || request.wait.0.is_zero() {
            return Ok(Json(answer));
        }
        tokio::select! {
            _ = watch.changed() => {}
            () = tokio::time::sleep_until(until) => return Ok(Json(answer)),
            () = app.shutdown.cancelled() => return Ok(Json(answer)),
        }
    }
}

/// The last heartbeat of a worker that stops. No answer to a claim is in transit any more, so claims that the worker does not
/// name are released without a grace period.
async fn leave(app: &App, qid: Qid, request: &HeartbeatRequest) -> Result<HeartbeatAnswer, ApiError> {
    let answer = compare_claims(app, qid, request, Duration::ZERO).await?;
    if app.db.leave(qid, request.worker_id.as_str()).await? {
        app.hint(qid, Kinds::WORKERS);
    }
    Ok(answer)
}

async fn compare_claims(app: &App, qid: Qid, request: &HeartbeatRequest, grace: Duration) -> Result<HeartbeatAnswer, ApiError> {
    let job_ids: Vec<&str> = request.jobs.iter().map(|claimed| claimed.job_id.as_str()).collect();
    let epochs: Vec<i64> = request.jobs.iter().map(|claimed| claimed.epoch).collect();
    let rows = app.db.compare(qid, request.worker_id.as_str(), &job_ids, &epochs, grace).await?;
    let mut answer = HeartbeatAnswer { lease_seconds: app.config.lease.0.as_secs_f64(), ..HeartbeatAnswer::default() };
    let mut orphans = Vec::new();
    for row in rows {
        let job_id = JobId::try_from(row.job_id).map_err(ApiError::invalid)?;
        let epoch = row.epoch;
        match row.state {
            ClaimStatus::Live => {}
            ClaimStatus::Ended(reason) => answer.end.push(EndedJob { job_id, epoch, reason, message: row.message }),
            ClaimStatus::Unknown => answer.unknown.push(ClaimedJob { job_id, epoch }),
            ClaimStatus::Orphan => orphans.push(ClaimKey { qid, job_id: job_id.into(), epoch }.into()),
        }
    }
    if !orphans.is_empty() {
        let n_orphans = app.release(&orphans).await?.len();
        metrics::counter!("asman_claims_lost_on_the_way_total").increment(n_orphans as u64);
    }
    Ok(answer)
}
