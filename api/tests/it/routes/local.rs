//! An API that serves only its own machine: what browsers, requests for other host names, and programs may do.

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
        config.local_access.local = true;
        config.local_access.allow_origin = allowed;
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
    // A tunnel may use another port.
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
    // The host name that a browser uses through a tunnel.
    let tunnel = [("host", "localhost:9000"), ("origin", "http://localhost:9000")];
    assert_eq!(get(&api, "/q/local", &tunnel).await, 200);
    assert_eq!(api.get("/q/local").await.0, 200, "a program sends no origin");
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

/// The page as a browser gets it: whether it is marked as local, its content policy, and its opener policy.
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
        // Without the built client, the program has a page that runs nothing, and that page has no mark.
        let is_built = public.fetch(path).await.text().await.unwrap().contains("asman-instance");
        assert!(is_local || !is_built, "{path}");
    }
}

/// The origin of a page that asks for access.
const PAGE: &str = "https://page.example";

/// A local API that stores consents in a file in this folder.
async fn keeping(folder: &std::path::Path) -> TestApi {
    let file = folder.join("consent.json");
    TestApi::with(|config| {
        config.local_access.local = true;
        config.local_access.consent_file = Some(file);
    })
    .await
}

/// The consent page, as the user of the machine gets it.
async fn consent_page(api: &TestApi, query: &str) -> String {
    let visit = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    let page = with(api.request(Method::GET, &format!("/consent{query}")), &visit).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    assert_eq!(
        (&page.headers()["x-frame-options"], &page.headers()["cross-origin-opener-policy"]),
        (&"DENY".parse().unwrap(), &"same-origin".parse().unwrap())
    );
    page.text().await.unwrap()
}

/// The tokens of the page's forms.
fn tokens(html: &str) -> Vec<String> {
    html.split("name=\"token\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// Sends the form with this origin.
async fn send_form(api: &TestApi, origin: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let form: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = api.request(Method::POST, "/consent").header("content-type", "application/x-www-form-urlencoded");
    let answer = request.header("origin", origin).header("sec-fetch-site", "same-origin").body(form).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn own(api: &TestApi) -> String {
    format!("http://localhost:{}", port(api))
}

/// Allows the page, as a user does on the consent page.
async fn let_in(api: &TestApi) {
    let html = consent_page(api, "?origin=https%3A%2F%2Fpage.example").await;
    let fields = [("origin", PAGE), ("token", &tokens(&html)[0]), ("sure", "yes"), ("answer", "allow")];
    assert_eq!(send_form(api, &own(api), &fields).await.0, 303);
}

#[tokio::test]
async fn a_page_that_is_kept_out_is_told_how_the_person_can_let_it_in_and_then_may_use_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let api = keeping(folder.path()).await;
    let refused = with(api.request(Method::GET, "/q/local"), &[("origin", PAGE)]).send().await.unwrap();
    let (status, body) = body_of(refused).await;
    assert_eq!((status, &body["code"]), (403, &json!("foreign-origin")));
    let sentence = body["error"].as_str().unwrap();
    let address = format!("http://127.0.0.1:{}/consent?origin=https%3A%2F%2Fpage.example", port(&api));
    assert!(sentence.contains(&address) && sentence.contains("asman consent allow https://page.example"), "{sentence}");
    let html = consent_page(&api, "?origin=https%3A%2F%2Fpage.example").await;
    assert!(html.contains("Pages of <strong class=\"origin\">https://page.example</strong> ask to use this machine"), "{html}");
    let_in(&api).await;
    assert_eq!(get(&api, "/q/local", &[("origin", PAGE)]).await, 200);
    let body = json!({"definition": definition(1)});
    let submission = with(api.request(Method::POST, "/q/local").json(&body), &[("origin", PAGE)]).send().await.unwrap();
    assert_eq!(submission.headers()["access-control-allow-origin"], "*");
    assert_eq!(body_of(submission).await.0, 200);
    for stranger in [EVIL, "https://page.example.evil.example", "http://page.example", "https://page.example:8443", "null"] {
        assert_eq!(get(&api, "/q/local", &[("origin", stranger)]).await, 403, "{stranger}");
    }
    assert!(consent_page(&api, "").await.contains("<code>https://page.example</code> since "));
    // The consent is stored on disk, so the API knows it after its next start.
    let next = keeping(folder.path()).await;
    assert_eq!(get(&next, "/q/local", &[("origin", PAGE)]).await, 200);
}

#[tokio::test]
async fn chromiums_question_before_a_page_of_the_internet_reaches_this_machine_is_answered_for_those_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let api = keeping(folder.path()).await;
    let preflight = async || {
        let asked =
            [("origin", PAGE), ("access-control-request-method", "POST"), ("access-control-request-private-network", "true")];
        with(api.request(Method::OPTIONS, "/q/local"), &asked).send().await.unwrap()
    };
    let before = preflight().await;
    assert_eq!(before.status(), 403);
    assert!(!before.headers().contains_key("access-control-allow-private-network"));
    let_in(&api).await;
    let after = preflight().await;
    assert!(after.status().is_success(), "{after:?}");
    assert_eq!(after.headers()["access-control-allow-private-network"], "true");
    assert!(after.headers().contains_key("access-control-allow-methods"));
}

#[tokio::test]
async fn nobody_but_the_person_at_the_machine_gives_a_consent() {
    let folder = tempfile::tempdir().unwrap();
    let api = keeping(folder.path()).await;
    let html = consent_page(&api, "?origin=https%3A%2F%2Fpage.example").await;
    let token = &tokens(&html)[0];
    let form = |sure: &'static str, token: &str| {
        [("origin", PAGE), ("sure", sure), ("answer", "allow")]
            .map(|(a, b)| (a, b.to_owned()))
            .into_iter()
            .chain([("token", token.to_owned())])
            .collect::<Vec<_>>()
    };
    let sent = async |origin: &str, fields: Vec<(&str, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        send_form(&api, origin, &fields).await
    };
    let other_port = format!("http://localhost:{}", port(&api).parse::<u16>().unwrap() ^ 1);
    for origin in [EVIL, PAGE, "null", &other_port] {
        assert_eq!(sent(origin, form("yes", token)).await.0, 403, "a form of {origin}");
    }
    // A request with a forged host name, and a navigation from another site without the form.
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    let form_of = "origin=https%3A%2F%2Fpage.example&sure=yes&answer=allow";
    let post = |headers: &[(&str, &str)]| with(api.request(Method::POST, "/consent").body(form_of), headers).send();
    assert_eq!(post(&rebound).await.unwrap().status(), 421);
    assert_eq!(post(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]).await.unwrap().status(), 403);
    // Forms from the API's own page, but with an unknown token, or without the second action of the user.
    let own = own(&api);
    for bad in ["", "00000000-0000-4000-8000-000000000000"] {
        assert_eq!(sent(&own, form("yes", bad)).await.0, 200, "the page again");
    }
    assert!(sent(&own, form("", token)).await.1.contains("Tick the box first"));
    assert!(sent(&own, form("yes", token)).await.1.contains("has expired"), "a token counts once");
    assert_eq!(get(&api, "/q/local", &[("origin", PAGE)]).await, 403);
    assert!(!folder.path().join("consent.json").exists(), "nothing was kept");
    for origin in ["null", "page.example", "javascript:alert(1)", "https://page.example/path"] {
        let query: String = url::form_urlencoded::byte_serialize(origin.as_bytes()).collect();
        assert_eq!(get(&api, &format!("/consent?origin={query}"), &[]).await, 400, "{origin}");
    }
}

