//! Time over HTTP from a submission until an idle worker that waits for a job has claimed it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::table::Table;

const ROUNDS: u32 = 1_000;

/// An API server in this process.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    stop: CancellationToken,
    task: JoinHandle<Result<(), api::Error>>,
    _blobs: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(database_url: &str) -> Result<Self> {
        let blobs = tempfile::tempdir()?;
        let mut config = api::Config::for_database(database_url.to_owned(), blobs.path().to_owned());
        // This limit is off, because the benchmark measures the product and not the limit.
        config.limits.submits_per_queue = "off".parse()?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let task = tokio::spawn(api::serve(listener, config, stop.clone()));
        Ok(Self { url, http: reqwest::Client::new(), stop, task, _blobs: blobs })
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

pub(crate) async fn measure(server_url: &str, table: &mut Table) -> Result<()> {
    let database = Database::make(server_url).await?;
    let server = Server::start(&database.url).await?;
    let mut taken = Vec::new();
    for n in 0..ROUNDS {
        taken.push(round(&server, n).await?);
    }
    taken.sort();
    let at = |percent: usize| taken[(taken.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    table.add("submit to claim by an idle waiting worker, p50", format!("{:.2} ms", at(50)), "< 5 ms");
    table.add("the same, p99", format!("{:.2} ms", at(99)), "< 20 ms");
    server.stop().await;
    database.drop_now().await
}

/// Measures one job: the worker waits first, then the job is submitted. The time runs from the submission to the claim's answer.
async fn round(server: &Server, n: u32) -> Result<Duration> {
    let queue = format!("{}/q/latency", server.url);
    let claim = r#"{"worker":{"id":"w","cpus":1},"free":{"cpus":1,"jobs":1},"wait":"20s"}"#;
    let waiting = tokio::spawn(server.http.post(format!("{queue}/claim")).body(claim).send());
    // Wait until the claim has queried the database once and has found no job.
    tokio::time::sleep(Duration::from_millis(15)).await;
    let start = Instant::now();
    let body = format!(r#"{{"definition":{{"image":"a","command":"echo {n}"}}}}"#);
    let submitting = tokio::spawn(server.http.post(&queue).body(body).send());
    let answer: serde_json::Value = waiting.await??.json().await?;
    let taken = start.elapsed();
    submitting.await??;
    let job = answer["jobs"].get(0).context("the worker got no job")?;
    let finish = format!(r#"{{"epoch":{},"reason":"Success"}}"#, job["epoch"]);
    let id = job["jobId"].as_str().context("a job has an id")?;
    server.http.post(format!("{queue}/j/{id}/finish")).body(finish).send().await?.error_for_status()?;
    Ok(taken)
}
