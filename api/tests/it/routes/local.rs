//! An API that serves one machine alone: what browsers, other names and programs get of it.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::test_api::{TestApi, assert_one_sentence, body_of, definition, in_time};

const EVIL: &str = "https://evil.example";

async fn local(allowed: &[&str]) -> TestApi {
    let allowed: Vec<String> = allowed.iter().map(|origin| (*origin).to_owned()).collect();
    TestApi::with(|config| {
        config.door.local = true;
        config.door.allow_origin = allowed;
    })
    .await
}

fn with(request: RequestBuilder, headers: &[(&str, &str)]) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

async fn get(api: &TestApi, path: &str, headers: &[(&str, &str)]) -> u16 {
    let response = with(api.request(Method::GET, path), headers).send().await.unwrap();
    let status = response.status().as_u16();
    if status >= 400 {
        assert!(!response.headers().contains_key("access-control-allow-origin"), "a page cannot read the refusal");
        assert_one_sentence(&body_of(response).await.1);
    }
    status
}

fn port(api: &TestApi) -> String {
    api.url.rsplit(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_foreign_name_for_this_machine_is_misdirected() {
    let api = local(&[]).await;
    for path in ["/", "/healthz", "/metrics", "/q/local", "/openapi.json", "/no/such/route"] {
        for host in
            ["evil.example", "evil.example:8000", "localhost.evil.example", "10.1.2.3", "0.0.0.0", "localhost@evil.example"]
        {
            assert_eq!(get(&api, path, &[("host", host)]).await, 421, "{host} {path}");
        }
    }
    // A tunnel may lead from another port.
    for host in ["localhost", "localhost:9999", "127.0.0.1:8000", "[::1]:8000", "asman.localhost"] {
        assert_eq!(get(&api, "/healthz", &[("host", host)]).await, 200, "{host}");
    }
}

#[tokio::test]
async fn a_web_page_of_another_origin_can_neither_read_nor_submit() {
    let api = local(&[]).await;
    let port = port(&api);
    let other = format!("http://localhost:{}", port.parse::<u16>().unwrap() ^ 1);
    for origin in [EVIL, "null", "http://evil.example:8000", &other, "https://localhost"] {
        assert_eq!(get(&api, "/q/local", &[("origin", origin)]).await, 403, "{origin}");
        let body = json!({"definition": definition(1)});
        let submission = with(api.request(Method::POST, "/q/local").json(&body), &[("origin", origin)]);
        assert_eq!(body_of(submission.send().await.unwrap()).await.0, 403, "{origin}");
        let preflight =
            with(api.request(Method::OPTIONS, "/q/local"), &[("origin", origin), ("access-control-request-method", "POST")]);
        let answer = preflight.send().await.unwrap();
        assert_eq!(answer.status(), 403, "{origin}");
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
    }
    assert_eq!(api.count("select count(*) from asman.queued").await, 0, "nothing was stored");
    assert_eq!(get(&api, "/q/local", &[("origin", EVIL), ("origin", &format!("http://localhost:{port}"))]).await, 403);
}

#[tokio::test]
async fn our_own_page_and_allowed_ones_and_programs_may() {
    let api = local(&["https://page.example"]).await;
    let port = port(&api);
    let own = [format!("http://localhost:{port}"), format!("http://127.0.0.1:{port}"), "https://page.example".to_owned()];
    for origin in &own {
        assert_eq!(get(&api, "/q/local", &[("origin", origin)]).await, 200, "{origin}");
        let submission =
            with(api.request(Method::POST, "/q/local").json(&json!({"definition": definition(1)})), &[("origin", origin)]);
        assert_eq!(body_of(submission.send().await.unwrap()).await.0, 200, "{origin}");
    }
    let preflight = api.request(Method::OPTIONS, "/q/local").header("access-control-request-method", "POST");
    let answer = preflight.header("origin", "https://page.example").send().await.unwrap();
    assert!(answer.status().is_success() && answer.headers().contains_key("access-control-allow-origin"));
    // As a tunnel's end calls itself.
    let tunnel = [("host", "localhost:9000"), ("origin", "http://localhost:9000")];
    assert_eq!(get(&api, "/q/local", &tunnel).await, 200);
    assert_eq!(api.get("/q/local").await.0, 200, "a program names no origin");
    assert_eq!(get(&api, "/q/local", &[("origin", "https://page.example.evil.example")]).await, 403);
}

#[tokio::test]
async fn a_page_elsewhere_may_link_here_and_embed_us_and_show_nothing_of_ours() {
    let api = local(&[]).await;
    let visit = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(get(&api, "/", &visit).await, 200);
    for site in ["cross-site", "same-site"] {
        let image = [("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")];
        assert_eq!(get(&api, "/q/local/status", &image).await, 403, "{site}");
    }
    for site in ["same-origin", "none"] {
        assert_eq!(get(&api, "/q/local/status", &[("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")]).await, 200);
    }
    let form = with(api.request(Method::POST, "/q/local").json(&json!({"definition": definition(1)})), &visit);
    assert_eq!(body_of(form.send().await.unwrap()).await.0, 403);
}

#[tokio::test]
async fn sockets_are_judged_by_their_origin() {
    let api = local(&[]).await;
    let own = format!("http://localhost:{}", port(&api));
    for (path, origin, expected) in [
        ("/q/local/client", Some(EVIL), Some(403)),
        ("/local/client", Some(EVIL), Some(403)),
        ("/q/local/worker", Some("null"), Some(403)),
        ("/q/local/client", Some(own.as_str()), None),
        ("/q/local/worker", None, None),
    ] {
        let mut request = format!("{}{path}", api.url.replace("http", "ws")).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        let refused = match in_time(connect_async(request)).await {
            Ok(_) => None,
            Err(SocketError::Http(response)) => Some(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(refused, expected, "{path} {origin:?}");
    }
}

#[tokio::test]
async fn a_public_api_takes_any_name_and_any_origin() {
    let api = TestApi::new().await;
    assert_eq!(get(&api, "/q/local", &[("host", "queue.example"), ("origin", EVIL)]).await, 200);
}

/// The page as a browser gets it: whether it says that it is one machine's own, its policy, and its opener policy.
async fn page(api: &TestApi, path: &str) -> (bool, String, Option<String>) {
    let response = with(api.request(Method::GET, path), &[("accept", "text/html")]).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (policy, opener) = (header("content-security-policy").unwrap(), header("cross-origin-opener-policy"));
    let html = response.text().await.unwrap();
    assert!(html.ends_with("</html>\n"), "the page is whole");
    let says = |word: &str| html.contains(&format!("name=\"asman-instance\" content=\"{word}\""));
    assert!(!html.contains("assets/") || says("local") != says("public"), "{html}");
    (says("local"), policy, opener)
}

#[tokio::test]
async fn the_page_learns_whose_it_is_from_its_own_document_and_only_the_first_may_lie_in_a_frame() {
    let (local, public) = (local(&[]).await, TestApi::new().await);
    for path in ["/", "/q/local", "/j/some-id"] {
        let (is_local, policy, opener) = page(&local, path).await;
        let expected = if path == "/" { "frame-ancestors *" } else { "frame-ancestors 'none'" };
        assert!(policy.contains(expected), "{path}: {policy}");
        assert_eq!(opener.as_deref(), Some("same-origin"), "{path}");
        let (is_public_local, policy, opener) = page(&public, path).await;
        assert!(!is_public_local && policy.contains("frame-ancestors *") && opener.is_none(), "{path}: {policy}");
        // A program that was built without the client has a page that runs nothing.
        let is_built = public.fetch(path).await.text().await.unwrap().contains("asman-instance");
        assert!(is_local || !is_built, "{path}");
    }
}
