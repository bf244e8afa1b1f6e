//! The interface for agents. `web/tests/agents.test.mjs` uses the real API, worker and program through the protocol's own client,
//! which runs in Node.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use support::node;

#[test]
fn agents_run_jobs_over_every_way_in() {
    // Node 20 has WebSockets only with this option.
    node::run(&["--experimental-websocket"], "agents", "");
}
