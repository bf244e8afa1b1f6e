//! A private Postgres for one data directory: found, initialised, started, stopped.
//!
//! In: a data directory whose lock the caller has. Out: a [`Server`] with a URL that both sqlx and tokio-postgres
//! read. Invariants: it listens on a unix socket in a folder of mode 0700 and on no port; `fsync` stays on; it runs as an
//! unprivileged user even if this process is root; it is stopped before the lock is released.
//!
//! Bounds: 60 s to start, 30 s to stop, 10 MiB of old log.

mod account;
mod binaries;
mod cluster;
mod orphan;
mod server;
mod socket;

pub(crate) use binaries::find;
pub(crate) use server::Server;
