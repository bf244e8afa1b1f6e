//! The worker: claims jobs of its queues over HTTP, runs each in a container, and sends logs, outputs and a result to the API.
//!
//! In: a [`Config`] and a [`Shutdown`]. Out: [`run()`] ends when the worker has drained. A worker needs only the API's address and a
//! queue's name: no database, no inbound port. The glossary in [`protocol`] explains the words.
//!
//! # Rooms
//!
//! Each room is a folder whose `mod.rs` says what comes in, what goes out and whose errors there are.
//!
//! - `claim`: claims jobs while there is capacity, keeps their leases, and sees each claim to its end.
//! - `run`: one claimed job, from its definition to its finish request: inputs, log, outputs.
//! - `engine`: what runs jobs: containers or scripts, their images and builds, their confinement.
//! - `disk`: room on the machine's disks, caches, and the images to keep.
//! - `network`: what jobs may reach, and the client for URLs that strangers chose.
//!
//! # Beside the rooms
//!
//! - `config`, `error`, `shutdown`, `secrets`: the public types. `examine`: the checks of a start, for `asman doctor`.
//! - `status`, `stats`, `health`: the worker's state, its counts, and the server that reports them.
//! - `ends`: what each failure means.
//! - `owner`: which worker owns an object on the machine, and whether that worker is certainly dead.
//! - `api`: the HTTP calls. `data_directory`, `spool`, `atomic_file`: files on disk.
//!
//! # Invariants
//!
//! - Every write to the API has the claim's epoch. When the API refuses the epoch, the job stops here and sends no finish.
//! - A finish is on disk or with the API before its container is removed. The claim stays in the heartbeat until the API has taken the
//!   finish.
//! - No container outlives its job: it is removed on every path. The next start after a crash finds containers by their label, continues
//!   the jobs that run and removes the rest.
//! - Everything that a job can make larger has a bound: log lines and bytes, buffered chunks, output files, inline bytes.
//! - No log line contains a queue's name.

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
mod network;
mod owner;
mod run;
mod secrets;
mod shutdown;
mod spool;
mod stats;
mod status;

pub use api::sentence_of;
pub use claim::queues::{InvalidShare, QueueShare, Queues};
pub use claim::run;
pub use config::{Config, DockerLogin, ExecutorKind, Life};
pub use disk::{DiskConfig, InvalidMark, Mark};
pub use engine::{Dockerd, Gpus, Init, InvalidGpus, IsolationConfig, Need, Network};
pub use engine::{docker_runtimes, docker_version, import_image};
pub use error::Error;
pub use examine::{Finding, Findings, examine};
pub use network::{Destination, InvalidDestination, InvalidRegistryHost, Proxies, RegistryHost};
pub use secrets::{InvalidSecret, SecretSource};
pub use shutdown::Shutdown;
