//! All limits of the wire and of the product, in one table.
//!
//! A limit that a deployment may want to change is a flag, and the constant here is its default.

use std::time::Duration;

/// Most bytes of one request body with a definition in it. Larger inputs go through `/f`.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most bytes of one definition's text.
pub const DEFINITION_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a finish request, with inline outputs and the error, without logs.
pub const RESULT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most bytes of one WebSocket message from a client.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of one WebSocket message from a worker: a result with the whole log in it.
pub const WORKER_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most bytes of a callback's URL.
pub const CALLBACK_URL_BYTES_MAX: usize = 2048;
/// Most bytes of a callback's payload as JSON, because it is stored until it is delivered.
pub const CALLBACK_PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Most characters of a queue name, a job id, a worker id or a namespace.
pub const NAME_CHARS_MAX: usize = 255;
/// Most bytes of one segment of an input or output path (`NAME_MAX` of Linux).
pub const PATH_SEGMENT_BYTES_MAX: usize = 255;
/// Most bytes of a whole input or output path.
pub const PATH_BYTES_MAX: usize = 1024;
/// Most inputs, config files or environment variables of one definition.
pub const ENTRIES_MAX: usize = 1_000;
/// Most bytes of one argument or of one variable with its name: the limit of Linux, 32 pages with the NUL at the end (`MAX_ARG_STRLEN`).
pub const ARGUMENT_BYTES_MAX: usize = 131_071;
/// Most bytes of all arguments and variables of a definition, with a pointer to each: 2 MiB, a quarter of the usual stack (`ARG_MAX`),
/// minus the part for the image and the worker.
pub const ARGUMENTS_BYTES_MAX: usize = 2 * 1024 * 1024 - 128 * 1024;
/// Least memory of a container that engines start.
pub const MEMORY_BYTES_MIN: u64 = 6 * 1024 * 1024;
/// Shortest time that a job may ask for. A smaller number was probably meant in another unit.
pub const DURATION_MIN: Duration = Duration::from_secs(1);
/// Most bytes of a path in a container (`PATH_MAX` of Linux with the NUL at the end).
pub const WORKDIR_BYTES_MAX: usize = 4_095;
/// Most tags of a job or of a worker.
pub const TAGS_MAX: usize = 32;
/// Most secrets that one definition may ask for.
pub const SECRETS_MAX: usize = 32;
/// Most secrets, and most platforms, of one worker.
pub const WORKER_NAMES_MAX: usize = 256;
/// Most characters of a secret's name.
pub const SECRET_NAME_CHARS_MAX: usize = 64;
/// Most namespaces of one job. The tables have this limit too: `queued_namespaces_are_bounded`.
pub const NAMESPACES_MAX: usize = 1_000;
/// Most output files of one job.
pub const OUTPUTS_MAX: usize = 10_000;
/// Most bytes of all outputs of one job together. A sparse file counts by its length.
pub const OUTPUTS_BYTES_MAX: u64 = 100 * 1024 * 1024 * 1024;
/// Most missing outputs that a result names for each reason.
pub const MISSING_NAMES_MAX: usize = 10;
/// Most characters of such a name.
pub const MISSING_NAME_CHARS_MAX: usize = 255;
/// Outputs and inputs up to this many bytes are inside the JSON. Larger ones go through `/f`.
pub const INLINE_BYTES_MAX: usize = 200;
/// Most bytes of one object stored under `/f`.
pub const BLOB_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// Cpus of a job that does not ask for any: one slot, as in the existing system.
pub const CPUS_DEFAULT: f64 = 1.0;
/// Most cpus a job may ask for.
pub const CPUS_MAX: f64 = 4096.0;
/// Most gpus a job may ask for.
pub const GPUS_MAX: u32 = 1024;
/// Longest run of a job without a limit of its own.
pub const DURATION_DEFAULT: Duration = Duration::from_hours(24);
/// Longest run that a job may ask for.
pub const DURATION_MAX: Duration = Duration::from_hours(720);
/// Time that a claim may last beyond the limit of its run, for pull, build, inputs and outputs.
pub const SETUP_ALLOWANCE: Duration = Duration::from_hours(1);
/// A job that lost this many workers ends, because the job itself may kill them.
pub const LOST_WORKERS_MAX: i16 = 3;
/// A job that workers released this many times, for reasons that were not its fault, ends.
pub const RELEASES_MAX: i16 = 5;
/// Most bytes of a worker's sentence about the end or the release of a job. More is cut off.
pub const END_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Most jobs in one claim.
pub const CLAIM_JOBS_MAX: u32 = 256;
/// Longest wait of a claim or a heartbeat.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// A worker that sends no heartbeat for this long loses its claims.
pub const LEASE: Duration = Duration::from_secs(30);
/// Time between two heartbeats of a worker.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// Most jobs that one heartbeat may name.
pub const HEARTBEAT_JOBS_MAX: usize = 4096;

