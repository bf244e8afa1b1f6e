//! The worker API: claim, logs, finish, release. Everything is idempotent. The heartbeat is in [`super::heartbeat`].

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use protocol::{
    Claim, ClaimAnswer, ClaimRequest, EndCode, EndFault, ErrorCode, FinishRequest, Free, JobId, JobResult, LogsRequest, Qid,
    Reason, ReleaseRequest, WorkerDescription, is_end_code, limits,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sql::{Appended, ClaimKey, ClaimedRow, FinishRow, NewChunk, ReleaseRow, WorkerSeen};

use crate::access::{WorkerOf, WorkerOfJob};
use crate::app::AppState;
use crate::description::schemas::{Nothing, Refusals, Stale, TooLarge};
use crate::error::ApiError;
use crate::extract::{Body, JobPath, QueuePath};
use crate::hint::Kinds;

/// `POST /q/:queue/claim`: claim jobs, and wait for jobs that fit the free capacity.
#[utoipa::path(
    post,
    path = "/q/{queue}/claim",
    tag = "workers",
    params(QueuePath),
    request_body(
        content = ClaimRequest,
        example = json!(
            {
                "worker": {"id": "laptop-1", "version": "0.1.0", "cpus": 4, "gpus": 0, "memory": 8_589_934_592_u64, "tags": [],
                    "maxJobDuration": "1h", "executor": "docker"},
                "free": {"cpus": 4, "memory": 8_589_934_592_u64, "jobs": 4},
                "wait": "30s"
            }
        ),
    ),
    responses((status = 200, description = "The claimed jobs; none after `wait`.", body = ClaimAnswer), TooLarge, Refusals),
)]
pub(crate) async fn claim(
    State(app): State<AppState>,
    WorkerOf(queue): WorkerOf,
    Body(request): Body<ClaimRequest>,
) -> Result<Json<ClaimAnswer>, ApiError> {
    check_worker(&request.worker)?;
    if request.worker.cpus <= 0.0 {
        return Err(ApiError::refused(ErrorCode::InvalidWorker, "worker.cpus must be a number above 0".to_owned()));
    }
    let free = check_free(request.free)?;
    let qid = queue.qid();
    if app.db.register_worker(qid, &request.worker, Some(free)).await? == WorkerSeen::Changed {
        app.hint(qid, Kinds::WORKERS);
    }
    if free.jobs == 0 {
        return Ok(Json(ClaimAnswer { jobs: Vec::new(), is_paused: app.policies.is_paused(qid).await? }));
    }
    // The wait is shorter than the lease: when a silent worker loses its jobs, no old request of it is left that would get them
    // again.
    let wait = request.wait.0.min(limits::WAIT_MAX).min(app.config.lease.0 / 2);
    let rows = tokio::select! {
        rows = app.dispatcher.claim(qid, request.worker, free, wait) => rows?,
        () = app.shutdown.cancelled() => Vec::new(),
    };
    let jobs = rows.into_iter().map(claim_of).collect::<Result<Vec<_>, _>>()?;
    let is_paused = jobs.is_empty() && app.policies.is_paused(qid).await?;
    Ok(Json(ClaimAnswer { jobs, is_paused }))
}

pub(crate) fn check_worker(worker: &WorkerDescription) -> Result<(), ApiError> {
    let has_bad_text = [&worker.version, &worker.executor].iter().any(|text| text.len() > 255 || text.contains('\0'));
    let has_bad_tag = worker.tags.iter().any(|tag| tag.parse::<protocol::Namespace>().is_err());
    if has_bad_text || has_bad_tag || worker.tags.len() > limits::TAGS_MAX || !worker.cpus.is_finite() {
        return Err(ApiError::refused(
            ErrorCode::InvalidWorker,
            "the worker's version, executor, tags or cpus are invalid".to_owned(),
        ));
    }
    let are_too_many = worker.secrets.len().max(worker.platforms.len()) > limits::WORKER_NAMES_MAX;
    let has_bad_secret = worker.secrets.iter().any(|name| protocol::check_secret_name(name).is_err());
    if are_too_many || has_bad_secret || worker.platforms.iter().any(|platform| platform.len() > 255) {
        let max = limits::WORKER_NAMES_MAX;
        let sentence = format!(
            "the worker's secrets or platforms are invalid; name at most {max} of each, secrets as environment variables"
        );
        return Err(ApiError::refused(ErrorCode::InvalidWorker, sentence));
    }
    Ok(())
}

