//! The worker: claims jobs of its queues over HTTP, runs each in a container, and sends logs, outputs and a result to the API.
//!
//! In: a [`Config`] and a [`Shutdown`]. Out: [`run()`] ends when the worker has drained. A worker needs only the API's address and a
//! queue's name: no database, no inbound port. The glossary in [`protocol`] explains the words.
//!
//! # Map
//!
//! - `config`, `error`, `shutdown`: the public types.
//! - `session`: claim loop, heartbeats, drain. They share `capacity` (the ledger) and `claims` (the held claims). `queues`: the queues of a
//!   worker.
//! - `status`, `stats`, `health`: the worker's state, its counts, and the server that reports them. `dockerd`: an engine that the worker
//!   starts itself.
//! - `run`: one claimed job, from its definition to its finish request. `ends`: what each failure means.
//! - `log`: a container's bytes to lines, lines to numbered chunks, with back pressure.
//! - `isolation`: stance, network with its firewall rules, sandboxes, secrets.
//! - `executor`: runs containers or scripts. Only `executor/docker/` uses the engine's client.
//! - `image`: pulls and logins. `build`: from a definition's build block to an image.
//! - `owner`: which worker owns an object on the machine, and whether that worker is certainly dead.
//! - `guard`: the client for URLs that strangers chose. `proxy`: the proxies of the environment.
//! - `probe`: checks that jobs can run here before the first is claimed. `examine`: the same checks for `asman doctor`.
//! - `folder_access`: access to files that a container wrote, for a worker that is not root.
//! - `disk`: room on the machine's disks, images, job caches. `content`: the cache of inputs.
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
mod build;
mod capacity;
mod claims;
mod config;
mod content;
mod data_directory;
mod disk;
mod dockerd;
mod ends;
mod error;
mod examine;
mod executor;
mod folder_access;
mod gpus;
mod guard;
mod health;
mod image;
mod isolation;
mod log;
mod owner;
mod probe;
mod proxy;
mod queues;
mod run;
mod session;
mod shutdown;
mod spool;
mod stats;
mod status;

pub use api::sentence_of;
pub use config::{Config, DockerLogin, ExecutorKind, Life};
pub use disk::{DiskConfig, InvalidMark, Mark};
pub use dockerd::Dockerd;
pub use error::Error;
pub use examine::{Finding, Findings, examine};
pub use executor::{docker_runtimes, docker_version, import_image};
pub use gpus::{Gpus, InvalidGpus};
pub use isolation::{
    Destination, InvalidDestination, InvalidRegistryHost, InvalidSecret, IsolationConfig, Network, RegistryHost, SecretSource,
};
pub use probe::Need;
pub use proxy::Proxies;
pub use queues::{InvalidShare, QueueShare, Queues};
pub use run::Init;
pub use session::run;
pub use shutdown::Shutdown;
