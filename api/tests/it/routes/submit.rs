//! `POST /q/:queue`: accepted submissions, and refused ones, which leave no trace.

use serde_json::{Value, json};

use crate::test_api::{TestApi, assert_one_sentence, definition};

/// Sends a body that must be refused, and checks that nothing is stored.
async fn assert_refused(api: &TestApi, what: &str, body: String, expected: u16) {
    let (status, answer) = api.post_text("/q/q", body).await;
    assert_eq!(status, expected, "{what}: {answer}");
    assert_one_sentence(&answer);
    assert_eq!(api.get("/q/q").await.1, json!({"data": {}}), "{what}");
    assert_eq!(api.count("select count(*) from asman.definition").await, 0, "{what}");
}

fn job(definition: &Value) -> String {
    json!({"definition": definition}).to_string()
}

#[tokio::test]
async fn both_urls_queue_a_job_and_sending_it_again_is_harmless() {
    let api = TestApi::new().await;
    let body = json!({"definition": definition(1)});
    let (status, first) = api.post("/q/q", body.clone()).await;
    assert_eq!((status, &first["success"]), (200, &json!(true)));
    let (status, second) = api.post("/q/q/j", body).await;
    assert_eq!((status, &second), (200, &first), "the same id");
    let (_, list) = api.get("/q/q/j").await;
    assert_eq!(list["data"].as_object().unwrap().len(), 1);
    let id = first["jobId"].as_str().unwrap();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
    assert_eq!(api.get(&format!("/q/q/j/{id}/history.json")).await.1["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_client_may_choose_the_id() {
    let api = TestApi::new().await;
    let id = api.submit_job("q", json!({"id": "my job #1", "definition": definition(1), "debug": true})).await;
    assert_eq!(id, "my job #1");
    assert_eq!(api.get("/q/q").await.1["data"]["my job #1"]["state"], "Queued");
    let claim = api.claim("q", "w", 1, "0s").await.remove(0);
    assert_eq!((claim["jobId"].as_str(), &claim["debug"]), (Some("my job #1"), &json!(true)));
}

#[tokio::test]
async fn namespaces_of_repeated_submissions_are_joined_while_it_waits_and_while_it_runs() {
    let api = TestApi::new().await;
    let body = |namespace: &str| json!({"definition": definition(1), "control": {"namespace": namespace}});
    let id = api.submit_job("q", body("b")).await;
    api.submit_job("q", body("a")).await;
    api.claim_one("q", "w").await;
    api.submit_job("q", body("c")).await;
    api.submit_job("q", json!({"definition": definition(1)})).await;
    assert_eq!(api.get(&format!("/q/q/j/{id}/namespaces.json")).await.1, json!({"data": ["_", "a", "b", "c"]}));
}

#[tokio::test]
async fn a_finished_job_answers_later_submissions_with_its_result() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.finish(&id, epoch).await, 200);
    api.submit("q", 1).await;
    assert_eq!(api.state(&id).await, "finished");
    assert!(api.claim("q", "w", 1, "0s").await.is_empty());
}

#[tokio::test]
async fn the_shorter_of_both_limits_bounds_the_run() {
    let api = TestApi::new().await;
    let definition = json!({"image": "a", "maxDuration": "20m"});
    api.submit_job("q", json!({"definition": definition, "control": {"maxDuration": "90s"}})).await;
    assert_eq!(api.claim("q", "w", 1, "0s").await[0]["maxDuration"], "1m30s");
}

