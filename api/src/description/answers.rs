//! Forms of answers that handlers write as JSON.
//!
//! The types are read by the macros alone: handlers build their answers member by member, and a test holds the two together
//! (`api/tests/it/routes/description.rs`).

#![allow(dead_code, reason = "read by the macros alone")]

use std::collections::BTreeMap;

use protocol::{Definition, ErrorCode, Job, JobId, LogLine, Namespace, Reason, State};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, SchemaType};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub(crate) use super::refusals::{Limited, Missing, Refusals, Sentence, Stale, TooLarge};

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
    /// What to do about it, where somebody has to do something.
    #[schema(required = false)]
    why: Option<String>,
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
    definition: DefinitionOrBody,
    /// The job, with its result once it has one.
    #[schema(required = true)]
    results: Option<Job>,
}

/// What was submitted.
pub(crate) struct DefinitionOrBody;

impl PartialSchema for DefinitionOrBody {
    fn schema() -> RefOr<Schema> {
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue).build();
        let either = AnyOfBuilder::new().item(Ref::from_schema_name("Definition")).item(any);
        either
            .description(Some("The definition as it was submitted; of an item of the task-queue API its body, any JSON."))
            .into()
    }
}

impl ToSchema for DefinitionOrBody {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("Definition".to_owned(), Definition::schema()));
        Definition::schemas(schemas);
    }
}

/// A definition, or null when there is no such job.
#[derive(ToSchema)]
pub(crate) struct ShownDefinition {
    data: DefinitionOrBody,
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
    /// `Job not found` or `Job already Finished|Removed`.
    message: String,
    /// `no-job`, where there is none.
    #[schema(nullable = false)]
    code: Option<ErrorCode>,
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
#[expect(clippy::struct_field_names, reason = "the wire's name")]
pub(crate) struct Exists {
    /// Whether it is.
    exists: bool,
    /// A sentence, where it is not.
    #[schema(nullable = false)]
    error: Option<String>,
    /// `no-file`, where it is not.
    #[schema(nullable = false)]
    code: Option<ErrorCode>,
}

/// Where a file can be put or fetched.
#[derive(ToSchema)]
pub(crate) struct FileAddress {
    /// The address.
    url: String,
    /// What stands for the file in a definition.
    r#ref: protocol::DataRef,
}

/// What a queue's owner wants.
#[derive(ToSchema)]
pub(crate) struct ShownPolicy {
    /// The parts. No token and no secret is shown, only whether there is one.
    data: PolicyParts,
}

/// The parts of a policy; null where it says nothing.
#[derive(ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether there is a token")]
#[schema(rename_all = "camelCase")]
pub(crate) struct PolicyParts {
    /// Whether workers get no jobs.
    paused: bool,
    /// Whether changes of the policy ask for a token, which opens every other door too.
    owner_token: bool,
    /// Whether the worker API asks for a token.
    worker_token: bool,
    /// Whether submitting and cancelling ask for a token.
    submit_token: bool,
    /// Whether reading asks for a token.
    read_token: bool,
    /// Most jobs that may wait.
    #[schema(required = true)]
    max_queued: Option<i32>,
    /// Most jobs that may wait in one namespace.
    #[schema(required = true)]
    max_per_namespace: Option<i32>,
    /// Longest run of a job.
    #[schema(required = true)]
    max_duration: Option<protocol::Duration>,
    /// How long finished jobs are kept.
    #[schema(required = true)]
    retention: Option<protocol::Duration>,
    /// Whether webhooks are signed.
    webhook_secret: bool,
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
    /// The queue's name, as the caller gave it.
    address: String,
    /// The process that answers, one of any number.
    server_id: String,
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
    /// Why it waits, as programs read it: `queue-paused`, `given-back`, `no-worker`, `no-tag`, `no-secret`,
    /// `no-executor`, `no-platform`, `no-builder`, `no-gpus`, `no-cpus`, `no-memory`,
    /// `no-time`, `no-worker-fits`, `workers-busy`, and maybe others later.
    code: String,
    /// Why it waits.
    why: String,
}
