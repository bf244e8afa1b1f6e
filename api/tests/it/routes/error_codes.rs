//! Every refusal has a code beside its sentence.

use protocol::ErrorCode;
use reqwest::Method;
use serde_json::{Value, json};

use super::policy::{OWNER, put};
use crate::test_api::{TestApi, body_of};

/// Fails if a refusal has no code, or a code that belongs to another status. Returns the code of a refusal.
fn code_in(what: &str, status: u16, body: &Value) -> Option<ErrorCode> {
    if !(400..500).contains(&status) && status != 503 {
        return None;
    }
    // JSON-RPC routes have their own form of errors, with the code in the data.
    let error = &body["error"];
    let own = (body["jsonrpc"] == "2.0").then(|| json!({"code": error["data"]["code"], "error": error["message"]}));
    let body = own.as_ref().unwrap_or(body);
    let word = body["code"].as_str().unwrap_or_else(|| panic!("{what} answers {status} without a code: {body}"));
    let code = ErrorCode::named(word).unwrap_or_else(|| panic!("{what}: the table does not contain {word}"));
    assert_eq!(code.status(), status, "{what}: {body}");
    let sentence = body.get("error").or(body.get("detail")).unwrap_or_else(|| panic!("{what}: {body}"));
    assert!(sentence.is_array() || sentence.as_str().is_some_and(|text| !text.is_empty()), "{what}: {body}");
    Some(code)
}

/// Method and path of every route that the API describes.
async fn routes(api: &TestApi) -> Vec<(Method, String)> {
    let (_, document) = api.get("/openapi.json").await;
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routes.push((method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    routes
}

/// A path with values for its parameters, three times: with an unknown id, with unreadable values, and in a queue with tokens.
fn filled(path: &str) -> [String; 3] {
    let fill = |queue: &str, id: &str, rest: &str| {
        let path = path.replace("{queue}", queue).replace("{id}", id).replace("{key}", id).replace("{item_id}", id);
        let path = path.replace("{stage}", rest).replace("{n_items}", rest).replace("{name}", rest).replace("{namespace}", rest);
        path.replace(['{', '}'], "")
    };
    [fill("q", "nope", "x"), fill("a%00b", "a%00b", "a%00b"), fill("locked", "nope", "x")]
}

#[tokio::test]
async fn every_route_refuses_with_a_sentence_and_a_code_that_has_the_answers_status() {
    let api = TestApi::new().await;
    let token = OWNER;
    let tokens = json!({"ownerToken": token, "readToken": "read-token-0123456789", "submitToken": token, "workerToken": token});
    let owned = api.request(Method::PUT, "/q/locked/policy").json(&tokens).send().await.unwrap();
    assert_eq!(owned.status(), 200);
    let routes = routes(&api).await;
    assert!(routes.len() > 60, "the routes are found");
    let mut seen = std::collections::BTreeSet::new();
    for (method, path) in &routes {
        for path in filled(path) {
            for body in ["", "[]", "{", r#"{"queue":"q"}"#] {
                let request = api.request(method.clone(), &path).header("content-type", "application/json");
                let request = if body.is_empty() { request } else { request.body(body) };
                let (status, answer) = body_of(request.send().await.unwrap()).await;
                assert!(status < 500 || status == 503, "{method} {path} {body}: {status} {answer}");
                seen.extend(code_in(&format!("{method} {path} {body}"), status, &answer));
            }
        }
        let patch = api.request(Method::PATCH, &filled(path)[0]).send().await.unwrap();
        let (status, answer) = body_of(patch).await;
        seen.extend(code_in(&format!("PATCH {path}"), status, &answer));
    }
    for code in [
        ErrorCode::InvalidBody,
        ErrorCode::InvalidName,
        ErrorCode::InvalidKey,
        ErrorCode::NotAWebsocket,
        ErrorCode::NoToken,
        ErrorCode::NoJob,
        ErrorCode::NoFile,
        ErrorCode::NoItem,
        ErrorCode::NoTaskQueue,
        ErrorCode::NoDefinition,
        ErrorCode::WrongMethod,
        ErrorCode::InvalidForm,
    ] {
        assert!(seen.contains(&code), "no route answered {code}: {seen:?}");
    }
}

#[tokio::test]
async fn refusals_that_need_more_than_a_wrong_path_have_their_codes_too() {
    let api = TestApi::new().await;
    put(&api, json!({"maxQueued": 1})).await;
    api.submit("q", 1).await;
    let large = vec![b'x'; 3 * 1024 * 1024];
    let expected = [
        (ErrorCode::TooLarge, api.post_text("/q/q", large).await),
        (ErrorCode::QueueFull, api.post("/q/q", json!({"definition": {"image": "a", "command": "2"}})).await),
        (
            ErrorCode::ReservedNamespace,
            api.post("/q/o", json!({"definition": {"image": "a"}, "control": {"namespace": "*"}})).await,
        ),
        (ErrorCode::NoRoute, api.get("/q/q/nothing/here").await),
        (ErrorCode::NoPage, api.get("/assets/old.js").await),
        (ErrorCode::InvalidPolicy, body_of(put_policy(&api, json!({"maxQueued": 0})).await).await),
        (ErrorCode::InvalidToken, body_of(put_policy(&api, json!({"readToken": "short"})).await).await),
        (
            ErrorCode::StaleEpoch,
            api.post("/q/q/j/x/logs", json!({"epoch": 1, "seq": 0, "step": "Running", "lines": [["x", 1]]})).await,
        ),
        (ErrorCode::HashMismatch, body_of(put_file(&api, &"0".repeat(64)).await).await),
        (ErrorCode::InvalidParameter, api.get("/q/q/jobs?limit=0").await),
    ];
    for (code, (status, body)) in expected {
        assert_eq!(code_in(code.as_str(), status, &body), Some(code), "{body}");
    }
    assert_eq!(put_file(&api, "small").await.status(), 200);
    let range = api.request(Method::GET, "/f/small").header("range", "bytes=100-").send().await.unwrap();
    let (status, body) = body_of(range).await;
    assert_eq!(code_in("a range", status, &body), Some(ErrorCode::NoSuchRange), "{status} {body}");
}

async fn put_policy(api: &TestApi, body: Value) -> reqwest::Response {
    api.request(Method::PUT, "/q/q/policy").bearer_auth(OWNER).json(&body).send().await.unwrap()
}

async fn put_file(api: &TestApi, key: &str) -> reqwest::Response {
    api.request(Method::PUT, &format!("/f/{key}")).body("hello").send().await.unwrap()
}
