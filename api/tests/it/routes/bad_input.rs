//! Malformed bodies: each is answered with a 4xx and changes nothing on the server.

use serde_json::{Value, json};

use crate::test_api::{TestApi, assert_one_sentence, definition};

async fn assert_4xx(api: &TestApi, path: &str, body: String) {
    let shown: String = body.chars().take(80).collect();
    let (status, answer) = api.post_text(path, body).await;
    assert!((400..500).contains(&status), "{path} {shown}: {status} {answer}");
    assert_one_sentence(&answer);
}

/// Request bodies. Each contains the text in another one of the possible positions.
fn bodies_with(text: &str) -> Vec<(&'static str, String)> {
    let worker = |member: &str| format!(r#"{{"worker":{{"id":"w","cpus":1,{member}}},"free":{{"cpus":1,"jobs":1}}}}"#);
    let enqueue = |member: &str| format!(r#"{{"definition":{{"image":"a"}},{member}}}"#);
    vec![
        ("/q/q", enqueue(&format!(r#""id":"{text}""#))),
        ("/q/q", enqueue(&format!(r#""control":{{"namespace":"{text}"}}"#))),
        ("/q/q", enqueue(&format!(r#""control":{{"callbacks":{{"finished":{{"url":"http://a/{text}"}}}}}}"#))),
        ("/q/q", format!(r#"{{"definition":{{"image":"a","env":{{"{text}":"x"}}}}}}"#)),
        ("/q/q", format!(r#"{{"definition":{{"image":"a","env":{{"x":"{text}"}}}}}}"#)),
        ("/q/q", format!(r#"{{"definition":{{"image":"a","tags":["{text}"]}}}}"#)),
        ("/q/q", format!(r#"{{"definition":{{"image":"a","inputs":{{"{text}":{{"value":"x"}}}}}}}}"#)),
        ("/q/q", format!(r#"{{"definition":{{"image":"a","configFiles":{{"{text}":{{"value":"x"}}}}}}}}"#)),
        ("/q/q/claim", worker(&format!(r#""version":"{text}""#))),
        ("/q/q/claim", worker(&format!(r#""executor":"{text}""#))),
        ("/q/q/claim", worker(&format!(r#""tags":["{text}"]"#))),
        ("/q/q/claim", format!(r#"{{"worker":{{"id":"{text}","cpus":1}},"free":{{"cpus":1,"jobs":1}}}}"#)),
        ("/q/q/heartbeat", format!(r#"{{"workerId":"{text}","jobs":[]}}"#)),
        ("/q/q/heartbeat", format!(r#"{{"workerId":"w","jobs":[{{"jobId":"{text}","epoch":1}}]}}"#)),
        ("/q/q/j/x/logs", format!(r#"{{"epoch":1,"seq":0,"step":"{text}","lines":[]}}"#)),
        ("/q/q/j/x/finish", format!(r#"{{"epoch":1,"reason":"Success","result":{{"outputs":{{"{text}":{{"value":"x"}}}}}}}}"#)),
        ("/j/x/copy", format!(r#"{{"queue":"{text}"}}"#)),
    ]
}

#[tokio::test]
async fn nul_and_half_a_surrogate_pair_are_refused_in_every_text() {
    let api = TestApi::new().await;
    for text in [r"a\u0000b", r"a\ud800b", r"\udc00"] {
        for (path, body) in bodies_with(text) {
            assert_4xx(&api, path, body).await;
        }
    }
    assert_eq!(api.count("select count(*) from asman.queued").await, 0);
    assert_eq!(api.count("select count(*) from asman.worker").await, 0);
}

#[tokio::test]
async fn nul_in_text_that_is_only_kept_does_no_harm() {
    let api = TestApi::new().await;
    let id = api.submit_job("q", json!({"definition": {"image": "a", "command": "ab", "note": "\u{0}"}})).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.log(&id, epoch, 0, "Running", &["a\u{0}b"]).await, 200);
    let result =
        json!({"epoch": epoch, "reason": "Error", "message": "a\u{0}b", "result": {"error": {"json": {"message": "\u{0}"}}}});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), result).await.0, 200);
    let (status, body) = api.get(&format!("/q/q/j/{id}/result.json")).await;
    assert_eq!((status, &body["data"]["finished"]["result"]["logs"][0][0]), (200, &json!("a\u{0}b")));
}

#[tokio::test]
async fn deep_nesting_and_a_hundred_thousand_members_are_refused_not_choked_on() {
    let api = TestApi::new().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let many = (0..100_000).map(|n| format!(r#""k{n}":{{"value":1}}"#)).collect::<Vec<_>>().join(",");
    for path in ["/q/q", "/q/q/claim", "/q/q/heartbeat", "/q/q/j/x/logs", "/q/q/j/x/finish", "/q/q/j/x/release", "/j/x/copy"] {
        assert_4xx(&api, path, deep.clone()).await;
        assert_4xx(&api, path, format!(r#"{{"x":{deep}}}"#)).await;
        assert_4xx(&api, path, format!(r#"{{"definition":{{"image":"a","x":{deep}}}}}"#)).await;
    }
    for member in ["inputs", "configFiles", "env"] {
        assert_4xx(&api, "/q/q", format!(r#"{{"definition":{{"image":"a","{member}":{{{many}}}}}}}"#)).await;
    }
    assert_4xx(&api, "/q/q/j/x/finish", format!(r#"{{"epoch":1,"reason":"Success","result":{{"outputs":{{{many}}}}}}}"#)).await;
    let jobs = vec![r#"{"jobId":"x","epoch":1}"#; 50_000].join(",");
    assert_4xx(&api, "/q/q/heartbeat", format!(r#"{{"workerId":"w","jobs":[{jobs}]}}"#)).await;
    assert_eq!(api.count("select count(*) from asman.queued").await, 0);
    // Unknown members are kept, and even this many are harmless.
    let unread = (0..100_000).map(|n| format!(r#""{n}":1"#)).collect::<Vec<_>>().join(",");
    let (status, answer) = api.post_text("/q/q", format!(r#"{{"definition":{{{unread},"image":"a"}}}}"#)).await;
    assert!(status == 200 || status == 400, "{status} {answer}");
}

#[tokio::test]
async fn the_content_type_does_not_matter_and_other_encodings_are_no_json() {
    let api = TestApi::new().await;
    for (n, kind) in
        ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "x"].iter().enumerate()
    {
        let body = json!({"definition": definition(u32::try_from(n).unwrap())}).to_string();
        let request = api.request(reqwest::Method::POST, "/q/q").header("content-type", *kind).body(body);
        assert_eq!(request.send().await.unwrap().status(), 200, "{kind}");
    }
    let utf16: Vec<u8> = r#"{"definition":{"image":"a"}}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in [utf16, b"\xef\xbb\xbf{}".to_vec(), b"\xff\xfe".to_vec(), b"{\"definition\":{\"image\":\"\xff\"}}".to_vec()] {
        let (status, answer) = api.post_text("/q/q", body).await;
        assert_eq!(status, 400);
        assert_one_sentence(&answer);
    }
}

#[tokio::test]
async fn errors_of_every_kind_may_be_read_by_any_page() {
    let api = TestApi::new().await;
    let too_large = "x".repeat(3 * 1024 * 1024);
    let origin = |request: reqwest::RequestBuilder| request.header("origin", "https://page.example");
    let large = origin(api.request(reqwest::Method::POST, "/q/q")).body(too_large).send().await.unwrap();
    let unknown = origin(api.request(reqwest::Method::GET, "/q/q/j/nope")).send().await.unwrap();
    let method = origin(api.request(reqwest::Method::DELETE, "/q/q")).send().await.unwrap();
    api.execute("alter table asman.worker rename to worker_gone").await;
    let broken = origin(api.request(reqwest::Method::GET, "/q/q/status")).send().await.unwrap();
    for (response, expected) in [(large, 413), (unknown, 404), (method, 405), (broken, 500)] {
        assert_eq!(response.status(), expected);
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{expected}");
        let body: Value = response.json().await.unwrap();
        assert!(body["error"].is_string(), "{body}");
        if expected == 500 {
            assert_eq!(body["error"], "internal error");
            assert_eq!(body.as_object().unwrap().len(), 2, "and the request's id: {body}");
        }
    }
}

#[tokio::test]
async fn each_mistake_is_told_in_a_sentence_that_names_its_place_and_none_of_our_types() {
    let api = TestApi::new().await;
    for (path, body, sentence) in [
        ("/q/q", "[]", "the body is not a JSON object"),
        ("/q/q", "{}", "definition is missing"),
        ("/q/q", r#"{"x":{"image":"a"}}"#, "definition is missing"),
        ("/q/q", r#"{"image":"a"}"#, r#"definition is missing; send the definition as a member: {"definition":{…}}"#),
        ("/q/q", r#"{"build":{},"debug":true}"#, r#"definition is missing; send the definition as a member: {"definition":{…}}"#),
        ("/q/q", r#"{"definition":{"image":5}}"#, "the definition cannot be read: image is a number, not a text"),
        ("/q/q", r#"{"definition":{"image":"a"},"control":{"namespace":""}}"#, "control.namespace: the namespace is empty"),
        ("/q/q/claim", "[]", "the body is not a JSON object"),
        ("/q/q/claim", r#"{"worker":{"id":"w","cpus":1}}"#, "free is missing"),
        (
            "/q/q/j/x/logs",
            r#"{"epoch":1,"seq":0,"step":"Running","lines":[["x",1],{}]}"#,
            "lines[1] is an object, not a log line [text, epochMs] or [text, epochMs, isStdErr]",
        ),
        ("/q/q/heartbeat", r#"{"workerId":"w","jobs":[{"jobId":"x"}]}"#, "jobs[0].epoch is missing"),
        ("/q/q/j/x/release", r#"{"epoch":1.5}"#, "epoch must be a whole number within its bounds"),
        ("/j/x/copy", "null", "the body is not a JSON object"),
    ] {
        let code = if sentence.starts_with("the definition") { "unreadable-definition" } else { "invalid-body" };
        assert_eq!(api.post_text(path, body).await, (400, json!({"error": sentence, "code": code})), "{path} {body}");
    }
    for (path, sentence) in [
        ("/q/q/j/x/run-logs.json?since=x", "the parameter since must be a whole number"),
        ("/j/x/build-logs.json?since=1.5", "the parameter since must be a whole number"),
        ("/q/q/j/x/run-logs.json?since=1&since=2", "the parameter since is given twice; give it once"),
    ] {
        assert_eq!(api.get(path).await, (400, json!({"error": sentence, "code": "invalid-parameter"})), "{path}");
    }
    let put = api.request(reqwest::Method::PUT, "/q/q/policy").body(r#"{"pause":true}"#).send().await.unwrap();
    let (status, answer) = crate::test_api::body_of(put).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().starts_with("pause is not a known member; known are paused, "), "{answer}");
    let cancel = api.post("/q/q/j/x/cancel?namespace=", json!({})).await;
    let sentence = "the parameter namespace cannot be read: the namespace is empty";
    assert_eq!(cancel, (400, json!({"error": sentence, "code": "invalid-parameter"})));
}