#[tokio::test]
async fn a_page_that_was_let_in_cannot_let_others_in() {
    let folder = tempfile::tempdir().unwrap();
    let api = keeping(folder.path()).await;
    let_in(&api).await;
    assert_eq!(get(&api, "/consent", &[("origin", PAGE)]).await, 403);
    let fields = [("origin", EVIL), ("sure", "yes"), ("answer", "allow")];
    assert_eq!(send_form(&api, PAGE, &fields).await.0, 403);
    assert_eq!(get(&api, "/consent?origin=https%3A%2F%2F%22%3E%3Cscript%3E.example", &[]).await, 400);
}

#[tokio::test]
async fn what_is_taken_back_counts_at_once_for_requests_and_soon_for_what_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let api = keeping(folder.path()).await;
    let_in(&api).await;
    let mut request = format!("{}/q/local/client", api.url.replace("http", "ws")).into_client_request().unwrap();
    request.headers_mut().insert("origin", PAGE.parse().unwrap());
    let (stream, _) = in_time(connect_async(request)).await.unwrap();
    let mut socket = crate::socket::Socket { stream };
    socket.ping().await;
    let html = consent_page(&api, "").await;
    let fields = [("origin", PAGE), ("token", &tokens(&html)[0]), ("answer", "revoke")];
    assert_eq!(send_form(&api, &own(&api), &fields).await.0, 303);
    assert_eq!(get(&api, "/q/local", &[("origin", PAGE)]).await, 403);
    socket.send(&crate::socket::submission("late", &definition(1))).await;
    assert_eq!(socket.closed().await, Some(1008));
    assert_eq!(api.count("select count(*) from asman.queued").await, 0, "what it sent meanwhile is not accepted");
    // The command line allows the page too, by writing the same file.
    let file = api::ConsentFile::at(folder.path().join("consent.json"));
    file.allow(PAGE).unwrap();
    assert_eq!(get(&api, "/q/local", &[("origin", PAGE)]).await, 200);
    file.revoke(PAGE).unwrap();
    assert_eq!(get(&api, "/q/local", &[("origin", PAGE)]).await, 403);
}

#[tokio::test]
async fn an_api_for_everybody_has_nobody_to_ask() {
    let api = TestApi::new().await;
    assert_eq!(api.fetch("/consent").await.status(), 404);
}

#[tokio::test]
async fn the_length_of_this_machines_one_queue_is_among_the_numbers_of_the_process() {
    let api = local(&[]).await;
    let length = async || {
        let text = api.fetch("/metrics").await.text().await.unwrap();
        text.lines().find_map(|line| line.strip_prefix("queue_length ")).map(str::to_owned)
    };
    assert_eq!(length().await.as_deref(), Some("0"));
    api.submit("local", 1).await;
    api.submit("local", 2).await;
    api.submit("another", 3).await;
    api.claim("local", "w", 1, "15s").await;
    assert_eq!(length().await.as_deref(), Some("2"), "one waits and one runs");
    let public = TestApi::new().await;
    assert!(!public.fetch("/metrics").await.text().await.unwrap().contains("queue_length"));
}
