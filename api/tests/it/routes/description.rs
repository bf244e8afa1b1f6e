//! `/openapi.json` and `/docs`: complete, correct, and readable without other servers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::test_api::{TestApi, body_of, definition};

/// Every operation as (method, path, description).
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, told) in item.as_object().unwrap() {
            operations.push((method.clone(), path.clone(), told));
        }
    }
    operations
}

/// Calls `visit` with every `$ref` below a value.
fn each_ref(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                visit(target);
            }
            members.values().for_each(|member| each_ref(member, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| each_ref(item, visit)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_every_operation_is_told_in_full() {
    let api = TestApi::new().await;
    let response = api.fetch("/openapi.json").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let document: Value = response.json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    let known: BTreeSet<&str> = document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (method, path, told) in operations(&document) {
        let name = format!("{method} {path}");
        let summary = told["summary"].as_str().unwrap_or_else(|| panic!("{name} has no summary"));
        assert!(!summary.is_empty() && !summary.starts_with('`') && summary.len() < 120, "{name}: {summary}");
        let statuses: Vec<&String> = told["responses"].as_object().unwrap().keys().collect();
        assert!(statuses.iter().any(|status| status.starts_with(['2', '3']) || *status == "101"), "{name}: {statuses:?}");
        assert!(told["tags"].as_array().unwrap().iter().all(|tag| known.contains(tag.as_str().unwrap())), "{name}");
        assert!(ids.insert(told["operationId"].as_str().unwrap().to_owned()), "{name} has another's id");
        let in_path = path.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect::<BTreeSet<_>>();
        let parameters = told["parameters"].as_array().into_iter().flatten();
        let described = parameters.filter(|one| one["in"] == "path").map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(in_path, described, "{name}");
    }
    each_ref(&document, &mut |target| {
        let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    });
}

#[tokio::test]
async fn the_document_says_which_paths_are_kept_for_old_clients_and_how_long_names_may_be() {
    let api = TestApi::new().await;
    let (_, document) = api.get("/openapi.json").await;
    let paths = &document["paths"];
    assert_eq!(paths["/{queue}/status"]["get"]["deprecated"], true);
    assert_eq!(paths["/{queue}/metrics"]["get"]["deprecated"], true);
    assert_eq!(paths["/upload/{key}"]["get"]["deprecated"], true);
    assert_eq!(paths["/download/{key}"]["get"]["deprecated"], true);
    assert!(paths["/q/{queue}/status"]["get"]["deprecated"].is_null());
    assert_eq!(paths["/q/{queue}/j"]["post"]["x-asman-alias-of"], "/q/{queue}");
    assert!(paths["/q/{queue}/client"]["get"]["responses"]["101"].is_object());
    let queue = &paths["/q/{queue}"]["get"]["parameters"][0];
    assert_eq!(
        (&queue["name"], &queue["schema"]["minLength"], &queue["schema"]["maxLength"]),
        (&json!("queue"), &json!(1), &json!(255))
    );
}

#[tokio::test]
async fn the_page_names_every_operation_and_loads_nothing_from_elsewhere() {
    let api = TestApi::new().await;
    let (_, document) = api.get("/openapi.json").await;
    let response = api.fetch("/docs/api").await;
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let page = response.text().await.unwrap();
    for (method, path, told) in operations(&document) {
        let id = format!("id=\"{}\"", told["operationId"].as_str().unwrap());
        assert!(page.contains(&id), "{method} {path} is not on the page");
        assert!(page.contains(&path.replace('/', "/<wbr>")), "{path} is not on the page");
    }
    let says_its_type = "/api/v1/queue/put&quot; -H 'content-type: application/json'";
    assert!(page.contains(says_its_type), "the task-queue API reads a body without the JSON type as text");
    let flattened = page.split("id=\"shape-ShownItem\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(flattened.contains("#shape-ItemStanding") && flattened.contains("item_body"), "{flattened}");
    for loading in ["<script", "<link", "<img", "<iframe", "src=", "@import", "url(", "href=\"http", "href=\"//"] {
        assert!(!page.contains(loading), "{loading}");
    }
}

#[tokio::test]
async fn old_paths_are_not_told_for_names_that_the_root_gives_to_other_routes() {
    let api = TestApi::new().await;
    let (_, document) = api.get("/openapi.json").await;
    assert_eq!(api.get("/f/metrics").await.0, 404, "a missing file, and no queue");
    assert_eq!(api.get("/q/f/metrics").await.0, 200, "the queue of that name");
    for path in ["/{queue}/metrics", "/{queue}/status"] {
        let queue = &document["paths"][path]["get"]["parameters"][0]["schema"];
        assert_eq!(queue["not"], json!({"enum": ["f", "j", "q"]}), "{path}");
    }
    assert!(document["paths"]["/q/{queue}/metrics"]["get"]["parameters"][0]["schema"]["not"].is_null());
}

#[tokio::test]
async fn every_route_of_a_queue_tells_how_tokens_are_sent_and_what_happens_without() {
    let api = TestApi::new().await;
    let (_, document) = api.get("/openapi.json").await;
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!((&schemes["bearer"]["scheme"], &schemes["token"]["in"]), (&json!("bearer"), &json!("query")));
    for (method, path, told) in operations(&document) {
        let is_of_task_queue = path.contains("/api/v1/queue/");
        if !path.contains("{queue}") && !is_of_task_queue {
            continue;
        }
        assert_eq!(told["security"], json!([{}, {"bearer": []}, {"token": []}]), "{method} {path}");
        let schema = if is_of_task_queue { "#/components/schemas/Detail" } else { "#/components/schemas/Sentence" };
        for status in ["400", "401", "403"] {
            let answer = &told["responses"][status]["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(answer, schema, "{method} {path} {status}");
        }
    }
    for (method, path) in [("post", "/q/{queue}"), ("post", "/j/{id}/copy"), ("put", "/f/{key}"), ("get", "/q/{queue}/worker")] {
        assert!(document["paths"][path][method]["responses"]["429"].is_object(), "{method} {path}");
    }
}

#[tokio::test]
async fn an_item_is_shown_as_a_job_whatever_json_it_is() {
    let api = TestApi::new().await;
    let (_, document) = api.get("/openapi.json").await;
    api.post("/q/q/api/v1/queue/put", json!({"null": null, "number": 5, "list": [1]})).await;
    for id in ["null", "number", "list"] {
        for path in ["/q/{queue}/j/{id}", "/q/{queue}/j/{id}/definition.json"] {
            let (status, answer) = api.get(&path.replace("{queue}", "q").replace("{id}", id)).await;
            let told = &document["paths"][path]["get"]["responses"][status.to_string()]["content"];
            assert_told(&document, &told["application/json"]["schema"], &answer, path);
            assert_eq!(status, 200, "{path} {answer}");
        }
    }
}

/// Fails if parts of a schema contradict each other, for example if one requires a text and another an object.
fn assert_possible(document: &Value, schema: &Value, at: &str) {
    if let Some(parts) = schema["allOf"].as_array() {
        let kinds: BTreeSet<_> = parts.iter().filter_map(|part| resolved(document, part)["type"].as_str()).collect();
        assert!(kinds.len() <= 1, "{at} is described as all of {kinds:?}");
    }
    match schema {
        Value::Object(members) => {
            members.iter().for_each(|(name, part)| assert_possible(document, part, &format!("{at}/{name}")));
        }
        Value::Array(parts) => parts.iter().for_each(|part| assert_possible(document, part, at)),
        _ => {}
    }
}

#[tokio::test]
async fn no_schema_contradicts_itself() {
    let api = TestApi::new().await;
    let (_, document) = api.get("/openapi.json").await;
    assert_possible(&document, &document, "");
}

#[tokio::test]
async fn items_have_the_members_that_the_document_tells() {
    let api = TestApi::new().await;
    let (_, document) = api.get("/openapi.json").await;
    for (method, path, body) in [
        ("post", "put", json!({"a": {"x": 1}, "b": [null], "c": "text"})),
        ("post", "put", json!({"a": 2})),
        ("get", "size/{stage}", json!(null)),
        ("get", "sizes", json!(null)),
        ("get", "status/{item_id}", json!(null)),
        ("get", "lookup_state/{stage}", json!(null)),
        ("get", "lookup_item/{item_id}", json!(null)),
        ("get", "describe", json!(null)),
        ("get", "peek/{n_items}", json!(null)),
        ("post", "claim", json!({"n_items": 1, "worker_id": "w"})),
        ("get", "item/{item_id}", json!(null)),
        ("post", "heartbeat", json!({"items": [{"item_id": "a", "epoch": 1}, {"item_id": "z", "epoch": 9}]})),
        ("post", "success/{item_id}", json!({"result": {"rows": 1}})),
        ("post", "success/{item_id}", json!({"epoch": 1})),
        ("get", "get/{n_items}", json!(null)),
        ("get", "get/{n_items}", json!(null)),
        ("post", "requeue", json!(["a"])),
        ("get", "items", json!(null)),
        ("get", "item/{item_id}", json!(null)),
        ("get", "history/{item_id}", json!(null)),
        ("get", "events", json!(null)),
        ("post", "put", json!([1])),
        ("delete", "item/{item_id}", json!(null)),
        ("delete", "item/{item_id}", json!(null)),
        ("post", "purge/{stage}", json!(null)),
    ] {
        let path = format!("/q/{{queue}}/api/v1/queue/{path}");
        let asked =
            path.replace("{queue}", "q").replace("{stage}", "WAITING").replace("{n_items}", "1").replace("{item_id}", "a");
        let request = api.request(method.to_uppercase().parse().unwrap(), &asked);
        let request = if method == "post" { request.json(&body) } else { request };
        let (status, answer) = body_of(request.send().await.unwrap()).await;
        let told = &document["paths"][&path][method]["responses"][status.to_string()];
        let schema = &told["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} answers {status}: {answer}");
        assert_told(&document, schema, &answer, &path);
    }
}

/// The schema to which a reference points, or the schema itself if it is not a reference.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(target) => document.pointer(&target[1..]).unwrap(),
        None => schema,
    }
}

/// A schema with the members of all its parts.
fn whole(document: &Value, schema: &Value) -> Value {
    let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
    let mut whole = json!({"type": "object", "properties": {}, "required": []});
    for part in parts {
        let part = resolved(document, part);
        let members = part["properties"].as_object().unwrap().clone();
        whole["properties"].as_object_mut().unwrap().extend(members);
        whole["required"].as_array_mut().unwrap().extend(part["required"].as_array().unwrap().clone());
    }
    whole
}

/// The type of a value in JSON Schema. For a whole number it is `integer`, which a schema of `number` allows too.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Fails if a value has another type than its schema, has unknown members, or lacks required ones.
fn assert_told(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = &whole(document, resolved(document, schema));
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    let is_one = |kind: &&str| *kind == type_of(value) || (*kind == "number" && value.is_number());
    assert!(kinds.is_empty() || kinds.iter().any(is_one), "{at} is described as {kinds:?} and is {value}");
    if let Some(choices) = schema["oneOf"].as_array().filter(|_| value.is_object()) {
        let chosen = choices.iter().find(|choice| {
            let choice = resolved(document, choice);
            let required = choice["required"].as_array().into_iter().flatten();
            choice["type"] == "object" && required.into_iter().all(|name| value.get(name.as_str().unwrap()).is_some())
        });
        let chosen = chosen.unwrap_or_else(|| panic!("{at} matches none of the described types: {value}"));
        return assert_told(document, chosen, value, at);
    }
    if let Some(first) = schema["anyOf"].get(0).filter(|_| value.is_object()) {
        return assert_told(document, first, value, at);
    }
    let is_any = kinds.is_empty();
    match value {
        Value::Object(_) if is_any => {}
        Value::Object(members) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(members.contains_key(required.as_str().unwrap()), "{at} lacks {required}");
            }
            for (name, member) in members {
                let told = schema["properties"].get(name).or(schema.get("additionalProperties"));
                let told = told.unwrap_or_else(|| panic!("the document does not know {at}.{name}"));
                assert_told(document, told, member, &format!("{at}.{name}"));
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            items.iter().for_each(|item| assert_told(document, &schema["items"], item, at));
        }
        _ => {}
    }
}

#[tokio::test]
async fn answers_have_the_members_that_the_document_tells() {
    let api = TestApi::new().await;
    let (_, document) = api.get("/openapi.json").await;
    let (done, epoch) = (api.submit("q", 1).await, api.claim_one("q", "w").await.1);
    api.log(&done, epoch, 0, "Running", &["hello"]).await;
    assert_eq!(api.finish(&done, epoch).await, 200);
    api.submit("q", 2).await;
    api.claim_one("q", "w").await;
    let waits = api.submit("q", 3).await;
    for path in [
        "/readyz",
        "/q/{queue}",
        "/q/{queue}/status",
        "/q/{queue}/policy",
        "/q/{queue}/report.json",
        "/q/{queue}/jobs",
        "/upload/{key}",
        "/download/{key}",
        "/q/{queue}/j/{id}",
        "/q/{queue}/j/{id}/definition.json",
        "/q/{queue}/j/{id}/result.json",
        "/q/{queue}/j/{id}/namespaces.json",
        "/q/{queue}/j/{id}/history.json",
        "/q/{queue}/j/{id}/run-logs.json",
        "/f/{key}/exists",
    ] {
        let (status, answer) = api.get(&path.replace("{queue}", "q").replace("{id}", &done).replace("{key}", "k")).await;
        let schema = &document["paths"][path]["get"]["responses"][status.to_string()]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path} answers {status}");
        assert_told(&document, schema, &answer, path);
    }
    for (path, body) in [
        ("/q/{queue}", json!({"definition": definition(4)})),
        ("/q/{queue}", json!({})),
        ("/q/{queue}/j/{id}/cancel", json!(null)),
        ("/q/{queue}/claim", json!({"worker": {"id": "v", "cpus": 1}, "free": {"cpus": 1, "jobs": 1}})),
        ("/q/{queue}/heartbeat", json!({"workerId": "w", "jobs": [{"jobId": "x", "epoch": 1}]})),
        ("/j/{id}/copy", json!({"queue": "another", "from": "q"})),
        ("/q/{queue}/j/{id}/finish", json!({"epoch": 1, "reason": "Success"})),
    ] {
        let (status, answer) = api.post(&path.replace("{queue}", "q").replace("{id}", &waits), body).await;
        let schema = &document["paths"][path]["post"]["responses"][status.to_string()]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path} answers {status}: {answer}");
        assert_told(&document, schema, &answer, path);
    }
}
