//! The schema of `/status`: one queue at a glance.

#![allow(dead_code, reason = "only the macros read it")]

use std::collections::BTreeMap;

use protocol::{JobState, Reason};
use utoipa::ToSchema;

/// One queue at a glance.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct QueueStatus {
    /// Jobs by their id.
    jobs: BTreeMap<String, BriefJob>,
    /// Kept for old clients; empty.
    other_servers: BTreeMap<String, String>,
    /// Workers by their id.
    local_workers: BTreeMap<String, BriefWorker>,
    /// Clients with a socket to this process.
    client_count: usize,
    /// The counts again, in the form that old clients read.
    queue_info: QueueInfo,
    /// Slots that queued and running jobs need, for autoscalers.
    demand: f64,
    /// What the next jobs wait for.
    waiting: Vec<Waiting>,
}

/// State of a job.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct BriefJob {
    /// Where it stands.
    state: JobState,
    /// How it ended.
    #[schema(nullable = false)]
    finished_reason: Option<Reason>,
}

/// A worker and its jobs.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct BriefWorker {
    /// When it was last seen, epoch milliseconds.
    time: i64,
    /// Its id.
    id: String,
    /// Cpus it offers.
    cpus: f64,
    /// Gpus it offers.
    gpus: u32,
    /// Longest run it allows.
    max_job_duration: String,
    /// Its jobs, by their id.
    queue: BTreeMap<String, ClaimedBrief>,
}

/// A job of a worker.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ClaimedBrief {
    /// Its id.
    job_id: String,
    /// Always false: a worker has no finished jobs.
    finished: bool,
}

/// Counts of a queue.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct QueueInfo {
    /// The queue's name, as the caller gave it.
    address: String,
    /// The name of the process that answers.
    server_id: String,
    /// Jobs listed.
    job_count: usize,
    /// Workers connected.
    local_worker_count: usize,
    /// Always 0.
    other_worker_count: usize,
    /// Clients with a socket to this process.
    client_count: usize,
    /// State of each listed job.
    job_states: Vec<JobState>,
}

/// Why a job still waits.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Waiting {
    /// Its id.
    job_id: String,
    /// Its position, from 1.
    position: usize,
    /// Why it waits, as programs read it: `queue-paused`, `given-back`, `no-worker`, `no-tag`, `no-secret`,
    /// `no-executor`, `no-platform`, `no-builder`, `no-gpus`, `no-cpus`, `no-memory`,
    /// `no-time`, `no-worker-fits`, `workers-busy`, and possibly others later.
    code: String,
    /// Why it waits.
    why: String,
}