/// Most bytes of log text in one chunk. The worker splits larger batches.
pub const LOG_CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Bytes of log text that are kept from the beginning of a claim's run, and from the beginning of its build.
pub const LOG_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Most bytes of a Dockerfile, inline or in a context.
pub const DOCKERFILE_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of the URL of a build context.
pub const CONTEXT_URL_BYTES_MAX: usize = 2048;
/// Most build arguments.
pub const BUILD_ARGS_MAX: usize = 100;
/// Most bytes of all build arguments.
pub const BUILD_ARGS_BYTES_MAX: usize = 64 * 1024;

/// Lines of a log that are kept from its beginning.
pub const LOG_LINES_MAX: usize = 2_000_000;
/// Bytes of log text that are kept from the end of a longer log. An added line gives the number of lines that were left out.
pub const LOG_TAIL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Lines of a longer log that are kept from its end.
pub const LOG_TAIL_LINES_MAX: usize = 100_000;
/// Bytes of log text that the database keeps of one job, all its claims together.
pub const LOG_BYTES_STORED_MAX: usize = 48 * 1024 * 1024;
/// Bytes of log text from the end of a run that are in a result. `logsOmitted` says where the whole log is.
pub const RESULT_LOG_BYTES_MAX: usize = 512 * 1024;
/// Lines from the end of a run that are in a result.
pub const RESULT_LOG_LINES_MAX: usize = 10_000;
/// Most bytes of one log line without its end. A longer line is cut into several.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;

/// Most jobs in one listing or snapshot: running ones, then the next to run, then finished ones.
pub const LISTED_JOBS_MAX: i64 = 10_000;
/// How long listings show finished jobs.
pub const LISTED_FINISHED: Duration = Duration::from_mins(1);

/// Most characters of an item's id in the task-queue API. The tables have this limit too: `job_id_length`.
pub const ITEM_ID_CHARS_MAX: usize = 1024;
/// Most bytes of an item's id, because an index entry must fit into its page.
pub const ITEM_ID_BYTES_MAX: usize = 2048;
/// Most bytes of one body of the task-queue API: a put of many items.
pub const ITEMS_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most items of one put or one requeue.
pub const ITEMS_PUT_MAX: usize = 100_000;
/// Most items that go to the database in one transaction.
pub const ITEMS_CHUNK_MAX: usize = 10_000;
/// Most bytes of item bodies that go to the database in one transaction, and that one `get` request claims.
pub const ITEMS_CHUNK_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most items that one `get` request claims.
pub const ITEMS_CLAIM_MAX: i64 = 50_000;
/// Most ids that one listing of a stage gives.
pub const ITEMS_LISTED_MAX: i64 = 500_000;
/// Most entries of one page of items or events.
pub const ITEMS_PAGE_MAX: i64 = 1_000;
/// Longest lease that a claim of items may ask for.
pub const ITEM_LEASE_MAX: Duration = Duration::from_hours(720);
