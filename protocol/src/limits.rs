//! Every bound of the wire and of the product, in one table.
//!
//! A bound that a deployment may want to move is a flag whose default is the constant here.

use std::time::Duration;

/// Most bytes of one request body with a definition in it: larger inputs go through `/f`.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most bytes of one definition's text.
pub const DEFINITION_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a finish request: inline outputs and the error, without logs.
pub const RESULT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most bytes of one WebSocket message from a client.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of one WebSocket message from a worker: a result with the whole log in it.
pub const WORKER_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most bytes of a callback's URL.
pub const CALLBACK_URL_BYTES_MAX: usize = 2048;
/// Most bytes of a callback's payload as JSON: it is stored until it is delivered.
pub const CALLBACK_PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Most characters of a queue name, a job id, a worker id or a namespace.
pub const NAME_CHARS_MAX: usize = 255;
/// Most bytes of one segment of an input or output path (`NAME_MAX` of Linux).
pub const PATH_SEGMENT_BYTES_MAX: usize = 255;
/// Most bytes of a whole input or output path.
pub const PATH_BYTES_MAX: usize = 1024;
/// Most inputs, config files or environment variables of one definition.
pub const ENTRIES_MAX: usize = 1_000;
/// Most bytes of one argument or of one variable with its name, as Linux has it: 32 pages with the NUL at the end (`MAX_ARG_STRLEN`).
pub const ARGUMENT_BYTES_MAX: usize = 131_071;
/// Most bytes of all arguments and variables of a definition with a pointer to each: 2 MiB, a quarter of the usual stack (`ARG_MAX`),
/// less what image and worker add.
pub const ARGUMENTS_BYTES_MAX: usize = 2 * 1024 * 1024 - 128 * 1024;
/// Least memory that engines start a container with.
pub const MEMORY_BYTES_MIN: u64 = 6 * 1024 * 1024;
/// Shortest time that a job may ask to run: a number below it was meant in another unit.
pub const DURATION_MIN: Duration = Duration::from_secs(1);
/// Most bytes of a path in a container (`PATH_MAX` of Linux with the NUL at the end).
pub const WORKDIR_BYTES_MAX: usize = 4_095;
/// Most tags of a job or of a worker.
pub const TAGS_MAX: usize = 32;
/// Most secrets that one definition may ask for.
pub const SECRETS_MAX: usize = 32;
/// Secrets and platforms of one worker, each.
pub const WORKER_NAMES_MAX: usize = 256;
/// Most characters of a secret's name.
pub const SECRET_NAME_CHARS_MAX: usize = 64;
/// Most namespaces that may hold one job. The tables know it too: `queued_namespaces_are_bounded`.
pub const NAMESPACES_MAX: usize = 1_000;
/// Most output files of one job.
pub const OUTPUTS_MAX: usize = 10_000;
/// Most bytes of all outputs of one job together; a sparse file counts by its length.
pub const OUTPUTS_BYTES_MAX: u64 = 100 * 1024 * 1024 * 1024;
/// Outputs that a result names for each reason why they are missing.
pub const MISSING_NAMES_MAX: usize = 10;
/// Characters of such a name.
pub const MISSING_NAME_CHARS_MAX: usize = 255;
/// Outputs and inputs up to this many bytes travel inside the JSON; larger ones through `/f`.
pub const INLINE_BYTES_MAX: usize = 200;
/// Most bytes of one object stored under `/f`.
pub const BLOB_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// A job that asks for nothing takes this many cpus: one slot, as in the existing system.
pub const CPUS_DEFAULT: f64 = 1.0;
/// Most cpus a job may ask for.
pub const CPUS_MAX: f64 = 4096.0;
/// Most gpus a job may ask for.
pub const GPUS_MAX: u32 = 1024;
/// A job without a limit of its own may run this long.
pub const DURATION_DEFAULT: Duration = Duration::from_hours(24);
/// The longest a job may ask to run.
pub const DURATION_MAX: Duration = Duration::from_hours(720);
/// Time that a claim gets on top of the run's own limit, for pull, build, inputs and outputs.
pub const SETUP_ALLOWANCE: Duration = Duration::from_hours(1);
/// Lost workers after which a job is given up: it may be the job that kills them.
pub const LOST_WORKERS_MAX: i16 = 3;
/// Releases after which a job is given up that several workers could not run, for reasons that were not its own.
pub const RELEASES_MAX: i16 = 5;
/// Longest sentence that a worker may give with the end of a job or its release; more is cut off.
pub const END_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Most jobs in one claim.
pub const CLAIM_JOBS_MAX: u32 = 256;
/// Longest wait of a claim or a heartbeat.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// A worker unseen for this long has lost its claims.
pub const LEASE: Duration = Duration::from_secs(30);
/// A worker says that it lives this often.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// Jobs that one heartbeat may name.
pub const HEARTBEAT_JOBS_MAX: usize = 4096;

