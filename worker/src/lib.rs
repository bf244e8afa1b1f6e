//! The worker: claims jobs of its queues over HTTP, runs each in a container, and hands back logs, outputs and a result.
//!
//! In: a [`Config`] and a [`Shutdown`]. Out: [`run()`] ends when the worker has drained. It knows the API's address and a queue's
//! name, nothing else: no database, no inbound port.
//!
//! # Map
//!
//! - `config`, `error`, `shutdown`: the public door.
//! - `session`: claim loop, heartbeat loop, drain; `capacity` and `holds` are what they share. `queues`: what one worker serves.
//! - `status`, `stats`, `health`: how the worker is, and who may ask. `dockerd`: an engine of its own.
//! - `run`: one claimed job, from definition to finish request; knows nothing of claims and leases.
//! - `log`: a container's bytes to lines, lines to numbered chunks, with back pressure.
//! - `isolation`: how far jobs are kept from the machine: stance, network and its rules, secrets.
//! - `executor`: what runs jobs: containers or scripts. `executor/docker/` alone names the engine's client.
//! - `image`: references, and one pull or build of an image at a time. `build`: from a definition's build block to an image.
//! - `owner`: whose the things on a machine are, and whether their worker is dead for certain.
//! - `guard`: the client for URLs that strangers chose. `proxy`: the way out that the environment names.
//! - `probe`: proof that jobs can run here, before the first is claimed; `examine` for those who only ask. `shut`: what a container wrote, for a worker that is not root.
//! - `care`: the machine's disk: images, caches, and no claims without room. `content`: inputs that are kept.
//! - `api`: the HTTP calls. `data_directory` and `spool`: what is on disk.
//!
//! # Invariants
//!
//! - Every write to the API carries the claim's epoch; a refused epoch ends the job here and nothing is finished.
//! - A finish is on disk or with the API before its container goes, and the claim stays in the heartbeat until the API has taken it.
//! - No container outlives its job: it is removed on every path. What a crash leaves is found by label at the next start, which goes
//!   on with the jobs that run and removes the rest.
//! - Everything that grows with what a job does is bounded: log lines and bytes, buffered chunks, output files, inline bytes.
//! - A queue's name is in no log line.

mod api;
mod backoff;
mod build;
mod capacity;
mod care;
mod config;
mod content;
mod data_directory;
mod dockerd;
mod ends;
mod error;
mod examine;
mod executor;
mod gpus;
mod guard;
mod health;
mod holds;
mod image;
mod isolation;
mod log;
mod owner;
mod probe;
mod proxy;
mod queues;
mod run;
mod session;
mod shut;
mod shutdown;
mod spool;
mod stats;
mod status;
mod whole_file;

pub use api::sentence_of;
pub use care::{CareConfig, InvalidMark, Mark};
pub use config::{Config, DockerLogin, ExecutorKind, Life};
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
