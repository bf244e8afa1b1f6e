//! How much longer a job takes than its bare container, and whether a worker's slots stay busy.
//!
//! API and worker are separate processes of the release binary, as they are for a user. Bare round trips and jobs take turns, so that a
//! busy moment of the machine hits both.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::database::Database;
use crate::engine::{Engine, IMAGE};
use crate::latency::Server;
use crate::table::Table;

const PAIRS: usize = 30;
const SLOTS: usize = 8;
const PARALLEL_JOBS: usize = 50;
/// How long each of the parallel jobs sleeps.
const JOB_SECONDS: u32 = 3;
const START_MAX: Duration = Duration::from_secs(30);

pub(crate) async fn measure(server_url: &str, table: &mut Table) -> Result<()> {
    let asman = std::env::current_exe()?.with_file_name("asman");
    if !asman.exists() {
        table.add("container jobs", "not measured: build the asman binary beside this one", "");
        return Ok(());
    }
    let engine = Engine::connect().await?;
    let database = Database::make(server_url).await?;
    let server = Server::start(&database.url).await?;
    let folder = tempfile::tempdir()?;
    let mut worker = start_worker(&asman, &server.url, folder.path())?;
    wait_until_ready(&server).await?;
    overhead(&engine, &server, table).await?;
    slots(&server, table).await?;
    if let Some(pid) = worker.id() {
        Command::new("kill").arg(pid.to_string()).status().await?;
    }
    worker.wait().await?;
    server.stop().await;
    database.drop_now().await
}

fn start_worker(asman: &std::path::Path, api: &str, folder: &std::path::Path) -> Result<Child> {
    let mut command = Command::new(asman);
    command.args(["worker", "run", "bench", "--api", api, "--jobs", &SLOTS.to_string(), "--cpus", &SLOTS.to_string()]);
    command.arg("--data-directory").arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.kill_on_drop(true).spawn()?)
}

async fn get(server: &Server, path: &str) -> Result<Value> {
    Ok(server.http.get(format!("{}{path}", server.url)).send().await?.error_for_status()?.json().await?)
}

async fn wait_until_ready(server: &Server) -> Result<()> {
    let end = Instant::now() + START_MAX;
    while get(server, "/q/bench/status").await?["localWorkers"].as_object().is_none_or(serde_json::Map::is_empty) {
        anyhow::ensure!(Instant::now() < end, "the worker did not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Submits a job. The number `n` makes it differ from the jobs before it.
async fn submit(server: &Server, command: &str, n: usize) -> Result<String> {
    let body = format!(r#"{{"definition":{{"image":"{IMAGE}","command":"{command}","env":{{"N":"{n}"}}}}}}"#);
    let answer = server.http.post(format!("{}/q/bench", server.url)).body(body).send().await?.error_for_status()?;
    let answer: Value = answer.json().await?;
    Ok(answer["jobId"].as_str().context("a job has an id")?.to_owned())
}

/// Returns when the job's stream of events has ended. The stream ends with the job's result.
async fn end_of(server: &Server, id: &str) -> Result<()> {
    let stream = server.http.get(format!("{}/q/bench/j/{id}/stream", server.url)).send().await?.error_for_status()?;
    let events = stream.text().await?;
    anyhow::ensure!(events.contains(r#""reason":"Success""#), "a job failed: {events}");
    Ok(())
}

fn median(mut taken: Vec<Duration>) -> f64 {
    taken.sort();
    taken[taken.len() / 2].as_secs_f64() * 1e3
}

/// Measures the same no-op in turns: bare, bare with the settings of a job's container, and as a job.
async fn overhead(engine: &Engine, server: &Server, table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (plain, confined) = (json!({}), engine.settings_of_a_job(folder.path()).await?);
    let mut taken: [Vec<Duration>; 3] = Default::default();
    for n in 0..=PAIRS {
        let turns = [bare(engine, &plain).await?, bare(engine, &confined).await?, job(server, n).await?];
        // The first turns warm the engine.
        if n > 0 {
            taken.iter_mut().zip(turns).for_each(|(all, one)| all.push(one));
        }
        // The worker removes the job's container after the result. Wait for this, so that it does not slow the next bare round trip.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    engine.remove_network().await?;
    let [plain, confined, job] = taken.map(median);
    table.add(format!("bare create + start + wait of a no-op, median of {PAIRS}"), format!("{plain:.0} ms"), "");
    table.add("the same with a job's network, limits and folders", format!("{confined:.0} ms"), "");
    table.add("the same as a job, submit to result at the client", format!("{job:.0} ms"), "");
    table.add("job to bare", format!("{:.2}", job / plain), "<= 1.15");
    table.add("job to bare with a job's settings", format!("{:.2}", job / confined), "<= 1.15");
    Ok(())
}

async fn bare(engine: &Engine, settings: &Value) -> Result<Duration> {
    let start = Instant::now();
    let mut taken = Duration::ZERO;
    engine.round_trip(&["true"], settings, || taken = start.elapsed()).await?;
    Ok(taken)
}

async fn job(server: &Server, n: usize) -> Result<Duration> {
    let start = Instant::now();
    let id = submit(server, "true", n).await?;
    end_of(server, &id).await?;
    Ok(start.elapsed())
}

/// Runs fifty sleeping jobs on eight slots, and measures which share of the slots' time is used while jobs wait.
async fn slots(server: &Server, table: &mut Table) -> Result<()> {
    let mut ids = Vec::new();
    for n in 0..PARALLEL_JOBS {
        ids.push(submit(server, &format!("sleep {JOB_SECONDS}"), n).await?);
    }
    let mut spans = Vec::new();
    for id in &ids {
        end_of(server, id).await?;
        spans.push(span(server, id).await?);
    }
    let first = spans.iter().map(|span| span.0).fold(f64::MAX, f64::min);
    // After this time no job waits, so slots may be idle.
    let last = spans.iter().map(|span| span.0).fold(0.0, f64::max);
    let busy: f64 = spans.iter().map(|(start, end)| end.min(last) - start).sum();
    let share = busy / (SLOTS as f64 * (last - first));
    let what = format!("{PARALLEL_JOBS} jobs on {SLOTS} slots: share of the slots that is busy while jobs wait");
    table.add(what, format!("{:.0} %", share * 100.0), ">= 90 %");
    Ok(())
}

/// When a job was claimed and when it had finished, in milliseconds of the database's clock.
async fn span(server: &Server, id: &str) -> Result<(f64, f64)> {
    let history = get(server, &format!("/q/bench/j/{id}/history.json")).await?;
    let entries = history["data"].as_array().context("a job has a history")?;
    let at = |event: &str| entries.iter().rev().find(|entry| entry["event"] == event)?["time"].as_f64();
    at("claimed").zip(at("finished")).context("a finished job was claimed and finished")
}
