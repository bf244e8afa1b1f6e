//! The types that both ends of every Asman connection share, and the glossary of the project.
//!
//! This crate has typed names ([`QueueName`], [`JobId`]), job definitions and data refs, canonical JSON and the job id, durations and
//! sizes, every message of the client socket, every body of the worker API, and every limit in one table ([`limits`]).
//!
//! It has no I/O, no async code, no SQL and no clock. A value of its types has been checked, so its receiver need not check it again.
//!
//! # Glossary
//!
//! The project uses one word for one idea, from SQL to flags to pages.
//!
//! ## Jobs
//!
//! - **queue**: a line of jobs. Its name is also its key: everyone who knows it may use the queue. No log contains it, and [`QueueName`]
//!   prints as `QueueName(..)`.
//! - **qid**: the hash of a queue's name ([`Qid`]), which the database uses in place of the name.
//! - **policy**: the settings that a queue's owner stores: pause, tokens, limits, retention.
//! - **job**: one definition in one queue. Its key is the queue and the job id.
//! - **definition**: what to run. It never changes, and the **job id** is the hash of its canonical JSON.
//! - **build block**: the part of a definition that says how to build an image.
//! - **data ref**: a value in a definition, or where to get it ([`DataRef`]).
//! - **input**, **config file**, **output**: a file that a job gets in `/inputs`, one that it gets at any path, and one that it leaves in
//!   `/outputs`.
//! - **submit**: a client puts a definition into a queue. A job that has a result is not run again, unless the client asks for it.
//! - **true id**: a hash of a definition's text, by today's rule or by the one of earlier clients. Both stand for one job. A job may also have
//!   an id that its client chose.
//! - **control**: wishes of the submitter that are not part of the job id ([`Control`]).
//! - **namespace**: a name in a queue under which clients submit jobs. **hold**: the tie between a namespace and a job. A job ends when
//!   its last hold is cancelled, and a namespace other than `_` holds one live job at a time.
//! - **cancel**: a client ends the hold of a namespace on a job.
//! - **clear**: a client deletes the result of a job.
//! - **copy**: a client submits the definition of a job to another queue.
//! - **state**: queued, running or finished ([`JobState`]). **event**: one change of a job's state, stored in order.
//! - **hint**: a notification that something in a queue changed. It contains only the queue and the kind of change; its receiver
//!   reads the database.
//! - **item**: an entry of the task-queue API: an id with any JSON. Only some items are jobs.
//!
//! ## Workers
//!
//! - **worker**: a process that claims jobs and runs them.
//! - **capacity**: the cpus, gpus, memory and number of jobs that a worker offers. A job's **share** is the part that it uses.
//! - **tag**: a word that an author puts on a job; only workers with this tag get the job.
//! - **label**: what a worker must have to get a job: a tag, or a need that follows from the definition ([`labels`]). Labels of an engine's
//!   objects and of metrics are terms of Docker and Prometheus.
//! - **class**: all jobs with the same labels and needs. The database looks for work class by class.
//! - **claim**: one worker's right to run one job. Every write of the worker has the claim's **epoch**, and each later claim has a
//!   higher epoch.
//! - **run**: one execution of a job in an engine, as a container or as processes.
//! - **attempt**: how many times a job was claimed, this time included.
//! - **heartbeat**: a worker's regular message that it lives, with the claims that it has.
//! - **lease**: how long a claim lasts without a heartbeat.
//! - **lost**: a claim whose lease ran out. The job is queued again.
//! - **orphan**: a claim that the API stored and whose worker never got the answer. The API releases it.
//! - **adoption**: a worker that starts again continues the containers that its earlier process left running.
//! - **release**: a worker gives a claim back. The job is queued again.
//! - **revoked**: seen from the worker, a claim that the API has ended, because its job was cancelled, replaced or deleted, or because it
//!   was lost.
//! - **stop**: to end a container, a build or a process. **grace**: the time between the stop signal and the kill.
//! - **drain**: before a worker ends, it claims no more jobs and lets the running ones finish.
//! - **fair share**: how a worker divides its capacity among its queues.
//! - **executor**: what a worker runs jobs with: containers or plain processes (`--executor`). **engine**: the code in the worker for one
//!   executor, and the program behind it, such as Docker.
//! - **sandbox**: a prepared network of one container, which a job's container joins.
//! - **stance**: trusted or untrusted, which decides how strictly a worker isolates jobs.
//! - **problem**, **fix**: what is wrong, and what a person can do about it. Every error sentence has both if there is a fix.
//!
//! ## Ends
//!
//! - **end**: how a job ended: a [`Reason`], and for a failure an **end code** ([`EndCode`]) and a **fault** ([`EndFault`]).
//! - **fault**: who must act: the job's author, the machine, the network, the settings or the cluster, which here means the API with its
//!   database and storage.
//! - **result**: what is stored of a finished job: exit code, outputs, error, last log lines ([`JobResult`]).
//! - **finish**: a worker's last message about a job, with its end and its result.
//! - **missing output**: a file in `/outputs` that is not in the result ([`Missing`]).
//! - **error code**: why the API refused a request ([`ErrorCode`]).
//! - **timeout**: the longest wait for something. **limit**, **bound**: the most that something may use or contain.

pub mod address;
mod build_block;
mod canonical;
pub mod command_line;
mod data_url;
mod definition;
mod duplicate;
mod duration;
mod end_code;
mod error_code;
mod image;
mod invalid_definition;
mod item;
mod item_json;
mod job;
mod json_error;
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
pub use data_url::{InvalidDataUrl, data_url_bytes, decode_base64};
pub use definition::{Build, Callback, Callbacks, Control, DataRef, DataRefType, Definition, EnqueueJob, Requirements};
pub use duration::{Duration, InvalidDuration, format_duration, parse_duration};
pub use end_code::{END_CODE_BYTES_MAX, EndCode, EndFault, UnknownEnd, is_end_code};
pub use error_code::{Coded, ErrorCode};
pub use image::{DEFAULT_REGISTRY, ImageReference, ImageVersion, InvalidImage, is_registry};
pub use invalid_definition::InvalidDefinition;
pub use item::{InvalidItemId, Item, Stage, check_item_id};
pub use item_json::{InvalidItemJson, ItemJson, ItemJsonEntry};
pub use job::{Finished, HistoryEntry, Job, JobResult, JobState, OmittedLines, Reason, WorkerInfo};
pub use json_error::read_object;
pub use log::{LogLine, Step};
pub use login::{SplitDefinition, split_login, with_login, without_login};
pub use message::{
    ClearMessage, ClientMessage, DefinitionsMessage, JobQuery, Jobs, JobsMessage, LogsMessage, ServerMessage, StateChange,
    StateChangeValue, StateCursor, WorkersMessage,
};
pub use missing::{Missing, MissingCode, MissingFor, MissingOutputs};
pub use name::{InvalidName, JobId, Namespace, Qid, QueueName, WorkerId};
pub use parsed::ParsedDefinition;
pub use path::{InvalidPath, check_config_path, check_input_path};
pub use runnable::nested_file;
pub use secret::{InvalidSecretName, check_secret_name};
pub use size::{InvalidSize, parse_size};
pub use worker_api::{
    Claim, ClaimAnswer, ClaimRequest, ClaimedJob, EndedJob, FinishRequest, Free, HeartbeatAnswer, HeartbeatRequest, LogsRequest,
    ReleaseRequest, WorkerDescription,
};
pub use worker_message::{DefinitionsRequest, JobStatusLogs, WorkerMessage, WorkerRegistration};
