//! Makes the document that is sent from what the macros collected. Adds texts, ids and shared schemas.

use serde_json::{Map, Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::OpenApi;

use super::permissions;
use super::refusals::{Detail, FormProblem, Problems, Sentence, ServerFailure};
use crate::compat::task_queue::Described;

const ABOUT: &str = "Compute queues on PostgreSQL. Anyone who knows a queue's name can send it a container job. Any worker that \
    serves that name runs it, streams its log and returns its output files.\n\n\
    Times are epoch milliseconds. A queue is open to everyone who knows its name, unless its policy requires a token: send it as \
    `Authorization: Bearer ...`, or as `?token=...` if you cannot set a header. A refused request is answered with one sentence for \
    people and one code for programs, `{\"error\": \"...\", \"code\": \"...\"}`; codes never change, see `ErrorCode`. An answer from \
    500 up says `{\"error\": \"internal error\", \"id\": \"...\"}`, and has a code and may be tried again when it is 503. A \
    method that a path does not support is answered with 405, an unknown path with 404. Any origin may call every route; no cookies are used. \
    Members of a body that are not described here are ignored.";

const TAGS: [(&str, &str); 8] = [
    ("clients", "Send jobs, list them, cancel them, watch them."),
    ("jobs", "One job: its definition, result, files, log and history."),
    ("files", "Inputs and outputs too large for JSON."),
    ("workers", "Claim jobs, keep them alive, log, finish. Every call may be repeated; every write carries the claim's epoch."),
    (
        "policy",
        "The settings of a queue's owner: tokens, limits, a pause. A queue without a policy is open to everyone who knows its name.",
    ),
    (
        "agents",
        "The queue for agents, by the Model Context Protocol: the same jobs through tools and resources. The call or the address \
         names the queue. A token is sent as with every other route.",
    ),
    (
        "task-queue",
        "Items with any JSON as their body, for clients that claim them without a worker. A refused request is answered with \
         `{\"detail\": ..., \"code\": ...}` here, and a failure of ours with plain text.",
    ),
    ("operation", "Health, metrics and this description."),
];

/// The document that is sent.
pub(super) fn of(collected: OpenApi, task_queue: Described) -> Value {
    let mut document = serde_json::to_value(collected).unwrap_or_default();
    document["info"] = json!({
        "title": "Asman", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    document["servers"] = json!([{"url": "/"}]);
    document["tags"] = TAGS.map(|(name, description)| json!({"name": name, "description": description})).into();
    let schemas = &mut document["components"]["schemas"];
    schemas["ErrorCode"] = super::codes::schema();
    schemas["Sentence"] = json!(Sentence::schema());
    schemas["Failure"] = json!(ServerFailure::schema());
    schemas["Detail"] = json!(Detail::schema());
    schemas["Problem"] = json!(FormProblem::schema());
    schemas["Problems"] = json!(Problems::schema());
    task_queue.schemas.into_iter().for_each(|(name, schema)| schemas[name] = json!(schema));
    // The macro does not describe serde's tag of a struct, so it is added here.
    schemas["Finished"]["properties"]["type"] = json!({"type": "string", "enum": ["Finished"], "description": "Always that."});
    document["components"]["securitySchemes"] = permissions::schemes();
    if let Some(paths) = document["paths"].as_object_mut() {
        let described = std::mem::take(paths).into_iter().map(|(path, item)| (plain(&path), item));
        paths.extend(described);
        paths.extend(task_queue.paths);
        paths.iter_mut().for_each(|(path, item)| describe(path, item));
    }
    document
}

/// A path in the form of the document, which has no wildcards.
pub(super) fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

fn describe(path: &str, item: &mut Value) {
    for (method, operation) in item.as_object_mut().into_iter().flatten() {
        let Some(operation) = operation.as_object_mut() else { continue };
        operation.insert("operationId".to_owned(), operation_id(method, path).into());
        let text = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default();
        let (summary, description) = words(&format!("{}\n{}", text("summary"), text("description")));
        set_text(operation, "summary", summary);
        set_text(operation, "description", description);
        if path.starts_with("/{queue}/") {
            reserve(operation);
        }
        permissions::tell(path, operation);
    }
}

/// Excludes three names from the queues of a path below the root, where they belong to our own routes. Queues with these names
/// are found only below `/q`.
fn reserve(operation: &mut Map<String, Value>) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for queue in parameters.into_iter().flatten().filter(|one| one["name"] == "queue") {
        queue["schema"]["not"] = json!({"enum": ["f", "j", "q"]});
    }
}

fn set_text(operation: &mut Map<String, Value>, key: &str, text: String) {
    if text.is_empty() {
        operation.shift_remove(key);
    } else {
        operation.insert(key.to_owned(), text.into());
    }
}

/// The operation's id, made of its method and path: `getQByQueueJ`.
fn operation_id(method: &str, path: &str) -> String {
    let mut id = method.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let (by, name) = part.strip_prefix('{').map_or(("", part), |name| ("By", name.trim_end_matches('}')));
        id += by;
        name.split(|c: char| !c.is_ascii_alphanumeric()).for_each(|word| id += &capital(word));
    }
    id
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The summary is the first sentence of a handler's comment after its routes. The description is the rest.
fn words(comment: &str) -> (String, String) {
    let comment = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = match comment.split_once("`: ") {
        Some((routes, said)) if routes.starts_with('`') => capital(said),
        _ => comment,
    };
    match said.split_once(". ") {
        Some((first, rest)) => (first.to_owned(), rest.to_owned()),
        None => (said.trim_end_matches('.').to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handlers_comment_gives_summary_and_description() {
        let comment = "`POST /q/:queue`, `/q/:queue/j`: queue one job. Acknowledged means\ndurable; `x: y`.";
        assert_eq!(words(comment), ("Queue one job".to_owned(), "Acknowledged means durable; `x: y`.".to_owned()));
        assert_eq!(words("Queue `a`: it.\n"), ("Queue `a`: it".to_owned(), String::new()));
    }

    #[test]
    fn an_operations_id_is_a_word_of_every_language() {
        assert_eq!(operation_id("get", "/q/{queue}/j/{id}/build-logs.json"), "getQByQueueJByIdBuildLogsJson");
    }
}
