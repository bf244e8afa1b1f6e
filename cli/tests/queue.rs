//! `asman queue policy` and tokens, against an API of a few canned answers: what the command sends, and what it does not show.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::any;
use axum::{Json, Router};
use serde_json::{Value, json};
use support::{asman, text};

/// Method, token and body of each request.
type Asked = Arc<Mutex<Vec<(String, Option<String>, Value)>>>;

async fn serve() -> (String, Asked) {
    let asked = Asked::default();
    let app = Router::new().fallback(any(answer)).with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    (format!("http://{address}"), asked)
}

async fn answer(State(asked): State<Asked>, method: Method, headers: HeaderMap, body: Bytes) -> (StatusCode, Json<Value>) {
    let body_text = String::from_utf8_lossy(&body);
    if body_text.contains(r#""maxQueued":0"#) {
        let sentence = "maxQueued must be greater than nothing; null removes it";
        return (StatusCode::BAD_REQUEST, Json(json!({"error": sentence})));
    }
    let is_owned = !body_text.contains("ownerless");
    let token = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    asked.lock().unwrap().push((method.to_string(), token, serde_json::from_slice(&body).unwrap_or_default()));
    let policy = json!({"paused": true, "ownerToken": is_owned, "maxQueued": null, "maxDuration": "1h"});
    (StatusCode::OK, Json(json!({"data": policy})))
}

/// Runs the command against the server of this test.
async fn run(api: &str, arguments: &[&str], set: &[(&str, &str)]) -> std::process::Output {
    let mut command = asman();
    command.args(arguments).args(["--api", api]).envs(set.iter().copied());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_changed_with_tokens_from_the_environment_and_from_files() {
    let (api, asked) = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "worker-token-0123456789\n").unwrap();
    let source = format!("file:{}", file.display());
    let arguments = [
        "queue",
        "policy",
        "set",
        "q",
        "--pause",
        "--owner-token",
        "env:NEW",
        "--worker-token",
        &source,
        "--read-token",
        "none",
        "--max-queued",
        "5",
        "--max-per-namespace",
        "none",
        "--max-duration",
        "90m",
        "--retention",
        "7d",
    ];
    let output = run(&api, &arguments, &[("ASMAN_TOKEN", "old-owner-0123456789"), ("NEW", "new-owner-0123456789")]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("paused           yes") && said.contains("maxQueued        none"), "{said}");
    assert!(!said.contains("0123456789"), "{said}");
    let body = json!({"paused": true, "ownerToken": "new-owner-0123456789", "workerToken": "worker-token-0123456789", "readToken": null,
        "maxQueued": 5, "maxPerNamespace": null, "maxDuration": "1h30m", "retention": "7d"});
    assert_eq!(asked.lock().unwrap().remove(0), ("PUT".into(), Some("Bearer old-owner-0123456789".into()), body));
    let path = file.to_str().unwrap();
    run(&api, &["queue", "policy", "get", "q", "--token-file", path, "--json"], &[]).await;
    run(&api, &["queue", "policy", "clear", "q"], &[]).await;
    let asked = asked.lock().unwrap();
    assert_eq!((asked[0].0.as_str(), asked[0].1.as_deref()), ("GET", Some("Bearer worker-token-0123456789")));
    assert_eq!((asked[1].0.as_str(), asked[1].1.as_deref()), ("DELETE", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_without_an_owner_is_warned_of_and_a_refusal_speaks_of_flags() {
    let (api, _) = serve().await;
    let set = |more: &'static str| ["queue", "policy", "set", "q", "--worker-token", more];
    let output = run(&api, &set("env:NEW"), &[("NEW", "ownerless-0123456789")]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("This policy has no owner"), "{output:?}");
    let output = run(&api, &set("env:NEW"), &[("NEW", "worker-token-0123456789")]).await;
    assert_eq!(text(&output.stderr), "", "it has an owner");
    let output = run(&api, &["queue", "policy", "set", "q", "--max-queued", "0"], &[]).await;
    let said = (output.status.code(), text(&output.stderr));
    assert_eq!(
        said,
        (
            Some(2),
            "asman: maxQueued must be greater than nothing; null removes it (what is null there is none on the command line)\n"
                .to_owned()
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn job_commands_send_their_token_from_either_place() {
    let (api, asked) = serve().await;
    run(&api, &["job", "list", "q"], &[("ASMAN_TOKEN", "from-the-environment")]).await;
    run(&api, &["job", "list", "q", "--token", "from-the-arguments"], &[]).await;
    run(&api, &["job", "list", "q"], &[]).await;
    let tokens: Vec<_> = asked.lock().unwrap().iter().map(|(_, token, _)| token.clone()).collect();
    assert_eq!(tokens, [Some("Bearer from-the-environment".into()), Some("Bearer from-the-arguments".into()), None]);
}
