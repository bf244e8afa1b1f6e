//! The schemas of the answers that handlers write as JSON.
//!
//! Only the macros read these types: handlers build their answers member by member, and a test compares the two
//! (`api/tests/it/routes/description.rs`).

#![allow(dead_code, reason = "only the macros read it")]

use std::collections::BTreeMap;

use protocol::{Definition, ErrorCode, Job, JobId, LogLine, Namespace};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, SchemaType};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub(crate) use super::refusals::{Limited, Missing, Refusals, Sentence, Stale, TooLarge};
pub(crate) use super::status_schemas::QueueStatus;

/// An answer that only confirms that it was done.
#[derive(ToSchema)]
pub(crate) struct Nothing {}

/// Whether requests can be served.
#[derive(ToSchema)]
pub(crate) struct Readiness {
    /// True when nothing is missing.
    ready: bool,
    /// What is missing: `database`, `blob store`, `stopping`.
    missing: Vec<String>,
    /// What is wrong and what to do, if an operator has to act.
    #[schema(required = false)]
    why: Option<String>,
}

/// A job that was queued now or before.
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

/// A definition and its job.
#[derive(ToSchema)]
pub(crate) struct DefinitionAndJob {
    definition: DefinitionOrBody,
    /// The job, with its result when it has one.
    #[schema(required = true)]
    results: Option<Job>,
    /// When it was read: of two states of a job, the one with the larger cursor is the newer one. A decimal number, as in the messages
    /// of `/q/{queue}/client`.
    cursor: Option<String>,
}

/// What was submitted: a definition, or the body of an item.
pub(crate) struct DefinitionOrBody;

impl PartialSchema for DefinitionOrBody {
    fn schema() -> RefOr<Schema> {
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue).build();
        let either = AnyOfBuilder::new().item(Ref::from_schema_name("Definition")).item(any);
        either
            .description(Some(
                "The definition as it was submitted. For an item of the task-queue API it is the item's body, any JSON.",
            ))
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
    /// The value for `since` in the next request.
    next_cursor: i64,
    /// True when no further line will come.
    is_final: bool,
}

/// The outcome of a cancel.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Cancelled {
    /// The job was cancelled in the namespace.
    Done(CancelDone),
    /// There was nothing to cancel.
    Already(Message),
}

/// The job was cancelled in the namespace.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CancelDone {
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
    /// `no-job`, if there is no such job.
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
    /// A sentence, if it is not stored.
    #[schema(nullable = false)]
    error: Option<String>,
    /// `no-file`, if it is not stored.
    #[schema(nullable = false)]
    code: Option<ErrorCode>,
}

/// Where a file can be put or fetched.
#[derive(ToSchema)]
pub(crate) struct FileAddress {
    /// The address.
    url: String,
    /// The data ref of the file for a definition.
    r#ref: protocol::DataRef,
}

/// What a queue's owner wants.
#[derive(ToSchema)]
pub(crate) struct ShownPolicy {
    /// The parts. Tokens and secrets are not shown, only whether they are set.
    data: PolicyParts,
}

/// The parts of a policy; null for parts that are not set.
#[derive(ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether a token is set")]
#[schema(rename_all = "camelCase")]
pub(crate) struct PolicyParts {
    /// Whether workers get no jobs.
    paused: bool,
    /// Whether changes of the policy require a token, which gives every other permission too.
    owner_token: bool,
    /// Whether the worker API requires a token.
    worker_token: bool,
    /// Whether submitting and cancelling require a token.
    submit_token: bool,
    /// Whether reading requires a token.
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
