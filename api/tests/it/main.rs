//! The API through its public interfaces, HTTP and sockets; each test has its own database.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod compat;
mod definitions;
mod events;
mod flow;
mod ids;
mod invariants;
mod processes;
mod queue;
mod routes;
mod socket;
mod sql_users;
mod storage;
mod task_queue;
mod test_api;
mod thousands;
mod true_ids;
mod upgrade;
mod webhooks;
