//! A queue's name, its tokens and its callbacks appear in no log line of any level, in no metric and in no notification.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use base64::Engine as _;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor;
use sqlx::postgres::PgListener;
use support::{Running, asman};
use tokio_tungstenite::tungstenite::Message;

const QUEUE: &str = "okapi-queue-5f7d1c";
const TOKEN: &str = "quagga-token-91c2e8";
const CALLBACK: &str = "dugong-callback-33ab";

struct Api {
    url: String,
    http: reqwest::Client,
}

impl Api {
    /// Sends a request as a careless client does: with a token, and with a referrer that contains the queue's name.
    async fn send(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.url)).body(body);
        let request = request.bearer_auth(TOKEN).header("referer", format!("{}/q/{QUEUE}", self.url));
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, body.to_string()).await
    }
}

fn secrets() -> Vec<String> {
    let base64 = base64::engine::general_purpose::STANDARD.encode(QUEUE);
    vec![QUEUE.into(), TOKEN.into(), CALLBACK.into(), base64[..20].to_owned()]
}

fn assert_clean(what: &str, text: &str) {
    for secret in secrets() {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&secret)).collect();
        assert!(lines.is_empty(), "{what} holds {secret}: {lines:#?}");
    }
}

fn start(database_url: &str, blobs: &std::path::Path) -> (Running, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = asman();
    command.args(["api", "--allow-private-webhooks", "--webhook-backoff", "100ms", "--lease", "1s", "--poll", "200ms"]);
    command.args(["--database-url", database_url, "--listen", &format!("127.0.0.1:{port}"), "--blob-directory"]).arg(blobs);
    command.env("ASMAN_LOG", "debug");
    (Running::start(&mut command), format!("http://127.0.0.1:{port}"))
}

/// Takes a job through its whole life, with everything that can go wrong in it.
async fn whole_flow(api: &Api, database: &sqlx::PgPool, receiver_port: u16) {
    let q = format!("/q/{QUEUE}");
    // One receiver does not exist, one refuses, and one is a name without an address.
    for (n, url) in (0..).zip([
        format!("http://127.0.0.1:1/{CALLBACK}?queue={QUEUE}"),
        format!("http://localhost:{receiver_port}/{CALLBACK}?token={TOKEN}"),
        format!("http://{CALLBACK}.invalid/{QUEUE}"),
    ]) {
        let callback = json!({"url": url, "payload": {"token": TOKEN}});
        let control = json!({"callbacks": {"queued": callback, "finished": callback}});
        let body = json!({"definition": {"image": "a", "command": format!("{n} {TOKEN}")}, "control": control});
        assert_eq!(api.post(&q, &body).await.0, 200);
    }
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("{}{q}/client", api.url.replace("http", "ws"))).await.unwrap();
    socket.send(Message::text(format!("{{\"type\":\"{TOKEN}\",\"queue\":\"{QUEUE}\"}}"))).await.unwrap();
    socket.send(Message::text("PING")).await.unwrap();
    while socket.next().await.unwrap().unwrap().to_text().unwrap_or_default() != "PONG" {}

    let worker = json!({"id": "w", "version": "1", "cpus": 2, "maxJobDuration": "24h"});
    let ask = json!({"worker": worker, "free": {"cpus": 2, "jobs": 2}, "wait": "10s"});
    let (_, claim) = api.post(&format!("{q}/claim"), &ask).await;
    let (id, epoch) = (claim["jobs"][0]["jobId"].as_str().unwrap(), &claim["jobs"][0]["epoch"]);
    let job = format!("{q}/j/{id}");
    let lines = json!({"epoch": epoch, "seq": 0, "step": "Running", "lines": [[TOKEN, 1]]});
    assert_eq!(api.post(&format!("{job}/logs"), &lines).await.0, 200);
    let result = json!({"StatusCode": 1, "isTimedOut": false, "outputs": {"a": {"value": TOKEN}}});
    let finish = json!({"epoch": epoch, "reason": "Error", "message": format!("{QUEUE} failed"), "result": result});
    assert_eq!(api.post(&format!("{job}/finish"), &finish).await.0, 200);
    let stale = json!({"epoch": 999_999, "reason": "Error", "result": result});
    assert_eq!(api.post(&format!("{job}/finish"), &stale).await.0, 409);
    let second = claim["jobs"][1]["jobId"].as_str().unwrap();
    assert_eq!(api.post(&format!("{q}/j/{second}/cancel?message={TOKEN}&namespace=_"), &json!({})).await.0, 200);
    for path in ["", "/status", "/metrics", "/j", "/j/none", "/what", "/j/none/result.json", "/j/none/inputs/x", "/policy"] {
        api.send(Method::GET, &format!("{q}{path}"), "").await;
    }
    for path in
        [format!("/{QUEUE}/status"), format!("/{QUEUE}/metrics"), format!("/{QUEUE}"), format!("/f/{TOKEN}"), format!("{q}%0A")]
    {
        api.send(Method::GET, &path, "").await;
    }
    assert_eq!(api.send(Method::PUT, &format!("/f/{TOKEN}"), TOKEN).await.0, 200);
    assert_eq!(api.send(Method::POST, &q, format!("{{\"definition\": {TOKEN} {QUEUE}")).await.0, 400);
    assert_eq!(api.send(Method::POST, &q, format!("{QUEUE} ").repeat(200_000)).await.0, 413);
    assert_eq!(api.send(Method::DELETE, &q, "").await.0, 405);
    api.send(Method::PUT, &format!("{q}/policy"), json!({"ownerToken": TOKEN}).to_string()).await;
    server_error(api, database, &q).await;
}