fn check_free(free: Free) -> Result<Free, ApiError> {
    if !free.cpus.is_finite() || free.cpus < 0.0 {
        return Err(ApiError::refused(ErrorCode::InvalidWorker, "free.cpus must be a number from 0".to_owned()));
    }
    Ok(Free { jobs: free.jobs.min(limits::CLAIM_JOBS_MAX), ..free })
}

fn claim_of(row: ClaimedRow) -> Result<Claim, ApiError> {
    let text = row.body.map_or_else(|| "null".to_owned(), |body| sql::whole_definition(body, row.login.as_deref()));
    Ok(Claim {
        job_id: JobId::try_from(row.job_id).map_err(ApiError::invalid)?,
        epoch: row.epoch,
        attempt: row.attempt,
        deadline: row.deadline_ms,
        max_duration: protocol::Duration(Duration::from_secs(u64::try_from(row.max_seconds).unwrap_or(0))),
        definition: RawValue::from_string(text).map_err(ApiError::bad_request)?,
        namespaces: row.namespaces,
        debug: row.is_debug,
    })
}

/// `POST /q/:queue/j/:id/logs`: store a chunk of log lines. A repeated chunk is ignored.
#[utoipa::path(
    post,
    path = "/q/{queue}/j/{id}/logs",
    tag = "workers",
    params(JobPath),
    request_body(
        content = LogsRequest,
        example = json!({"epoch": 17, "seq": 0, "step": "Running", "lines": [["hello", 1_700_000_000_000_i64]]}),
    ),
    responses((status = 200, description = "The lines are stored.", body = Nothing), Stale, TooLarge, Refusals),
)]
pub(crate) async fn logs(
    State(app): State<AppState>,
    WorkerOfJob(queue, id): WorkerOfJob,
    Body(request): Body<LogsRequest>,
) -> Result<Json<Value>, ApiError> {
    if request.seq < 0 {
        return Err(ApiError::refused(ErrorCode::InvalidRequest, "seq counts from 0".to_owned()));
    }
    if request.lines.is_empty() {
        return Ok(Json(json!({})));
    }
    let qid = queue.qid();
    let key = ClaimKey { qid, job_id: id.into(), epoch: request.epoch };
    let chunk = NewChunk { key, seq: request.seq, step: request.step, lines: &request.lines };
    match app.db.append_log(&chunk).await? {
        Appended::Stored => app.hint(qid, Kinds::LOGS),
        Appended::Repeated | Appended::Full => {}
        Appended::Stale => return Err(ApiError::StaleEpoch),
    }
    Ok(Json(json!({})))
}

/// `POST /q/:queue/j/:id/finish`: end a job with its result. 409 when the claim is no longer live.
#[utoipa::path(
    post,
    path = "/q/{queue}/j/{id}/finish",
    tag = "workers",
    params(JobPath),
    request_body(
        content = FinishRequest,
        example = json!({"epoch": 17, "reason": "Success", "result": {"StatusCode": 0, "isTimedOut": false, "outputs": {}}}),
    ),
    responses((status = 200, description = "The job has ended.", body = Nothing), Stale, TooLarge, Refusals),
)]
pub(crate) async fn finish(
    State(app): State<AppState>,
    WorkerOfJob(queue, id): WorkerOfJob,
    Body(request): Body<FinishRequest, { limits::RESULT_BYTES_MAX }>,
) -> Result<Json<Value>, ApiError> {
    app.finish(finish_row(queue.qid(), id, request)?).await?;
    Ok(Json(json!({})))
}

