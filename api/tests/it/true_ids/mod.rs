//! A definition may have two true ids: by today's rule, and by that of clients up to 0.54.80. Both ids stand for one job.

mod interfaces;
mod upgrade;

use protocol::{job_id_of, old_job_id_of};
use serde_json::{Value, json};

use crate::test_api::TestApi;

/// A definition that has two ids, as do all definitions that existing clients send.
fn with_two_ids(command: &str) -> Value {
    json!({"image": "alpine:3.18.5", "command": command, "env": {}})
}

/// Both ids, first that of today's rule. They differ.
fn ids(definition: &Value) -> [String; 2] {
    let ids = [job_id_of(definition), old_job_id_of(definition)];
    assert_ne!(ids[0], ids[1]);
    ids
}

/// All routes that read a job except those of its files; the test uses them with and without the queue.
const READS: [&str; 8] = [
    "",
    "/definition.json",
    "/result.json",
    "/results.json",
    "/history.json",
    "/run-logs.json?since=0",
    "/build-logs.json?since=0",
    "/outputs/out.txt",
];

/// The answers of a route for both ids of a job, without the time of the request, which differs.
async fn read_by_both(api: &TestApi, base: &str, ids: [&str; 2], below: &str) -> [(u16, Value); 2] {
    let [new, old] = ids.map(|id| format!("{base}/{id}{below}"));
    [api.get(&new).await, api.get(&old).await].map(|(status, mut body)| {
        if let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) {
            data.remove("cursor");
        }
        (status, body)
    })
}
