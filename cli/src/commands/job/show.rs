//! `asman job list`, `cancel` and `result`: one call, one answer.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::{Job, Namespace, QueueName, format_duration};
use serde_json::Value;

use super::JobArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::say;

/// One line per job: id, state, time in the state, worker. On a terminal there is a heading.
pub(super) async fn list(client: &Client, queue: &QueueName, is_json: bool) -> Result<(), Failure> {
    let jobs = client.list(queue).await?;
    if is_json {
        say::json(&jobs);
        return Ok(());
    }
    if jobs.is_empty() {
        say::note("No job is queued or running");
    }
    // Scripts that read the table do not need the heading.
    if !jobs.is_empty() && std::io::stdout().is_terminal() {
        say::result(&format!("{:<64}  {:<9}  {:>8}  {}", "JOB", "STATE", "SINCE", "WORKER"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for (id, job) in jobs {
        let job: Job = serde_json::from_value(job).map_err(|error| Failure::Failed(format!("a job cannot be read: {error}")))?;
        let word = job.finished_reason.map_or(job.state.as_str(), protocol::Reason::as_str);
        let since = Duration::from_millis(u64::try_from(job.time).unwrap_or(0));
        // Whole seconds, at least "0s": "0ms" would suggest too much precision.
        let age = Duration::from_secs(now.saturating_sub(since).as_secs().max(1));
        let (id, worker) = (say::name(&id), say::name(&job.worker));
        say::result(&format!("{id:<64}  {word:<9}  {:>8}  {worker}", format_duration(age)));
    }
    Ok(())
}

/// Cancels, and prints the outcome.
pub(super) async fn cancel(
    client: &Client,
    job: &JobArgs,
    namespace: &Namespace,
    message: Option<&str>,
    is_json: bool,
) -> Result<(), Failure> {
    let answer = client.cancel(&job.queue, &job.id, namespace.as_str(), message).await?;
    if is_json {
        say::json(&answer);
    }
    if answer.get("success").and_then(Value::as_bool) == Some(true) {
        if !is_json {
            say::note("Cancelled");
        }
        return Ok(());
    }
    let said = answer.get("message").and_then(Value::as_str).unwrap_or("the API did not cancel the job");
    Err(Failure::Failed(said.to_owned()))
}

/// The finished job as JSON.
pub(super) async fn result(client: &Client, job: &JobArgs) -> Result<(), Failure> {
    match client.result(&job.queue, &job.id).await? {
        Ok(job) => {
            let text = serde_json::to_string_pretty(&job).map_err(|error| Failure::Failed(error.to_string()))?;
            say::result(&text);
            Ok(())
        }
        Err(state) => Err(Failure::Failed(format!("the job has not finished: it is {state}"))),
    }
}