pub(crate) fn finish_row(qid: Qid, id: JobId, request: FinishRequest) -> Result<FinishRow, ApiError> {
    if !matches!(request.reason, Reason::Success | Reason::Error | Reason::TimedOut) {
        return Err(ApiError::refused(
            ErrorCode::InvalidResult,
            "a worker finishes a job with Success, Error or TimedOut".to_owned(),
        ));
    }
    for name in request.result.outputs.keys() {
        protocol::check_input_path(name).map_err(ApiError::invalid)?;
    }
    if request.result.outputs.len() > limits::OUTPUTS_MAX {
        return Err(ApiError::refused(ErrorCode::InvalidResult, format!("a job may have {} outputs", limits::OUTPUTS_MAX)));
    }
    let why = if request.reason == Reason::Success {
        Why { code: None, fault: None, ..Why::read(None, None, request.message)? }
    } else {
        Why::read(request.code, request.fault, request.message)?
    };
    // The log lines were sent before. They are not stored twice.
    let result = JobResult { logs: Vec::new(), logs_of: None, logs_omitted: None, ..request.result };
    Ok(FinishRow {
        key: ClaimKey { qid, job_id: id.into(), epoch: request.epoch },
        reason: request.reason,
        code: why.code,
        fault: why.fault,
        message: why.message,
        status_code: result.status_code,
        duration_ms: result.duration,
        result: serde_json::to_string(&result).map_err(ApiError::bad_request)?,
    })
}

/// Why a claim ended without success, as its worker reports.
struct Why {
    code: Option<String>,
    fault: Option<EndFault>,
    message: Option<String>,
}

impl Why {
    /// A known code implies its fault. For a code of a later release, which is unknown here, the worker sends the fault.
    fn read(code: Option<String>, fault: Option<EndFault>, message: Option<String>) -> Result<Self, ApiError> {
        if let Some(code) = code.as_deref().filter(|code| !is_end_code(code)) {
            let shown: String = code.chars().take(80).collect();
            return Err(ApiError::refused(
                ErrorCode::InvalidResult,
                format!("{shown:?} is not an end code; write lowercase words joined by dashes"),
            ));
        }
        let known = code.as_deref().and_then(|code| code.parse::<EndCode>().ok());
        let message = message.map(|text| shortened(text.replace('\0', "\u{fffd}")));
        Ok(Self { fault: fault.or(known.map(EndCode::fault)), code, message })
    }
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::END_MESSAGE_BYTES_MAX));
    text
}

/// `POST /q/:queue/j/:id/release`: put a job back into the queue. Without a code it returns to its old position without a
/// penalty. With a code it waits for a while and goes behind the others, and the fifth such release ends it as an `Error`.
#[utoipa::path(
    post,
    path = "/q/{queue}/j/{id}/release",
    tag = "workers",
    params(JobPath),
    request_body(
        content = ReleaseRequest,
        example = json!({"epoch": 17, "code": "pull-failed", "fault": "network", "message": "registry.example answered 503"}),
    ),
    responses(
        (status = 200, description = "The job is queued again or has ended, or this claim was not live.", body = Nothing),
        TooLarge,
        Refusals,
    ),
)]
pub(crate) async fn release(
    State(app): State<AppState>,
    WorkerOfJob(queue, id): WorkerOfJob,
    Body(request): Body<ReleaseRequest>,
) -> Result<Json<Value>, ApiError> {
    let key = ClaimKey { qid: queue.qid(), job_id: id.into(), epoch: request.epoch };
    let why = Why::read(request.code, request.fault, request.message)?;
    app.release(&[ReleaseRow { key, code: why.code, fault: why.fault, message: why.message }]).await?;
    Ok(Json(json!({})))
}
