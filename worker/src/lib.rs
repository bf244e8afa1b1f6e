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
//! - `executor`: containers. `executor/docker.rs` is the one file that names the engine's client.
//! - `api`: the HTTP calls. `data_directory` and `spool`: what is on disk.
//!
//! # Invariants
//!
//! - Every write to the API carries the claim's epoch; a refused epoch ends the job here and nothing is finished.
//! - A finish is on disk before it is sent, and the claim stays in the heartbeat until the API has taken it.
//! - No container outlives its job: it is removed on every path, and what a crash leaves is found by label at the next start.
//! - Everything that grows with what a job does is bounded: log lines and bytes, buffered chunks, output files, inline bytes.
//! - A queue's name is in no log line.

mod api;
mod backoff;
mod capacity;
mod config;
mod data_directory;
mod dockerd;
mod error;
mod executor;
mod health;
mod holds;
mod image;
mod log;
mod queues;
mod run;
mod session;
mod shutdown;
mod spool;
mod stats;
mod status;

pub use config::{Config, Life};
pub use dockerd::Dockerd;
pub use error::Error;
pub use executor::{docker_version, import_image};
pub use queues::{InvalidShare, QueueShare, Queues};
pub use session::run;
pub use shutdown::Shutdown;
