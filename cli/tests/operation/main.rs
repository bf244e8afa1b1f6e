//! The API over PostgreSQL in operation: behind poolers, and through fail-overs, restores and restarts. The tests need no container.
//!
//! `OPERATION_KILLS` (3) says how often the server is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

#[path = "../support/mod.rs"]
mod support;

mod cron;
mod failover;
mod pooler;
mod poolers;
mod restore;
mod rolling;
mod tls;

use std::path::Path;

use reqwest::Client;
use serde_json::{Value, json};
use support::{Running, asman, house::free_port, until};

/// An API process, and a client of it.
struct Api {
    process: Running,
    url: String,
    http: Client,
}

impl Api {
    /// Starts an API on a port of its own, with further arguments, and waits until it is ready.
    fn start(database_url: &str, blobs: &Path, arguments: &[&str]) -> Self {
        Self::start_at(free_port(), database_url, blobs, arguments)
    }

    fn start_at(port: u16, database_url: &str, blobs: &Path, arguments: &[&str]) -> Self {
        Self::run(port, database_url, blobs, arguments, &[])
    }

    /// The same on any free port, with these environment variables.
    fn start_with_environment(database_url: &str, blobs: &Path, environment: &[(&str, &str)]) -> Self {
        Self::run(free_port(), database_url, blobs, &[], environment)
    }

    fn run(port: u16, database_url: &str, blobs: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = asman();
        command.args(["api", "--poll", "300ms", "--database-url", database_url, "--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--blob-directory").arg(blobs).args(arguments).envs(environment.iter().copied());
        let process = Running::start(&mut command);
        let ready = format!("http://127.0.0.1:{port}/readyz");
        until(|| {
            std::process::Command::new("curl").args(["-sf", "-m", "5", &ready]).output().unwrap().status.success().then_some(())
        });
        Self { process, url: format!("http://127.0.0.1:{port}"), http: Client::new() }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.http.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap()).await
    }

    /// Submits a job. Returns its id if the API acknowledged it.
    async fn submit(&self, n: u32) -> Option<String> {
        let response =
            self.http.post(format!("{}/q/q", self.url)).json(&json!({"definition": definition(n)})).send().await.ok()?;
        let (status, body) = answer(response).await;
        (status == 200).then(|| body["jobId"].as_str().unwrap().to_owned())
    }

    /// Claims a job and returns its id and epoch.
    async fn claim(&self, worker: &str) -> (String, i64) {
        let worker = json!({"id": worker, "version": "1", "cpus": 16, "maxJobDuration": "1h"});
        let (status, body) =
            self.post("/q/q/claim", json!({"worker": worker, "free": {"cpus": 16, "jobs": 1}, "wait": "10s"})).await;
        assert_eq!(status, 200, "{body}");
        let job = &body["jobs"][0];
        (job["jobId"].as_str().expect("a job was there").to_owned(), job["epoch"].as_i64().unwrap())
    }

    async fn finish(&self, job: &str, epoch: i64) -> u16 {
        let result = json!({"StatusCode": 0, "isTimedOut": false, "outputs": {}});
        self.post(&format!("/q/q/j/{job}/finish"), json!({"epoch": epoch, "reason": "Success", "result": result})).await.0
    }
}

async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn definition(n: u32) -> Value {
    json!({"image": "alpine:3.20", "command": format!("echo {n}")})
}

/// Runs `asman` with these arguments on a database. Returns its output.
fn on(database_url: &str, arguments: &[&str]) -> Result<String, String> {
    let output = asman().args(arguments).env("DATABASE_URL", database_url).output().unwrap();
    let said = support::text(&output.stdout) + &support::text(&output.stderr);
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// Repeats a check until it succeeds.
async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = std::time::Instant::now() + support::DEADLINE;
    while !ask().await {
        assert!(std::time::Instant::now() < deadline, "{what} did not happen in time");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
