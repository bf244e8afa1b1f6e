//! Every permission of a queue: requests with no token, with a wrong token and with the right one.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

use super::policy::{OWNER, put, send};
use crate::socket::{Socket, submission};
use crate::test_api::{TestApi, assert_one_sentence, body_of, claim_body, definition, in_time};

const READ: &str = "read-token-0123456789";
const SUBMIT: &str = "submit-token-0123456789";
const WORK: &str = "worker-token-0123456789";

async fn lock(api: &TestApi) {
    put(api, json!({"readToken": READ, "submitToken": SUBMIT, "workerToken": WORK})).await;
}

/// Method and path of every route that names a queue. They come from the API's own description, so a new route is tested
/// automatically.
async fn routes(api: &TestApi) -> Vec<(Method, String)> {
    let (_, document) = api.get("/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    let of_queues = paths.iter().filter(|(path, _)| path.contains("{queue}"));
    let operations = of_queues.flat_map(|(path, item)| {
        let path = path.replace("{queue}", "locked").replace("{id}", "job").replace("{name}", "a/b");
        let path = path.replace("{stage}", "WAITING").replace("{n_items}", "1").replace("{item_id}", "a/b");
        let path = path.replace(['{', '}'], "");
        let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase().parse().unwrap());
        methods.map(move |method| (method, path.clone())).collect::<Vec<_>>()
    });
    operations.collect()
}

#[tokio::test]
async fn no_route_of_a_queue_opens_without_a_token_or_with_a_wrong_one() {
    let api = TestApi::new().await;
    // The queue is not named `q`, because `/q` is the start of other routes.
    let tokens = json!({"ownerToken": OWNER, "readToken": READ, "submitToken": SUBMIT, "workerToken": WORK});
    assert_eq!(send(&api, Method::PUT, "/q/locked/policy", "", tokens).await.0, 200);
    let routes = routes(&api).await;
    assert!(routes.len() >= 50, "the routes are found: {routes:?}");
    for (method, path) in routes {
        for (token, status) in [("", 401), ("wrong-token-0123456789", 403)] {
            let request = api.request(method.clone(), &path).json(&json!({}));
            let request = if token.is_empty() { request } else { request.bearer_auth(token) };
            let response = request.send().await.unwrap();
            assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{method} {path}");
            let (answered, body) = body_of(response).await;
            assert_eq!(answered, status, "{method} {path} {body}");
            // Clients of the task-queue API use another member.
            let member = if path.contains("/api/v1/queue/") { "detail" } else { "error" };
            let sentence = body.get(member).unwrap_or_else(|| panic!("{method} {path} {body}"));
            assert_one_sentence(&json!({"error": sentence, "code": body["code"]}));
            let code = if status == 401 { "no-token" } else { "wrong-token" };
            assert_eq!((body.as_object().unwrap().len(), &body["code"]), (2, &json!(code)), "{method} {path} {body}");
            assert!(!body.to_string().contains("wrong-token-") && !body.to_string().contains(OWNER), "{body}");
        }
    }
}

#[tokio::test]
async fn each_token_opens_its_own_door_and_the_owner_every_one() {
    let api = TestApi::new().await;
    lock(&api).await;
    let permissions: [(Method, &str, Value, &str); 5] = [
        (Method::POST, "/q/q", json!({"definition": definition(1)}), SUBMIT),
        (Method::POST, "/q/q/j/nope/cancel", json!({}), SUBMIT),
        (Method::GET, "/q/q", json!(null), READ),
        (Method::GET, "/q/q/status", json!(null), READ),
        (Method::POST, "/q/q/claim", claim_body("w", 0, "0s"), WORK),
    ];
    for (method, path, body, right) in permissions {
        for token in [READ, SUBMIT, WORK, OWNER] {
            let (status, answer) = send(&api, method.clone(), path, token, body.clone()).await;
            assert_eq!(status != 403, token == right || token == OWNER, "{method} {path} {answer}");
            let in_url = format!("{path}?token={token}");
            let (in_url, _) = send(&api, method.clone(), &in_url, "", body.clone()).await;
            assert_eq!(in_url, status, "{method} {path}: in the URL as in the header");
        }
    }
    let worker = claim_body("w", 1, "5s");
    let (_, claimed) = send(&api, Method::POST, "/q/q/claim", WORK, worker).await;
    assert_eq!(claimed["jobs"].as_array().unwrap().len(), 1, "{claimed}");
}

