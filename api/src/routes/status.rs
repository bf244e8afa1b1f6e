//! `/q/:queue/status` and `/q/:queue/metrics`: an overview of one queue, for people and autoscalers.

use axum::Json;
use axum::extract::State;
use protocol::{JobState, Qid};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sql::{Counts, JobRow, Needs, WorkerRow};

use crate::access::Reader;
use crate::app::{App, AppState};
use crate::description::schemas::{QueueStatus, Refusals};
use crate::error::ApiError;
use crate::extract::QueuePath;

/// Most waiting jobs that `waiting` explains.
const EXPLAINED_MAX: usize = 100;

/// `GET /q/:queue/status`, `/:queue/status`: an overview of a queue: jobs, workers, and what each waiting job waits for.
#[utoipa::path(
    get,
    path = "/q/{queue}/status",
    tag = "clients",
    params(QueuePath),
    responses((status = 200, description = "The queue.", body = QueueStatus), Refusals),
)]
pub(crate) async fn status(State(app): State<AppState>, Reader(queue): Reader) -> Result<Json<Value>, ApiError> {
    let qid = queue.qid();
    let rows = app.db.list_jobs(qid).await?;
    let workers = app.db.list_workers(qid, app.config.lease.0).await?;
    let counts = app.db.count_jobs(qid).await?;
    let n_clients = app.hub.n_clients(qid);
    let states: Vec<&str> = rows.iter().map(|row| row.state().as_str()).collect();
    Ok(Json(json!({
        "jobs": rows.iter().map(|row| (row.job_id.clone(), brief(row))).collect::<Map<_, _>>(),
        "otherServers": {},
        "localWorkers": workers.iter().map(|worker| (worker.worker_id.clone(), worker_entry(worker))).collect::<Map<_, _>>(),
        "clientCount": n_clients,
        "queueInfo": {
            "address": queue.as_str(),
            "serverId": app.process_id(),
            "jobCount": rows.len(),
            "localWorkerCount": workers.len(),
            "otherWorkerCount": 0,
            "clientCount": n_clients,
            "jobStates": states,
        },
        "demand": whole(counts.cpus.ceil()),
        "waiting": waiting(&rows, &workers, counts.is_paused),
    })))
}

/// The number as an integer, which JSON shows without a decimal point.
#[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
const fn whole(number: f64) -> i64 {
    number as i64
}

fn brief(row: &JobRow) -> Value {
    match row.reason() {
        Some(reason) => json!({"state": row.state(), "finishedReason": reason}),
        None => json!({"state": row.state()}),
    }
}

fn worker_entry(worker: &WorkerRow) -> Value {
    let info = worker.to_info();
    let queue: Map<_, _> = worker.job_ids.iter().map(|id| (id.clone(), json!({"jobId": id, "finished": false}))).collect();
    let mut entry = json!(info);
    if let Some(members) = entry.as_object_mut() {
        members.remove("version");
        members.insert("queue".to_owned(), queue.into());
    }
    entry
}

/// Why a job still waits.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waiting {
    pub(crate) job_id: String,
    /// Its position among the waiting jobs, from 1.
    pub(crate) position: usize,
    pub(crate) code: &'static str,
    /// The reason as a sentence.
    pub(crate) why: String,
}

impl Waiting {
    /// Whether the sentence contains a name that the job's sender chose.
    pub(crate) fn has_name(&self) -> bool {
        matches!(self.code, "no-tag" | "no-secret" | "no-platform")
    }
}

/// Why each of the next jobs still waits. The rows come class by class, so they are first sorted into the order in which jobs
/// run.
fn waiting(rows: &[JobRow], workers: &[WorkerRow], is_paused: bool) -> Vec<Waiting> {
    let all = in_order(rows).into_iter().take(EXPLAINED_MAX).enumerate();
    all.map(|(before, row)| explain(before, row, workers, is_paused)).collect()
}

fn in_order(rows: &[JobRow]) -> Vec<&JobRow> {
    let mut queued: Vec<&JobRow> = rows.iter().filter(|row| row.state() == JobState::Queued).collect();
    queued.sort_by_key(|row| row.place());
    queued
}

fn explain(before: usize, row: &JobRow, workers: &[WorkerRow], is_paused: bool) -> Waiting {
    let (code, why) = if is_paused { ("queue-paused", "the queue is paused".to_owned()) } else { why(row, workers) };
    Waiting { job_id: row.job_id.clone(), position: before + 1, code, why }
}

