//! The words both ends of every Asman wire share.
//!
//! What it holds: typed names ([`QueueName`], [`JobId`]), job definitions and data refs, the canonical JSON that a job id is
//! the hash of, durations and sizes as people write them, every message of the client socket, every body of the worker API,
//! and every limit in one table ([`limits`]).
//!
//! What it never does: no I/O, no async, no SQL, no clock. A value that exists has been checked; whoever receives one need not
//! check it again.
//!
//! # Glossary
//!
//! - **job**: one container run asked of one queue, keyed by (queue, job id).
//! - **queue**: a name that is also the secret to reach it. Never logged; [`QueueName`] prints as `QueueName(..)`.
//! - **definition**: what to run. Immutable; the job id is the hash of its canonical JSON.
//! - **worker**: a process that claims jobs of a queue and runs them.
//! - **claim**: one worker's right to run one job, fenced by an **epoch** that every later claim of any job exceeds.
//! - **lease**: the time a claim lives without a heartbeat of its worker.
//! - **attempt**: how many times the job has been claimed, this one included.
//! - **namespace**: a label that holds a job alive; the job ends when the last one lets go.
//! - **result**, **output**: the document a finished job leaves, and one file in it.
//! - **event**: one transition of one job, kept in order.

pub mod address;
mod build_block;
mod canonical;
pub mod command_line;
mod complaint;
mod definition;
mod duplicate;
mod duration;
mod end_code;
mod error_code;
mod image;
mod item;
mod item_json;
mod job;
pub mod labels;
pub mod limits;
mod log;
mod login;
mod message;
mod missing;
mod name;
mod parsed;
mod path;
pub mod report;
mod runnable;
#[cfg(feature = "openapi")]
mod schema;
mod secret;
mod size;
mod worker_api;
mod worker_message;

pub use build_block::{BuildBlock, InvalidBuild, check_dockerfile};
pub use canonical::{canonical_json, is_sha256, job_id_of, old_job_id_of, sha256_hex};
pub use complaint::read_object;
pub use definition::{Build, Callback, Callbacks, Control, DataRef, DataRefType, Definition, EnqueueJob, Requirements};
pub use duration::{Duration, InvalidDuration, format_duration, parse_duration};
pub use end_code::{END_CODE_BYTES_MAX, EndCode, EndFault, UnknownEnd, is_end_code};
pub use error_code::{Coded, ErrorCode};
pub use image::{DEFAULT_REGISTRY, ImageReference, ImageVersion, InvalidImage, is_registry};
pub use item::{InvalidItemId, Item, Stage, check_item_id};
pub use item_json::{InvalidItemJson, ItemJson, ItemJsonEntry};
pub use job::{Finished, HistoryEntry, Job, JobResult, JobState, OmittedLines, Reason, State, WorkerInfo};
pub use log::{LogLine, Step};
pub use login::{SplitDefinition, split_login, with_login, without_login};
pub use message::{
    ClearMessage, ClientMessage, DefinitionsMessage, JobQuery, Jobs, JobsMessage, LogsMessage, ServerMessage, StateChange,
    StateChangeValue, WorkersMessage,
};
pub use missing::{Missing, MissingCode, MissingFor, MissingOutputs};
pub use name::{InvalidName, JobId, Namespace, Qid, QueueName, WorkerId};
pub use parsed::{InvalidDefinition, ParsedDefinition};
pub use path::{InvalidPath, check_config_path, check_input_path};
pub use runnable::{nested_file, standard_base64};
pub use secret::{InvalidSecretName, check_secret_name};
pub use size::{InvalidSize, parse_size};
pub use worker_api::{
    Claim, ClaimAnswer, ClaimRequest, EndedJob, FinishRequest, Free, HeartbeatAnswer, HeartbeatRequest, HeldJob, LogsRequest,
    ReleaseRequest, WorkerDescription,
};
pub use worker_message::{DefinitionsRequest, JobStatusLogs, WorkerMessage, WorkerRegistration};
