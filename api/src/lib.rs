//! The API process: REST, sockets, events, the worker API, and the background work that any of the processes can do.
//!
//! Comes in: HTTP from clients and workers. Goes out: statements to PostgreSQL (through `sql`), files to the blob store, hints to
//! the other API processes. Handlers contain no SQL. The crate never runs a job and never talks to Docker.
//!
//! # Invariants
//!
//! - Nothing here survives a restart, and nothing needs to: any process answers any request, and two processes behind one address
//!   behave as one.
//! - Acknowledged changes are durable: the answer is sent after the commit.
//! - Notifications are hints. Losing one costs at most the poll interval ([`Config::poll`]), never a job or a state.
//! - A queue's name appears in no log line, no metric and no notification.
//! - Every queue, buffer and body has a bound; a socket that lags gets a fresh snapshot.
//!
//! # Contents
//!
//! `background` the tasks that a process needs · `connections` accepting, within bounds · `routes/` one file a family of URLs ·
//! `access/` who may do what with a queue · `limits/` how much of it · `dispatcher` claims · `hub/` hints to sockets and waiters
//! · `notifier` hints to other processes · `batcher` natural batching of writes · `maintenance` sweep and expiry · `blob/` the
//! files of `/f` · `webhook/` deliveries to submitters · `guard` requests to addresses that users gave · `mcp/`
//! tools and resources for agents · `own_address` the API's address for clients · `local` access to an API for one machine ·
//! `request` an id for every request · `description/` the document of `/openapi.json` and its page.

mod access;
mod app;
mod background;
mod batcher;
mod blob;
mod client_page;
mod compat;
mod config;
mod connections;
mod consent;
mod description;
mod dispatcher;
mod encoding;
mod error;
mod extract;
mod guard;
mod hint;
mod hub;
mod large;
mod limits;
mod listen;
mod local;
mod maintenance;
mod mcp;
mod metrics;
mod notifier;
mod own_address;
mod program;
mod report;
mod request;
mod routes;
mod serve;
mod webhook;

pub use blob::{Done, S3Config, SetupStep, check_blobs, set_up_blobs};
pub use config::Config;
pub use consent::{Consent, ConsentError, ConsentFile, ORIGINS_MAX};
pub use limits::{Count, Idle, Limits, Rate};
pub use local::{LocalAccess, parse_origin};
pub use serve::{Error, serve};
