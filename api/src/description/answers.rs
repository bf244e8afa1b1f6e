//! Forms of answers that handlers write as JSON, and of the refusals that many share.
//!
//! The types are read by the macros alone: handlers build their answers member by member, and a test holds the two together
//! (`api/tests/it/routes/description.rs`).

#![allow(dead_code, reason = "read by the macros alone")]

use std::collections::BTreeMap;

use protocol::{Definition, Job, JobId, LogLine, Namespace, Reason, State};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// What is wrong with the request.
#[derive(ToSchema)]
pub(crate) struct Sentence {
    /// One sentence.
    error: String,
}

/// A failure of ours.
#[derive(ToSchema)]
pub(crate) struct Failure {
    /// Says nothing; the log knows more under the id.
    error: String,
    /// Id of the request in the log.
    id: uuid::Uuid,
}

type Responses = BTreeMap<String, RefOr<Response>>;

fn response(status: &str, schema: &str, description: &str) -> (String, RefOr<Response>) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let response = ResponseBuilder::new().description(description).content("application/json", content).build();
    (status.to_owned(), RefOr::T(response))
}

/// What every route that looks into a queue or a store may answer instead.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> Responses {
        [
            response("400", "Sentence", "The request cannot be understood or breaks a rule."),
            response("500", "Failure", "A failure of ours."),
            response("503", "Failure", "The database is out of reach or the server is stopping; try again."),
        ]
        .into()
    }
}

/// The path names something that is not there.
pub(crate) struct Missing;

impl IntoResponses for Missing {
    fn responses() -> Responses {
        [response("404", "Sentence", "What the path names is not there.")].into()
    }
}

/// The body is over the limit.
pub(crate) struct TooLarge;

impl IntoResponses for TooLarge {
    fn responses() -> Responses {
        [response("413", "Sentence", "The body is larger than allowed.")].into()
    }
}

/// The claim is no longer live.
pub(crate) struct Stale;

impl IntoResponses for Stale {
    fn responses() -> Responses {
        [response("409", "Sentence", "The claim is no longer live: the worker drops its copy.")].into()
    }
}

/// An answer that says only that it was done.
#[derive(ToSchema)]
pub(crate) struct Nothing {}

/// Whether requests can be served.
#[derive(ToSchema)]
pub(crate) struct Readiness {
    /// Whether nothing is missing.
    ready: bool,
    /// What is: `database`, `blob store`, `stopping`.
    missing: Vec<String>,
}

/// A job that is queued or was already known.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Submitted {
    /// Always true.
    success: bool,
    /// Id of the job.
    job_id: JobId,
}

/// Jobs by their id.
#[derive(ToSchema)]
pub(crate) struct JobList {
    /// Jobs by their id.
    data: BTreeMap<String, Job>,
}

/// A job with its definition.
#[derive(ToSchema)]
pub(crate) struct ShownJob {
    /// The job.
    data: DefinitionAndJob,
}

/// A definition and what became of it.
#[derive(ToSchema)]
pub(crate) struct DefinitionAndJob {
    /// The definition as it was submitted.
    definition: Definition,
    /// The job, with its result once it has one.
    #[schema(required = true)]
    results: Option<Job>,
}

/// A definition, or null when there is no such job.
#[derive(ToSchema)]
pub(crate) struct ShownDefinition {
    /// The definition as it was submitted.
    #[schema(required = true)]
    data: Option<Definition>,
}

/// A finished job, or null when it is unknown or has not finished.
#[derive(ToSchema)]
pub(crate) struct ShownResult {
    /// The job with its result.
    #[schema(required = true)]
    data: Option<Job>,
}

/// Names of namespaces.
#[derive(ToSchema)]
pub(crate) struct Namespaces {
    /// Namespaces that hold the job, sorted.
    data: Vec<String>,
}

/// The transitions of a job.
#[derive(ToSchema)]
pub(crate) struct History {
    /// Oldest first.
    data: Vec<protocol::HistoryEntry>,
}

/// Log lines after a cursor.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct LogSlice {
    /// The lines.
    data: Vec<LogLine>,
    /// Number of the first line.
    slice_start: i64,
    /// What to give as `since` next.
    next_cursor: i64,
    /// Whether no line will follow.
    is_final: bool,
}

/// What came of a cancel.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Cancelled {
    /// The namespace has let go.
    Done(LetGo),
    /// There was nothing to cancel.
    Already(Message),
}

/// The namespace has let go of the job.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct LetGo {
    /// Always true.
    success: bool,
    /// Id of the job.
    job_id: JobId,
    /// The namespace.
    namespace: Namespace,
}

/// A sentence about the job.
#[derive(ToSchema)]
pub(crate) struct Message {
    /// `Job not found` or `Job already Finished`.
    message: String,
}

/// The file is stored.
#[derive(ToSchema)]
pub(crate) struct Stored {
    /// Always true.
    success: bool,
    /// Where.
    key: String,
}

/// Whether a file is stored.
#[derive(ToSchema)]
pub(crate) struct Exists {
    /// Whether it is.
    exists: bool,
}

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
    /// Clients whose sockets this process serves.
    client_count: usize,
    /// The counts once more, as old clients read them.
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
    state: State,
    /// How it ended.
    #[schema(nullable = false)]
    finished_reason: Option<Reason>,
}

/// A worker and what it holds.
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
    /// Jobs that it holds, by their id.
    queue: BTreeMap<String, HeldBrief>,
}

/// A job that a worker holds.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct HeldBrief {
    /// Its id.
    job_id: String,
    /// Always false: a finished job is held no more.
    finished: bool,
}

/// Counts of a queue.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct QueueInfo {
    /// Null: a queue's name is not repeated.
    #[schema(required = true)]
    address: Option<String>,
    /// Null: any process answers.
    #[schema(required = true)]
    server_id: Option<String>,
    /// Jobs listed.
    job_count: usize,
    /// Workers connected.
    local_worker_count: usize,
    /// Always 0.
    other_worker_count: usize,
    /// Clients whose sockets this process serves.
    client_count: usize,
    /// State of each listed job.
    job_states: Vec<State>,
}

/// Why a job still waits.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Waiting {
    /// Its id.
    job_id: String,
    /// Its place, from 1.
    position: usize,
    /// Why it waits.
    why: String,
}
