//! Workers: register, heartbeat, leave, list.

use std::time::Duration;

use protocol::{Free, Qid, WorkerDescription, WorkerInfo, format_duration};

use crate::{Db, Result};

const REGISTER: &str = include_str!("../queries/worker/register.sql");
const COUNT: &str = include_str!("../queries/worker/count.sql");
const HEARTBEAT: &str = include_str!("../queries/worker/heartbeat.sql");
const LEAVE: &str = include_str!("../queries/worker/leave.sql");
const LIST: &str = include_str!("../queries/worker/list.sql");

/// Whether the list of workers for clients changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerSeen {
    /// The worker is new, back, or has another capacity.
    Changed,
    /// The list is unchanged.
    Same,
}

/// A worker that lives.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct WorkerRow {
    /// Its id.
    pub worker_id: String,
    version: String,
    cpus: f64,
    gpus: i32,
    last_seen_ms: i64,
    max_seconds: i32,
    memory_bytes: i64,
    labels: Vec<String>,
    executor: String,
    /// Jobs that it runs.
    pub job_ids: Vec<String>,
}

impl WorkerRow {
    /// The worker in the form for clients.
    pub fn to_info(&self) -> WorkerInfo {
        let max = Duration::from_secs(u64::try_from(self.max_seconds).unwrap_or(0));
        WorkerInfo {
            id: self.worker_id.clone(),
            version: self.version.clone(),
            cpus: self.cpus,
            gpus: u32::try_from(self.gpus).unwrap_or(0),
            time: self.last_seen_ms,
            max_job_duration: format_duration(max),
        }
    }
}

impl WorkerRow {
    /// Whether it has the label.
    pub fn carries(&self, label: &str) -> bool {
        self.labels.iter().any(|own| own == label)
    }

    /// Cpus that it offers.
    pub fn cpus(&self) -> f64 {
        self.cpus
    }

    /// Gpus that it offers.
    pub fn gpus(&self) -> i32 {
        self.gpus
    }

    /// Whether its memory is large enough. Workers on a socket do not report their memory, and get such jobs.
    pub fn has_memory(&self, n_bytes: i64) -> bool {
        self.memory_bytes >= n_bytes || self.executor == "socket"
    }

    /// Whether it allows runs of this length.
    pub fn runs_for(&self, seconds: i32) -> bool {
        self.max_seconds >= seconds
    }
}

#[derive(sqlx::FromRow)]
struct RegisteredRow {
    is_changed: bool,
    is_counted: bool,
}

/// Workers on a socket do not report their memory, and get jobs that need some.
fn most_memory(worker: &WorkerDescription, free: Option<Free>) -> i64 {
    if worker.executor == "socket" {
        return i64::MAX;
    }
    i64::try_from(free.map_or(0, |free| free.memory).max(worker.memory)).unwrap_or(i64::MAX)
}

impl Db {
    /// Stores a worker's description and its sign of life. `free` is its present offer, which may be more than its stated
    /// capacity. When this returns, its claims find every class of jobs that it can run.
    pub async fn register_worker(&self, qid: Qid, worker: &WorkerDescription, free: Option<Free>) -> Result<WorkerSeen> {
        let row: RegisteredRow = sqlx::query_as(REGISTER)
            .bind(qid)
            .bind(worker.id.as_str())
            .bind(&worker.version)
            .bind(&worker.executor)
            .bind(worker.cpus)
            .bind(i32::try_from(worker.gpus).unwrap_or(i32::MAX))
            .bind(i64::try_from(worker.memory).unwrap_or(i64::MAX))
            .bind(i32::try_from(worker.max_job_duration.0.as_secs()).unwrap_or(i32::MAX))
            .bind(&worker.tags)
            .bind(worker.labels())
            .bind(free.map_or(worker.cpus, |free| free.cpus.max(worker.cpus)))
            .bind(i32::try_from(free.map_or(0, |free| free.gpus).max(worker.gpus)).unwrap_or(i32::MAX))
            .bind(most_memory(worker, free))
            .fetch_one(&self.pool)
            .await?;
        if !row.is_counted {
            let query = sqlx::query_scalar(COUNT).bind(qid).bind(worker.id.as_str());
            if query.fetch_one(&self.pool).await? {
                self.tidy_new_classes(qid).await?;
            }
        }
        Ok(if row.is_changed { WorkerSeen::Changed } else { WorkerSeen::Same })
    }

    /// Stores a worker's sign of life. False if the worker is unknown.
    pub async fn heartbeat(&self, qid: Qid, worker_id: &str) -> Result<bool> {
        let row: Option<String> = sqlx::query_scalar(HEARTBEAT).bind(qid).bind(worker_id).fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }

    /// Deletes a worker that stops. False if it still has a claim, or is unknown.
    pub async fn leave(&self, qid: Qid, worker_id: &str) -> Result<bool> {
        let row: Option<String> = sqlx::query_scalar(LEAVE).bind(qid).bind(worker_id).fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }

    /// The workers of one queue seen within the lease.
    pub async fn list_workers(&self, qid: Qid, lease: Duration) -> Result<Vec<WorkerRow>> {
        Ok(sqlx::query_as(LIST).bind(qid).bind(lease.as_secs_f64()).fetch_all(&self.pool).await?)
    }
}