/// Causes an internal error. Its answer contains the id under which the log has the cause.
async fn server_error(api: &Api, database: &sqlx::PgPool, q: &str) {
    database.execute("alter table asman.waiting_class rename to away").await.unwrap();
    let request = api.http.get(format!("{}{q}", api.url)).header("x-request-id", "my-id.1").bearer_auth(TOKEN);
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-request-id"]), (500, &"my-id.1".parse().unwrap()));
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"error": "internal error", "id": "my-id.1"}));
    let body = json!({"definition": {"image": "a", "command": TOKEN}});
    assert_eq!(api.post(q, &body).await.0, 500);
    database.execute("alter table asman.away rename to waiting_class").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_measured_or_notified_at_debug_level() {
    let database_url = migrations::testing::TestDatabase::new().await.url;
    let folder = support::data_directory();
    let database = sqlx::PgPool::connect(&database_url).await.unwrap();
    let mut listener = PgListener::connect(&database_url).await.unwrap();
    listener.listen("asman").await.unwrap();
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver_port = receiver.local_addr().unwrap().port();
    let refuse = axum::Router::new().fallback(async || axum::http::StatusCode::FORBIDDEN);
    tokio::spawn(async { axum::serve(receiver, refuse).await });
    let (mut running, url) = start(&database_url, folder.path());
    // Each request uses a connection of its own, because the server closes the connection with the body that was too large.
    let api = Api { url, http: reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap() };
    support::ready(&api.http, &api.url).await;

    whole_flow(&api, &database, receiver_port).await;
    let tried = "select count(*) from asman.webhook where last_error is not null";
    support::eventually(async || (sqlx::query_scalar::<_, i64>(tried).fetch_one(&database).await.unwrap() >= 5).then_some(()))
        .await;
    let metrics = api.http.get(format!("{}/metrics", api.url)).send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("asman_http_requests_total{method=\"POST\",route=\"/q/{queue}/claim\",status=\"200\"} 1\n"),
        "{metrics}"
    );
    assert_clean("/metrics", &metrics);
    let (_, of_queue) = api.send(Method::GET, &format!("/q/{QUEUE}/metrics"), "").await;
    assert_clean("the queue's metrics", of_queue.as_str().unwrap());

    let mut n_notified = 0;
    while let Ok(notification) = tokio::time::timeout(std::time::Duration::from_millis(500), listener.recv()).await {
        assert_clean("a notification", notification.unwrap().payload());
        n_notified += 1;
    }
    assert!(n_notified > 3, "there were notifications to look at: {n_notified}");
    running.stop();
    let said = running.said.join("\n");
    assert!(said.contains("DEBUG") && said.contains("a webhook was not delivered") && said.contains("my-id.1"), "{said}");
    assert_clean("the log", &said);
}