/// Bytes of log text of one chunk: larger batches are split by the worker.
pub const LOG_CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Bytes of log text that are kept of the beginning of a claim's run, and of its build.
pub const LOG_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Most bytes of a Dockerfile, inline or in a context.
pub const DOCKERFILE_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of the URL of a build context.
pub const CONTEXT_URL_BYTES_MAX: usize = 2048;
/// Most build arguments.
pub const BUILD_ARGS_MAX: usize = 100;
/// Most bytes of all build arguments.
pub const BUILD_ARGS_BYTES_MAX: usize = 64 * 1024;

/// Lines that are kept of the beginning.
pub const LOG_LINES_MAX: usize = 2_000_000;
/// Bytes of log text that are kept of the end of a longer log; a line counts what lies between.
pub const LOG_TAIL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Lines that are kept of the end.
pub const LOG_TAIL_LINES_MAX: usize = 100_000;
/// Bytes of log text that the database keeps of one job, all its claims together.
pub const LOG_BYTES_STORED_MAX: usize = 48 * 1024 * 1024;
/// Bytes of log text at the end of a run that a result holds; the rest is where its `logsOmitted` says.
pub const RESULT_LOG_BYTES_MAX: usize = 512 * 1024;
/// Lines at the end of a run that a result holds.
pub const RESULT_LOG_LINES_MAX: usize = 10_000;
/// Bytes of one log line without its end; a longer one is cut into several.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;

/// Jobs that one listing or snapshot shows: running ones, then those next to run, then finished ones.
pub const LISTED_JOBS_MAX: i64 = 10_000;
/// Finished jobs stay listed this long.
pub const LISTED_FINISHED: Duration = Duration::from_mins(1);

/// Most characters of an item's id in the task-queue API. The tables know it too: `queued_job_id_length`.
pub const ITEM_ID_CHARS_MAX: usize = 1024;
/// Most bytes of an item's id: an index entry must fit its page.
pub const ITEM_ID_BYTES_MAX: usize = 2048;
/// Most bytes of one body of the task-queue API: a put of many items.
pub const ITEMS_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most items of one put or one requeue.
pub const ITEMS_PUT_MAX: usize = 100_000;
/// Most items that go to the database in one transaction.
pub const ITEMS_CHUNK_MAX: usize = 10_000;
/// Most bytes of bodies that go to the database in one transaction, and that one get claims.
pub const ITEMS_CHUNK_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most items that one get claims.
pub const ITEMS_CLAIM_MAX: i64 = 50_000;
/// Most ids that one listing of a stage gives.
pub const ITEMS_LISTED_MAX: i64 = 500_000;
/// Most entries of one page of items or events.
pub const ITEMS_PAGE_MAX: i64 = 1_000;
/// Longest lease that a claim of items may ask for.
pub const ITEM_LEASE_MAX: Duration = Duration::from_hours(720);
