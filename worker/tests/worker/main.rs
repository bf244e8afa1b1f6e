//! Tests of the worker with a real Docker engine and a fake API (`api.rs`).
//!
//! Every test starts a worker with its own data directory, and [`harness::TestWorker::drain`] checks that nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail loudly too")]

mod adoption;
mod api;
mod archives;
mod build_bounds;
mod builds;
mod commands;
mod content;
mod contexts;
mod disk;
mod dockerfiles;
mod ends;
mod engine;
mod engine_faults;
mod executors;
mod faults;
mod files;
mod harness;
mod hostile;
mod images;
mod life;
mod lifecycle;
mod limits;
mod logins;
mod logs;
mod memory;
mod neighbours;
mod network;
mod podman;
mod programs;
mod queues;
mod registry;
mod removals;
mod repositories;
mod repository_parts;
mod rights;
mod rooms;
mod sandboxes;
mod secrets;
mod start;
mod tampering;
mod world;
