//! A whole API process inside the test, on a port of its own.

use std::time::Duration;

use api::Config;
use migrations::testing::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A test fails if something that it waits for takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Pushed messages arrive within this time. It is shorter than any long poll of these tests and than the time between two snapshots,
/// and fifty times as long as a quiet machine needs.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);

/// A serving API.
pub(crate) struct TestApi {
    /// `http://127.0.0.1:<port>`.
    pub(crate) url: String,
    pub(crate) database_url: String,
    pub(crate) http: reqwest::Client,
    _blobs: tempfile::TempDir,
    _stop: DropGuard,
}

impl TestApi {
    /// One API process over a database of its own.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn with(set: impl FnOnce(&mut Config)) -> Self {
        Self::over(&TestDatabase::new().await.url, set).await
    }

    /// A further process over the same database, with other settings.
    pub(crate) async fn over(database_url: &str, set: impl FnOnce(&mut Config)) -> Self {
        let blobs = tempfile::tempdir().unwrap();
        let mut config = Config::for_database(database_url.to_owned(), blobs.path().to_owned());
        set(&mut config);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(api::serve(listener, config, stop.clone()));
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let api = Self { url, database_url: database_url.to_owned(), http, _blobs: blobs, _stop: stop.drop_guard() };
        api.get("/healthz").await;
        api
    }

    /// A request that the test completes and sends.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends a GET and returns the unchanged response.
    pub(crate) async fn fetch(&self, path: &str) -> reqwest::Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Sends a GET and returns status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        body_of(self.fetch(path).await).await
    }

    /// Sends a POST with a JSON body and returns status and body.
    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        body_of(self.request(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    /// Sends a POST with this text as its body and returns status and body.
    pub(crate) async fn post_text(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        body_of(self.request(Method::POST, path).body(body).send().await.unwrap()).await
    }

    /// Submits `echo <n>` to a queue and returns the id of the job.
    pub(crate) async fn submit(&self, queue: &str, n: u32) -> String {
        self.submit_job(queue, json!({"definition": definition(n)})).await
    }

    /// Submits a whole body and returns the id of the job.
    pub(crate) async fn submit_job(&self, queue: &str, body: Value) -> String {
        let (status, body) = self.post(&format!("/q/{queue}"), body).await;
        assert_eq!(status, 200, "{body}");
        body["jobId"].as_str().unwrap().to_owned()
    }

    /// Claims up to `n` jobs for a worker.
    pub(crate) async fn claim(&self, queue: &str, worker: &str, n: u32, wait: &str) -> Vec<Value> {
        self.claim_with(queue, claim_body(worker, n, wait)).await
    }

    /// Claims with a whole body. Returns the jobs.
    pub(crate) async fn claim_with(&self, queue: &str, body: Value) -> Vec<Value> {
        let (status, body) = self.post(&format!("/q/{queue}/claim"), body).await;
        assert_eq!(status, 200, "{body}");
        body["jobs"].as_array().unwrap().clone()
    }

    /// Claims one job and returns its id and epoch.
    pub(crate) async fn claim_one(&self, queue: &str, worker: &str) -> (String, i64) {
        held(&self.claim(queue, worker, 1, "15s").await[0])
    }

    /// Sends log lines of a claim; returns the status.
    pub(crate) async fn log(&self, job: &str, epoch: i64, seq: i32, step: &str, lines: &[&str]) -> u16 {
        let lines: Vec<_> = lines.iter().map(|line| json!([line, 1])).collect();
        let body = json!({"epoch": epoch, "seq": seq, "step": step, "lines": lines});
        self.post(&format!("/q/q/j/{job}/logs"), body).await.0
    }

    /// Finishes a claim with success; returns the status.
    pub(crate) async fn finish(&self, job: &str, epoch: i64) -> u16 {
        let body = json!({"epoch": epoch, "reason": "Success", "result": {"StatusCode": 0, "isTimedOut": false, "outputs": {}}});
        self.post(&format!("/q/q/j/{job}/finish"), body).await.0
    }

    /// The state of a job in the header `x-asman-state`.
    pub(crate) async fn state(&self, job: &str) -> String {
        let response = self.fetch(&format!("/q/q/j/{job}/result.json")).await;
        response.headers()["x-asman-state"].to_str().unwrap().to_owned()
    }

    /// A connection to the database behind the API.
    pub(crate) async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.database_url).await.unwrap()
    }

    /// One number from the database.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        self.database().await.fetch_one(sql).await.unwrap().get(0)
    }

    /// Changes the database directly.
    pub(crate) async fn execute(&self, sql: &'static str) {
        self.database().await.execute(sql).await.unwrap();
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let asking = async {
        loop {
            tick.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

/// Waits for a task or stream, but not for ever.
pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("came in time")
}

/// A definition that is another one for each number.
pub(crate) fn definition(n: u32) -> Value {
    json!({"image": "alpine:3.20", "command": format!("echo {n}")})
}

/// Body of a claim.
pub(crate) fn claim_body(worker: &str, n: u32, wait: &str) -> Value {
    json!({"worker": {"id": worker, "version": "1", "cpus": 16, "maxJobDuration": "1h"}, "free": {"cpus": 16, "jobs": n}, "wait": wait})
}

/// Id and epoch of a claim.
pub(crate) fn held(claim: &Value) -> (String, i64) {
    (claim["jobId"].as_str().unwrap().to_owned(), claim["epoch"].as_i64().unwrap())
}

/// Fails unless the body is `{"error": "<one sentence>", "code": "<a known code>"}`.
pub(crate) fn assert_one_sentence(body: &Value) {
    let members = body.as_object().unwrap_or_else(|| panic!("no JSON object: {body}"));
    let sentence = members.get("error").and_then(Value::as_str).unwrap_or_else(|| panic!("no sentence: {body}"));
    let code = members.get("code").and_then(Value::as_str).unwrap_or_else(|| panic!("no code: {body}"));
    assert!(protocol::ErrorCode::named(code).is_some(), "{body}");
    assert!(members.len() == 2 && !sentence.is_empty() && !sentence.contains('\n'), "{body}");
}

/// Status and body of a response.
pub(crate) async fn body_of(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
