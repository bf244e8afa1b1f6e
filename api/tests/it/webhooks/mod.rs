//! Deliveries to submitters, as their receiver sees them.

mod deliveries;
mod receiver;
mod refusals;
mod retries;

use std::time::Duration;

use api::Config;
use serde_json::{Value, json};

use crate::test_api::definition;

/// Allows receivers on this machine, where those of the tests are, and makes pauses shorter than ten seconds.
fn open(config: &mut Config) {
    config.allow_private_webhooks = true;
    config.webhook_backoff = protocol::Duration(Duration::from_millis(50));
}

/// A submission with all callbacks.
fn submission(n: u32, namespace: &str, url: &str) -> Value {
    json!({"definition": definition(n), "control": {"namespace": namespace, "callbacks": {
        "queued": {"url": url, "payload": {"n": n}}, "finished": {"url": url, "payload": [n, "done"]}}}})
}
