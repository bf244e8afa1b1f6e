//! The calls of the fake API about claims, leases, logs and ends.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::{ClaimRequest, ClaimedJob, EndedJob, FinishRequest, HeartbeatRequest, LogsRequest, ReleaseRequest};
use serde_json::{Value, json};

use super::FakeApi;
use super::heard::{Heard, is_of};

pub(super) async fn claim(State(api): State<FakeApi>, Path(queue): Path<String>, Json(request): Json<ClaimRequest>) -> Response {
    let (jobs, wait) = (request.free.jobs as usize, request.wait.0);
    let is_refused = api.with(|heard| {
        heard.is_worker_unknown = false;
        // A request for no jobs only describes the worker.
        let said = if request.free.jobs == 0 { &mut heard.introductions } else { &mut heard.claims };
        said.push(request.clone());
        heard.refuses.contains(&queue)
    });
    if is_refused {
        return (StatusCode::FORBIDDEN, Json(json!({ "error": "the token does not give the permission for this call" })))
            .into_response();
    }
    let take = |heard: &mut Heard| {
        let place = (jobs > 0).then(|| heard.waiting.iter().position(|job| is_of(job, &queue))).flatten()?;
        let job = heard.waiting.remove(place).unwrap();
        heard.taken.push((queue.clone(), job["jobId"].as_str().unwrap().to_owned()));
        heard.given.push((job.clone(), 0));
        Some(vec![job])
    };
    let jobs = tokio::time::timeout(wait, api.until("a job", take)).await.unwrap_or_default();
    Json(json!({ "jobs": jobs })).into_response()
}

pub(super) async fn heartbeat(
    State(api): State<FakeApi>,
    Path(queue): Path<String>,
    Json(request): Json<HeartbeatRequest>,
) -> Json<Value> {
    let (held, wait, is_leaving) = (request.jobs.clone(), request.wait.0, request.is_leaving);
    let is_unanswered = api.with(|heard| {
        heard.note_held(&queue, &held);
        heard.heartbeats.push(request);
        is_leaving && heard.answers_no_last_heartbeat
    });
    if is_unanswered {
        std::future::pending::<()>().await;
    }
    let news = |heard: &mut Heard| {
        let end: Vec<EndedJob> =
            heard.end.iter().filter(|ended| held.iter().any(|job| job.job_id == ended.job_id)).cloned().collect();
        let unknown: Vec<ClaimedJob> = held.iter().filter(|job| heard.forgotten.contains(job.job_id.as_str())).cloned().collect();
        let has_news = !end.is_empty() || !unknown.is_empty() || heard.is_worker_unknown;
        has_news.then_some((end, unknown, heard.is_worker_unknown))
    };
    let (end, unknown, is_unknown) = tokio::time::timeout(wait, api.until("news", news)).await.unwrap_or_default();
    Json(json!({ "leaseSeconds": 30, "end": end, "unknown": unknown, "isUnknown": is_unknown }))
}

pub(super) async fn logs(
    State(api): State<FakeApi>,
    Path((_, job)): Path<(String, String)>,
    Json(chunk): Json<LogsRequest>,
) -> Response {
    api.with(|heard| heard.n_log_requests += 1);
    api.until("leave to log", |heard| (!heard.holds_logs).then_some(())).await;
    api.with(|heard| {
        if heard.fences_logs || heard.stale.contains(&job) {
            return StatusCode::CONFLICT.into_response();
        }
        let chunks = heard.logs.entry(job).or_default();
        let is_new = !chunks.contains_key(&chunk.seq);
        if let Some(known) = chunks.get(&chunk.seq) {
            assert_eq!(known.lines, chunk.lines, "a chunk that is sent again is the same");
        }
        if is_new {
            assert_eq!(chunks.len(), usize::try_from(chunk.seq).unwrap(), "chunks are numbered without gaps");
            chunks.insert(chunk.seq, chunk);
        }
        if is_new && heard.loses_log_answers { StatusCode::BAD_GATEWAY.into_response() } else { Json(json!({})).into_response() }
    })
}

pub(super) async fn finish(
    State(api): State<FakeApi>,
    Path((_, job)): Path<(String, String)>,
    Json(body): Json<FinishRequest>,
) -> Response {
    api.with(|heard| {
        if heard.stale.contains(&job) {
            return StatusCode::CONFLICT.into_response();
        }
        heard.finished.insert(job, body);
        Json(json!({})).into_response()
    })
}

pub(super) async fn release(
    State(api): State<FakeApi>,
    Path((_, job)): Path<(String, String)>,
    Json(body): Json<ReleaseRequest>,
) -> Json<Value> {
    api.with(|heard| heard.released.insert(job, body));
    Json(json!({}))
}