/// Why one job still waits. `None` if the job does not wait or is not in the queue's list, which has a limit.
pub(crate) async fn why_waiting(app: &App, qid: Qid, job_id: &str) -> Result<Option<Waiting>, ApiError> {
    let rows = app.large.read(app.db.list_jobs(qid)).await?;
    let place = in_order(&rows).into_iter().enumerate().find(|(_, row)| row.job_id == job_id);
    let Some((before, row)) = place else { return Ok(None) };
    let workers = app.db.list_workers(qid, app.config.lease.0).await?;
    let is_paused = app.policies.is_paused(qid).await?;
    Ok(Some(explain(before, row, &workers, is_paused)))
}

/// Why the connected workers cannot run a job: the requirement that none of them meets, with the largest value that one of them
/// offers.
fn why(row: &JobRow, workers: &[WorkerRow]) -> (&'static str, String) {
    let needs = row.needs();
    let none = |fits: &dyn Fn(&WorkerRow) -> bool| !workers.iter().any(fits);
    let Needs { cpus, gpus, memory_bytes, seconds, labels } = needs;
    let fits = |worker: &WorkerRow| {
        let has_room = worker.cpus() >= cpus && worker.gpus() >= gpus && worker.has_memory(memory_bytes);
        has_room && worker.runs_for(seconds) && labels.iter().all(|label| worker.carries(label))
    };
    if workers.is_empty() {
        return ("no-worker", "no worker is connected".to_owned());
    }
    if let Some(label) = labels.iter().find(|label| none(&|worker| worker.carries(label))) {
        return (
            protocol::labels::problem_code_of(label),
            format!("no connected worker {}", protocol::labels::problem_of(label)),
        );
    }
    if none(&|worker| worker.gpus() >= gpus) {
        let most = workers.iter().map(WorkerRow::gpus).max().unwrap_or(0);
        return ("no-gpus", format!("no connected worker has enough gpus: it needs {gpus}, the most is {most}"));
    }
    if none(&|worker| worker.cpus() >= cpus) {
        let most = workers.iter().map(WorkerRow::cpus).fold(0.0, f64::max);
        return ("no-cpus", format!("no connected worker has enough cpus: it needs {cpus}, the most is {most}"));
    }
    if none(&|worker| worker.has_memory(memory_bytes)) {
        return ("no-memory", format!("no connected worker has enough memory: it needs {memory_bytes} bytes"));
    }
    if none(&|worker| worker.runs_for(seconds)) {
        return ("no-time", "no connected worker allows a run of this length".to_owned());
    }
    if none(&fits) {
        return ("no-worker-fits", "no single connected worker has everything that it needs".to_owned());
    }
    match row.n_released {
        0 => ("workers-busy", "a worker that can run it takes it as soon as it has room".to_owned()),
        n => {
            let times = if n == 1 { "once".to_owned() } else { format!("{n} times") };
            ("given-back", format!("it was given back {times} for reasons outside of the job, and is tried again"))
        }
    }
}

/// `GET /q/:queue/metrics`, `/:queue/metrics`: the metrics of one queue, for Prometheus. `queue_length` is read by existing
/// autoscalers.
#[utoipa::path(
    get,
    path = "/q/{queue}/metrics",
    tag = "operation",
    params(QueuePath),
    responses((status = 200, description = "Prometheus text.", body = String, content_type = "text/plain"), Refusals),
)]
pub(crate) async fn metrics(State(app): State<AppState>, Reader(queue): Reader) -> Result<String, ApiError> {
    let counts = app.db.count_jobs(queue.qid()).await?;
    let lines = [
        ("asman_queue_queued_jobs", "Jobs waiting.", counts.n_queued as f64),
        ("asman_queue_running_jobs", "Jobs running.", counts.n_running as f64),
        (
            "asman_queue_items",
            "Items of the task-queue API that are not container jobs, waiting and claimed.",
            counts.n_items as f64,
        ),
        (
            "asman_queue_wanted_cpus",
            "Cpus that queued and running jobs need; in a paused queue only running jobs count.",
            counts.cpus,
        ),
        ("asman_queue_wanted_gpus", "Gpus likewise.", counts.gpus as f64),
    ];
    Ok(queue_length(&counts) + &lines.into_iter().map(gauge).collect::<String>())
}

/// The number that existing autoscalers read.
pub(super) fn queue_length(counts: &Counts) -> String {
    gauge(("queue_length", "Jobs queued and running.", (counts.n_queued + counts.n_running) as f64))
}

fn gauge((name, help, value): (&str, &str, f64)) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n")
}
