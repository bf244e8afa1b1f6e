//! The worker against a real Docker engine and an API that is played by the test (`api.rs`).
//!
//! Every test starts a worker with a data directory of its own, and [`harness::TestWorker::drain`] checks that nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail loudly too")]

mod api;
mod ends;
mod engine;
mod files;
mod harness;
mod images;
mod life;
mod lifecycle;
mod logs;
mod queues;
