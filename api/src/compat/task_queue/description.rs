//! The part of the document about the task-queue API, made from [`ROUTES`].

use serde_json::{Map, Value, json};

use super::table::{Operation, ROUTES, Route, Schemas, Takes};
use super::{MOUNT, MOUNT_OF_QUEUE};
use crate::access::Right;
use crate::description::{ALIAS, parameters_of};

/// Paths and schemas of the document.
pub(crate) struct Described {
    /// Path items by their paths.
    pub(crate) paths: Map<String, Value>,
    /// Schemas that the path items refer to.
    pub(crate) schemas: Schemas,
}

/// All routes under both mounts.
pub(crate) fn describe() -> Described {
    let mut described = Described { paths: Map::new(), schemas: Vec::new() };
    for route in &ROUTES {
        let chief = format!("{MOUNT_OF_QUEUE}/{}", route.path());
        let mut item = Map::new();
        for operation in route.operations {
            item.insert(operation.method.to_lowercase(), told(route, operation, &mut described.schemas));
        }
        described.paths.insert(format!("{MOUNT}/{}", route.path()), under_the_other_mount(&item, &chief));
        described.paths.insert(chief, item.into());
    }
    described
}

/// The same operations for paths without a queue.
fn under_the_other_mount(item: &Map<String, Value>, chief: &str) -> Value {
    let mut item = item.clone();
    for operation in item.values_mut() {
        operation[ALIAS] = chief.into();
        if let Some(parameters) = operation["parameters"].as_array_mut() {
            parameters.retain(|parameter| parameter["name"] != "queue");
        }
    }
    item.into()
}

fn told(route: &Route, operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut told = json!({
        "tags": ["task-queue"],
        "summary": operation.says,
        "parameters": parameters(route, operation),
        "responses": answers(route, operation, schemas),
    });
    if let Some(body) = &operation.body {
        let example: Value = serde_json::from_str(body.example).unwrap_or_default();
        let content = json!({"application/json": {"schema": (body.shape)(schemas), "example": example}});
        told["requestBody"] = json!({"required": body.is_required, "content": content});
    }
    told
}

fn parameters(route: &Route, operation: &Operation) -> Vec<Value> {
    let mut all = parameters_of::<crate::extract::QueuePath>();
    let (name, description, schema) = match route.takes {
        Takes::Nothing => ("", "", Value::Null),
        Takes::Stage => ("stage", "The stage.", json!({"type": "string", "enum": ["WAITING", "PROCESSING", "SUCCESS", "FAIL"]})),
        Takes::Number => ("n_items", "How many items, at most 50,000 at once.", json!({"type": "integer", "minimum": 1})),
        Takes::Id => {
            ("item_id", "Id of the item. It may contain slashes, but not at its end.", json!({"type": "string", "minLength": 1}))
        }
    };
    if !name.is_empty() {
        all.push(json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema}));
    }
    all.extend(operation.query.map(|query| query()).unwrap_or_default());
    all
}

/// The answers of an operation, and all its refusals except those about permissions, which the document adds to all routes of
/// queues.
fn answers(route: &Route, operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut answers = Map::new();
    let good = json!({"application/json": {"schema": (operation.answer)(schemas)}});
    answers.insert("200".to_owned(), json!({"description": "Done.", "content": good}));
    let is_checked = matches!(route.takes, Takes::Number | Takes::Id) || operation.body.is_some() || operation.query.is_some();
    let statuses = [400, 404].into_iter().chain(operation.refusals.iter().copied());
    let statuses = statuses.chain(is_checked.then_some(422)).chain(operation.body.is_some().then_some(413));
    for status in statuses.chain(matches!(operation.right, Right::Submit | Right::Remove).then_some(429)) {
        answers.insert(status.to_string(), refusal(status));
    }
    let plain = json!({"text/plain": {"schema": {"type": "string"}}});
    answers.insert("500".to_owned(), json!({"description": "An internal error of the server; try again.", "content": plain}));
    answers.into()
}

fn refusal(status: u16) -> Value {
    let (description, schema) = match status {
        404 => ("There is no such item or route, or no queue is configured for the paths without a queue.", "Detail"),
        409 => ("The item is not in PROCESSING, or not under this epoch.", "Detail"),
        413 => ("The request or its answer is over a limit.", "Detail"),
        422 => ("The request has the wrong form.", "Problems"),
        429 => ("Over a limit; try again after `Retry-After` seconds.", "Detail"),
        _ => ("The request breaks a rule, or names an item or a stage that does not exist.", "Detail"),
    };
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}
