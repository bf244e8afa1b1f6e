//! Tokens: how they are sent, and what every route of a queue answers without the right one.
//!
//! Told here for all routes at once, by their paths, so that none can lack it.

use serde_json::{Map, Value, json};

/// Where a queue is configured and not named.
const TASK_QUEUE: &str = "/api/v1/queue/";

/// The ways to send a token.
pub(super) fn schemes() -> Value {
    json!({
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "A token of the queue's policy, for the door in question or the owner's.",
        },
        "token": {
            "type": "apiKey", "in": "query", "name": "token",
            "description": "The same in the address, for sockets and event streams of browsers, which cannot set headers. \
                Addresses are kept in many places: send a header where you can.",
        },
    })
}

/// What an operation says of tokens.
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
        add("401", "The queue's policy asks for a token and none came along.");
        add("403", "The token does not open this door of the queue.");
        answers.sort_keys();
    }
}
