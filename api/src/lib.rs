//! The API process: REST, sockets, events, the worker API, and the background work that needs no owner.
//!
//! Comes in: HTTP from clients and workers. Goes out: statements to PostgreSQL (through `sql`), files to the blob store, hints to
//! the other API processes. Handlers hold no SQL; the crate never runs a job and never speaks to Docker.
//!
//! # Invariants
//!
//! - Nothing here survives a restart and nothing needs to: any process answers any request, two behind one address are as one.
//! - What was acknowledged is durable: the answer goes out after the commit.
//! - Notifications are hints. Losing one costs at most the poll interval ([`Config::poll`]), never a job or a state.
//! - A queue's name appears in no log line, no metric and no notification.
//! - Every queue, buffer and body has a bound; a socket that lags gets a fresh snapshot.
//!
//! # Contents
//!
//! `routes/` one file a family of URLs · `dispatcher` claims · `hub/` hints to sockets and waiters · `notifier` hints to other
//! processes · `batcher` natural batching of writes · `maintenance` sweep and expiry · `blob/` the files of `/f`.

mod app;
mod batcher;
mod blob;
mod config;
mod dispatcher;
mod error;
mod extract;
mod hint;
mod hub;
mod maintenance;
mod metrics;
mod notifier;
mod routes;
mod serve;

pub use blob::{Done, S3Config, SetupStep, check_blobs, set_up_blobs};
pub use config::Config;
pub use serve::{Error, serve};
