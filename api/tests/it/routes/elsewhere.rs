//! Rules for every route: CORS, the referrer, and unknown paths.

use reqwest::Method;
use serde_json::json;

use crate::test_api::{TestApi, assert_one_sentence, body_of, definition};

const PATHS: [&str; 12] = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/q/q",
    "/q/q/status",
    "/q/q/metrics",
    "/q/q/j/nope",
    "/q/q/j/nope/result.json",
    "/q/q/j/nope/stream",
    "/f/nope",
    "/q/unknown/route/here",
    "/any/page",
];

#[tokio::test]
async fn any_page_may_call_every_route_and_no_route_leaks_its_url() {
    let api = TestApi::new().await;
    for path in PATHS {
        let response = api.request(Method::GET, path).header("origin", "https://page.example").send().await.unwrap();
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{path}");
        assert!(response.headers().get("access-control-allow-credentials").is_none(), "{path}");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer", "{path}");
    }
}

/// Method and path of every described route, with a value for each parameter.
async fn described(api: &TestApi) -> Vec<(String, String)> {
    let (_, document) = api.get("/openapi.json").await;
    let filled =
        |path: &str| path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/");
    let paths = document["paths"].as_object().unwrap();
    let operations = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), filled(path))));
    operations.collect()
}

#[tokio::test]
async fn a_preflight_is_answered_on_every_described_route_and_for_every_other_path() {
    let api = TestApi::new().await;
    let mut routes = described(&api).await;
    assert!(routes.len() > 60, "{routes:?}");
    routes.extend(PATHS.map(|path| ("PUT".to_owned(), path.to_owned())));
    for (method, path) in routes {
        let preflight = api
            .request(Method::OPTIONS, &path)
            .header("origin", "https://page.example")
            .header("access-control-request-method", &method)
            .header("access-control-request-headers", "authorization,content-type");
        let response = preflight.send().await.unwrap();
        assert_eq!(response.status(), 200, "{method} {path}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{method} {path}");
        assert!(response.headers().get("access-control-allow-credentials").is_none(), "{method} {path}");
        assert_eq!(response.headers()["access-control-allow-methods"], "*", "{method} {path}");
        // A `*` would not allow `authorization`, so the answer names it.
        let allowed = response.headers()["access-control-allow-headers"].to_str().unwrap();
        assert!(allowed.contains("authorization") && allowed.contains("content-type"), "{method} {path}: {allowed}");
    }
}

#[tokio::test]
async fn every_described_route_may_be_called_by_any_page_whatever_it_answers() {
    let api = TestApi::new().await;
    for (method, path) in described(&api).await {
        let request = api.request(method.parse().unwrap(), &path).header("origin", "https://page.example").body("{}");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{method} {path}");
        assert_eq!(response.headers()["access-control-expose-headers"], "*", "{method} {path}");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer", "{method} {path}");
        assert!(!response.status().is_server_error(), "{method} {path}: {}", response.status());
    }
}

#[tokio::test]
async fn unknown_paths_of_programs_are_404_json_and_any_other_is_the_page() {
    let api = TestApi::new().await;
    for path in ["/q", "/j", "/f", "/q/q/what", "/j/x/y/z", "/f/a/b/c", "/q/", "/q/q/j/x/y"] {
        let (status, body) = api.get(path).await;
        assert_eq!(status, 404, "{path}");
        assert_one_sentence(&body);
    }
    // A client that posts to the path of a page has forgotten the `/q`.
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let (status, body) =
            body_of(api.request(method, "/my-queue").json(&json!({"definition": definition(1)})).send().await.unwrap()).await;
        assert_eq!(status, 404);
        assert_one_sentence(&body);
    }
    for path in ["/", "/about", "/qq/q", "/some/deep/page"] {
        let response = api.fetch(path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
    }
}

#[tokio::test]
async fn mistakes_in_the_request_itself_are_told_in_json() {
    let api = TestApi::new().await;
    for (method, path, expected) in [
        (Method::DELETE, "/q/q", 405),
        (Method::GET, "/q/q/claim", 405),
        (Method::GET, "/q/q/client", 400),
        (Method::POST, "/q/q/client", 405),
        (Method::GET, "/q/q/j/x/run-logs.json?since=soon", 400),
        (Method::POST, "/q/%FF/j/x/n/cancel", 400),
        (Method::GET, "/f/%FF", 400),
        (Method::PUT, "/f/%FF", 400),
    ] {
        let (status, body) = body_of(api.request(method.clone(), path).send().await.unwrap()).await;
        assert_eq!(status, expected, "{method} {path}: {body}");
        assert_one_sentence(&body);
    }
}
