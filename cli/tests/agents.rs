//! What agents get: `web/tests/agents.test.mjs` speaks to the real API, worker and program by the protocol's own client, which is
//! Node's.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use support::node;

#[test]
fn agents_run_jobs_over_every_way_in() {
    // Node 20 has sockets behind a flag.
    node::run(&["--experimental-websocket"], "agents", "");
}
