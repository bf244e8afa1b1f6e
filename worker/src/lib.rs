//! The worker: claims jobs of its queues over HTTP, runs each in a container, and sends logs, outputs and a result to the API.
//!
//! In: a [`Config`] and a [`Shutdown`]. Out: [`run()`] ends when the worker has drained. A worker needs only the API's address and a
//! queue's name: no database, no inbound port. The glossary in [`protocol`] explains the words.
//!
//! # Rooms
//!
//! Each room is a folder. Its `mod.rs` describes what comes in, what goes out and which errors there are. A room uses only rooms below it.
//!
//! ```text
//!        start          opens everything as the settings say
//!          |
//!        claim          claims jobs while there is capacity, keeps their leases, sees each claim to its end
//!          |
//!         run           one claimed job, from its definition to its finish request: inputs, log, outputs
//!          |
//!        engine         what runs jobs: containers or scripts, their images and builds, their confinement
//!        /    \
//!    disk    network    room on the disks and caches; what jobs may reach, and URLs that strangers chose
//! ```
//!
//! # Beside the rooms
//!
//! - Above them: `start`, `config`, `health` (the server that reports the worker's state), `examine` (the checks of a start, for
//!   `asman doctor`).
//! - Below them: `api` and `answer` (the HTTP calls and what an answer means), `ends` (why a job has no result, and what the worker does
//!   then), `data_directory`, `spool` and `atomic_file` (files on disk), `owner` and `labels` (which worker owns an object on the machine),
//!   `status` and `stats` (the worker's state and its counts), `error`, `secrets`, `shutdown`, `backoff`.
//!
//! # Invariants
//!
//! - Every write to the API has the claim's epoch. When the API refuses the epoch, the worker stops the job and sends no finish.
//! - A finish is on disk, or the API has it, before the worker removes the job's container. The claim stays in the heartbeat until the API
//!   has taken the finish.
//! - A container does not outlive its job: the worker removes it on every path. The next start after a crash finds containers by their
//!   label, continues the jobs that run and removes the rest.
//! - Everything that a job can make larger has a bound: log lines and bytes, buffered chunks, output files, inline bytes.
//! - No log line contains a queue's name.

mod answer;
mod api;
mod atomic_file;
mod backoff;
mod claim;
mod config;
mod data_directory;
mod disk;
mod ends;
mod engine;
mod error;
mod examine;
mod health;
mod labels;
mod network;
mod owner;
mod run;
mod secrets;
mod shutdown;
mod spool;
mod start;
mod stats;
mod status;

pub use answer::sentence_of;
pub use claim::queues::{InvalidShare, QueueShare, Queues};
pub use config::{Config, ExecutorKind, Life};
pub use disk::{DiskConfig, InvalidMark, Mark};
pub use engine::{DockerLogin, Dockerd, Gpus, ImageConfig, Init, InvalidGpus, IsolationConfig, Need, Network};
pub use engine::{engine_runtimes, engine_version, import_image};
pub use error::Error;
pub use examine::{Finding, Findings, examine};
pub use network::{Destination, InvalidDestination, InvalidRegistryHost, Proxies, RegistryHost};
pub use secrets::{InvalidSecret, SecretSource};
pub use shutdown::Shutdown;
pub use start::{run, start_docker};
