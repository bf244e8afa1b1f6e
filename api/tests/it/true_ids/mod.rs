//! A definition may have two true ids: by the rule of today, and by that of clients up to 0.54.80. Its job is one job by either.

mod interfaces;
mod upgrade;

use protocol::{job_id_of, old_job_id_of};
use serde_json::{Value, json};

use crate::test_api::TestApi;

/// Has two ids, as everything that existing clients send.
fn with_two_ids(command: &str) -> Value {
    json!({"image": "alpine:3.18.5", "command": command, "env": {}})
}

/// Both ids, which differ: that of today first.
fn ids(definition: &Value) -> [String; 2] {
    let ids = [job_id_of(definition), old_job_id_of(definition)];
    assert_ne!(ids[0], ids[1]);
    ids
}

/// All routes that read a job, with and without its queue, except its files.
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

/// What a route of a job answers by either of its ids. When it was read is left out: that is not the same.
async fn read_by_both(api: &TestApi, base: &str, ids: [&str; 2], below: &str) -> [(u16, Value); 2] {
    let [new, old] = ids.map(|id| format!("{base}/{id}{below}"));
    [api.get(&new).await, api.get(&old).await].map(|(status, mut body)| {
        if let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) {
            data.remove("cursor");
        }
        (status, body)
    })
}