#[tokio::test]
async fn bodies_that_are_no_submission_are_refused_and_leave_nothing() {
    let api = TestApi::new().await;
    for (what, body) in [
        ("nothing", ""),
        ("not JSON", "image=alpine"),
        ("truncated", r#"{"definition":{"image":"alpine""#),
        ("no definition", r#"{"id":"x"}"#),
        ("null", r#"{"definition":null}"#),
        ("a text", r#"{"definition":"alpine"}"#),
        ("two values", r#"{"definition":{"image":"a"}} {}"#),
        ("an image twice", r#"{"definition":{"image":"a","image":"b"}}"#),
        ("half a surrogate pair", r#"{"definition":{"image":"a","command":"\ud800"}}"#),
        ("an empty id", r#"{"id":"","definition":{"image":"a"}}"#),
        ("a slash in the id", r#"{"id":"a/b","definition":{"image":"a"}}"#),
        ("the namespace of all", r#"{"definition":{"image":"a"},"control":{"namespace":"*"}}"#),
        ("an empty namespace", r#"{"definition":{"image":"a"},"control":{"namespace":""}}"#),
        ("no duration", r#"{"definition":{"image":"a"},"control":{"maxDuration":"soon"}}"#),
    ] {
        assert_refused(&api, what, body.to_owned(), 400).await;
    }
    assert_refused(&api, "bytes that are not text", "\u{1}\u{2}".to_owned(), 400).await;
}

#[tokio::test]
async fn definitions_that_cannot_run_are_refused_and_leave_nothing() {
    let api = TestApi::new().await;
    let file = json!({"value": "x"});
    for definition in [
        json!({"command": "echo"}),
        json!({"image": " "}),
        json!({"image": "a", "maxDuration": "soon"}),
        json!({"image": "a", "maxDuration": -5}),
        json!({"image": "a", "inputs": {"../x": file}}),
        json!({"image": "a", "inputs": {"/etc/x": file}}),
        json!({"image": "a", "inputs": {"a//b": file}}),
        json!({"image": "a", "configFiles": {"/etc/../x": file}}),
        json!({"image": "a", "inputs": {"x": {"type": "floppy", "value": ""}}}),
        json!({"image": "a", "env": {"A=B": "c"}}),
        json!({"image": "a", "tags": [""]}),
        json!({"image": "a", "tags": ["x/y"]}),
        json!({"image": "a", "tags": (0..33).map(|n| n.to_string()).collect::<Vec<_>>()}),
        json!({"image": "a", "requirements": {"cpus": -1}}),
        json!({"image": "a", "requirements": {"cpus": 5000}}),
        json!({"image": "a", "requirements": {"gpus": 1025}}),
        json!({"image": "a", "requirements": {"gpus": 1.5}}),
        json!({"image": "a", "inputs": {"x": {"type": "base64", "value": "no base64!"}}}),
        json!({"image": "a", "configFiles": {"/x": {"type": "base64", "value": null}}}),
        json!({"image": "a", "requirements": {"memory": "big"}}),
        json!({"image": "a", "requirements": {"maxDuration": "99999d"}}),
        json!({"image": "a", "shmSize": "much"}),
    ] {
        assert_refused(&api, &definition.to_string(), job(&definition), 400).await;
    }
}

#[tokio::test]
async fn a_definition_over_one_mebibyte_is_refused_and_a_body_over_the_limit_is_413() {
    let api = TestApi::new().await;
    let with = |n: usize| job(&json!({"image": "a", "command": "x".repeat(n)}));
    assert_refused(&api, "over the definition's limit", with(1024 * 1024), 400).await;
    for n in [2 * 1024 * 1024, 16 * 1024 * 1024] {
        assert_refused(&api, "over the body's limit", with(n), 413).await;
    }
}

#[tokio::test]
async fn a_queue_name_with_control_characters_or_256_characters_is_refused() {
    let api = TestApi::new().await;
    let body = json!({"definition": definition(1)});
    let long = "x".repeat(256);
    for name in ["a%0Ab", "a%00b", "a%2Fb", "%FF", &long] {
        let (status, answer) = api.post(&format!("/q/{name}"), body.clone()).await;
        assert_eq!(status, 400, "{name}: {answer}");
        assert_one_sentence(&answer);
    }
    assert_eq!(api.count("select count(*) from asman.queued").await, 0);
    let umlauts = "%C3%A9".repeat(255);
    assert_eq!(api.post(&format!("/q/{umlauts}"), body).await.0, 200, "255 characters are a name");
}

#[tokio::test]
async fn the_thousand_and_first_namespace_of_a_job_is_refused_and_the_others_stay() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    api.execute("update asman.job set namespaces = array(select 'n' || n from generate_series(1, 1000) n)").await;
    let body = json!({"definition": definition(1), "control": {"namespace": "one-more"}});
    let (status, answer) = api.post("/q/q", body).await;
    assert_eq!(status, 400);
    assert_one_sentence(&answer);
    let (_, held) = api.get(&format!("/q/q/j/{id}/namespaces.json")).await;
    assert_eq!(held["data"].as_array().unwrap().len(), 1000);
}

#[tokio::test]
async fn lists_are_not_taken_for_the_objects_of_a_definition() {
    let api = TestApi::new().await;
    for definition in [
        json!({"build": [null, null]}),
        json!({"image": "a", "requirements": [1, 2]}),
        json!({"image": "a", "inputs": {"x": ["text", "utf8"]}}),
        json!({"image": "a", "configFiles": {"/etc/x": ["text"]}}),
    ] {
        assert_refused(&api, &definition.to_string(), job(&definition), 400).await;
    }
}

#[tokio::test]
async fn a_line_with_an_open_quote_is_refused_because_no_worker_could_run_it() {
    let api = TestApi::new().await;
    for (member, line) in [("command", "echo it's"), ("entrypoint", "sh \"")] {
        let mut definition = json!({"image": "a"});
        definition[member] = line.into();
        let answer = api.post("/q/q", json!({"definition": definition})).await;
        assert_eq!((answer.0, answer.1["code"].as_str()), (400, Some("invalid-command")), "{}", answer.1);
        assert!(answer.1["error"].as_str().unwrap().contains(member), "{}", answer.1);
    }
    assert_eq!(api.get("/q/q").await.1, json!({"data": {}}));
}
