//! Tokens: how they are sent, and what every route of a queue answers without the right token.
//!
//! They are added here to all routes at once, by path, so that no route lacks them.

use serde_json::{Map, Value, json};

/// Start of the paths that do not name a queue, because the configuration names it.
const TASK_QUEUE: &str = "/api/v1/queue/";

/// The ways to send a token.
pub(super) fn schemes() -> Value {
    json!({
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "A token of the queue's policy: the one for this permission, or the owner's.",
        },
        "token": {
            "type": "apiKey", "in": "query", "name": "token",
            "description": "The same in the address, for sockets and event streams of browsers, which cannot set headers. \
                Addresses end up in logs and histories: send a header if you can.",
        },
    })
}

/// Adds tokens to the description of an operation.
pub(super) fn tell(path: &str, operation: &mut Map<String, Value>) {
    let is_of_queue = path.contains("{queue}") || path.starts_with(TASK_QUEUE) || path == "/j/{id}/copy";
    if !is_of_queue && !path.starts_with("/j/{id}") {
        return;
    }
    operation.insert("security".to_owned(), json!([{}, {"bearer": []}, {"token": []}]));
    if !is_of_queue {
        return;
    }
    let schema = if path.contains(TASK_QUEUE) { "Detail" } else { "Sentence" };
    if let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        let mut add = |status: &str, description: &str| {
            let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
            let answer = json!({"description": description, "content": {"application/json": {"schema": schema}}});
            answers.insert(status.to_owned(), answer);
        };
        add("401", "The queue's policy requires a token, and the request has none.");
        add("403", "The token does not give this permission on the queue.");
        answers.sort_keys();
    }
}