#[tokio::test]
async fn what_takes_items_away_asks_for_the_owner_where_there_is_one_and_touches_items_alone() {
    let api = TestApi::new().await;
    let item = |id: &str| json!({id: {"x": 1}});
    api.post("/q/q/api/v1/queue/put", item("a")).await;
    api.post("/q/q/api/v1/queue/put", item("b")).await;
    let (done, waits) = (api.submit("q", 1).await, api.submit("q", 2).await);
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.finish(&done, epoch).await, 200);
    lock(&api).await;
    let removals = [(Method::POST, "purge/SUCCESS"), (Method::POST, "purge/WAITING"), (Method::DELETE, "item/a")];
    for (method, path) in removals.clone() {
        let path = format!("/q/q/api/v1/queue/{path}");
        for token in [READ, SUBMIT, WORK] {
            let (status, body) = send(&api, method.clone(), &path, token, json!(null)).await;
            assert_eq!((status, &body["code"]), (403, &json!("wrong-token")), "{path}");
        }
    }
    let job = format!("/q/q/api/v1/queue/item/{waits}");
    assert_eq!(send(&api, Method::DELETE, &job, OWNER, json!(null)).await.0, 404, "a container job is not an item");
    assert_eq!(send(&api, Method::DELETE, "/q/q/api/v1/queue/item/a", OWNER, json!(null)).await.0, 200);
    let purged = send(&api, Method::POST, "/q/q/api/v1/queue/purge/WAITING", OWNER, json!(null)).await;
    assert_eq!(purged, (200, json!({"purged": 1})));
    let purged = send(&api, Method::POST, "/q/q/api/v1/queue/purge/SUCCESS", OWNER, json!(null)).await;
    assert_eq!(purged, (200, json!({"purged": 0})));
    assert_eq!(api.count("select count(*) from asman.finished").await, 1, "the result is there");
    assert_eq!(api.count("select count(*) from asman.queued").await, 1, "and so is the job that waits");
    let without_owner = json!({"submitToken": SUBMIT});
    assert_eq!(send(&api, Method::PUT, "/q/free/policy", "", without_owner).await.0, 200);
    assert_eq!(send(&api, Method::POST, "/q/free/api/v1/queue/purge/WAITING", SUBMIT, json!(null)).await.0, 200);
    assert_eq!(send(&api, Method::POST, "/q/free/api/v1/queue/purge/WAITING", "", json!(null)).await.0, 401);
}

#[tokio::test]
async fn a_job_of_a_queue_that_asks_its_readers_is_not_found_without_its_queue() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    assert_eq!(api.get(&format!("/j/{id}")).await.0, 200);
    lock(&api).await;
    let unknown = "0".repeat(64);
    let paths = |id: &str| {
        [
            "",
            ".json",
            "/definition.json",
            "/result.json",
            "/results.json",
            "/history.json",
            "/inputs/x",
            "/outputs/x",
            "/build-logs.json",
            "/run-logs.json",
        ]
        .map(|rest| format!("/j/{id}{rest}"))
    };
    for (hidden, missing) in paths(&id).iter().zip(paths(&unknown)) {
        assert_eq!(api.get(hidden).await, api.get(&missing).await, "{hidden}");
        let wrong = |path: &str| api.request(Method::GET, path).bearer_auth(WORK).send();
        assert_eq!(body_of(wrong(hidden).await.unwrap()).await, body_of(wrong(&missing).await.unwrap()).await, "{hidden}");
    }
    for token in [READ, OWNER] {
        assert_eq!(send(&api, Method::GET, &format!("/j/{id}"), token, json!(null)).await.0, 200);
    }
    api.submit("open", 1).await;
    assert_eq!(api.get(&format!("/j/{id}")).await.0, 200, "an open queue has the same job");
}

#[tokio::test]
async fn a_socket_needs_the_read_token_to_open_and_the_submit_token_to_submit() {
    let api = TestApi::new().await;
    lock(&api).await;
    let url = |query: &str| format!("{}/q/q/client{query}", api.url.replace("http", "ws"));
    for (query, status) in [("", 401), ("?token=wrong-token-0123456789", 403), ("?token=submit-token-0123456789", 403)] {
        let error = in_time(connect_async(url(query))).await.unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{query} {error}");
    }
    let mut reader = Socket::connect(&api, &format!("/q/q/client?token={READ}")).await;
    reader.send(&submission("mine", &definition(1))).await;
    reader.ping().await;
    assert_eq!(api.count("select count(*) from asman.queued").await, 0, "a reader only reads");
    let mut owner = Socket::connect(&api, &format!("/q/q/client?token={OWNER}")).await;
    owner.send(&submission("mine", &definition(1))).await;
    owner.until_job("mine", "Queued").await;
    reader.until_job("mine", "Queued").await;
    reader.send(&crate::socket::ending("mine", "Cancelled")).await;
    reader.ping().await;
    assert_eq!(api.count("select count(*) from asman.queued").await, 1, "nor does it cancel");
}
