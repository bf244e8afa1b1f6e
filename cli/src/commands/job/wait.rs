//! Waits for a job to end, with its log on stderr, and fetches its outputs.

use std::path::PathBuf;
use std::time::Duration;

use protocol::{EndFault, Job, JobId, JobResult, JobState, Missing, QueueName, Reason};
use serde::Serialize;
use tokio::signal;
use tokio::sync::watch;

use super::fetch;
use super::follow::{Seen, follow};
use crate::client::{Client, Error};
use crate::failure::Failure;
use crate::program::how_to_call;
use crate::say;

const RETRY: Duration = Duration::from_secs(1);
/// After a job has waited for this long, the API is asked for the reason. Later it is asked again after each [`ASK_AGAIN`].
const WAITS_LONG: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// The first characters of the id name the default folder of outputs.
const FOLDER_CHARS: usize = 12;

/// How to wait.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct WaitArgs {
    /// Put the outputs here [default: a folder named by the first 12 characters of the job's id].
    #[arg(short, long, value_name = "DIR")]
    output_directory: Option<PathBuf>,
    /// Do not show the log and the progress.
    #[arg(short, long)]
    quiet: bool,
}

impl WaitArgs {
    /// The flags as [`WaitOptions`].
    pub(crate) fn options(&self) -> WaitOptions {
        WaitOptions {
            output_directory: self.output_directory.clone(),
            is_quiet: self.quiet,
            tells_why: !self.quiet,
            has_run_before: false,
        }
    }
}

/// How to wait.
#[derive(Clone, Debug)]
pub(crate) struct WaitOptions {
    /// Where outputs go; absent means a folder named by the job's id.
    pub(crate) output_directory: Option<PathBuf>,
    /// Whether to hide the log.
    pub(crate) is_quiet: bool,
    /// Whether to print why the job still waits.
    pub(crate) tells_why: bool,
    /// Whether the result existed before the job was submitted.
    pub(crate) has_run_before: bool,
}

/// How a job ended, and which files were fetched.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    job_id: JobId,
    reason: Reason,
    /// Why it has no result, as programs read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Whose fault that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<EndFault>,
    /// Exit code of the container.
    exit_code: Option<i64>,
    duration_ms: Option<f64>,
    message: Option<String>,
    /// Nothing ran, because the result existed when the job was submitted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    has_run_before: bool,
    /// Files that were written here.
    pub(crate) outputs: Vec<PathBuf>,
    /// The outputs that the result lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Missing>,
}

/// Waits, prints the outcome, and turns it into an exit code. Ctrl-C leaves the job running.
pub(super) async fn run(
    client: &Client,
    queue: &QueueName,
    id: &JobId,
    options: &WaitOptions,
    is_json: bool,
) -> Result<(), Failure> {
    let options = &WaitOptions { tells_why: options.tells_why && !is_json, ..options.clone() };
    let outcome = tokio::select! {
        outcome = wait_for(client, queue, id, options) => outcome?,
        _ = signal::ctrl_c() => {
            say::note(&format!("The job continues; wait for it with `{} job await <queue> {id}`", how_to_call()));
            return Err(Failure::Interrupted);
        }
    };
    if is_json {
        say::json(&outcome);
    } else {
        outcome.outputs.iter().for_each(|path| say::path(path));
        outcome.missing.iter().for_each(tell_missing);
    }
    outcome.check()
}

/// Follows the job to its end and fetches its outputs.
pub(crate) async fn wait_for(client: &Client, queue: &QueueName, id: &JobId, options: &WaitOptions) -> Result<Outcome, Failure> {
    let is_queued = watch::Sender::new(false);
    let mut sink = |seen: Seen<'_>| match seen {
        Seen::Line(_, line) if !options.is_quiet => say::note(line.shown()),
        Seen::Line(..) => {}
        Seen::State(state) => drop(is_queued.send_replace(state == JobState::Queued)),
    };
    let waiting = is_queued.subscribe();
    tokio::select! {
        followed = follow(client, queue, id, &mut sink) => followed?,
        () = tell_why(client, queue, id, waiting), if options.tells_why => {}
    }
    let job = result(client, queue, id).await?;
    let finished =
        job.finished.ok_or_else(|| Failure::Failed("the API does not report the job's end; try again later".to_owned()))?;
    let left: JobResult = finished.result.unwrap_or_default();
    let folder = options.output_directory.clone().unwrap_or_else(|| default_folder(id));
    let outputs = fetch::all(client, queue, id, &left.outputs, &folder).await?;
    let message = finished.message.or_else(|| left.error.as_ref().and_then(error_message));
    Ok(Outcome {
        job_id: id.clone(),
        reason: finished.reason,
        code: finished.code,
        fault: finished.fault,
        exit_code: left.status_code,
        duration_ms: left.duration,
        message,
        has_run_before: options.has_run_before,
        outputs,
        missing: left.missing,
    })
}

/// Prints why the job waits, once for each reason. It runs for as long as the job is followed.
async fn tell_why(client: &Client, queue: &QueueName, id: &JobId, mut is_queued: watch::Receiver<bool>) {
    let mut told = String::new();
    while is_queued.wait_for(|is_queued| *is_queued).await.is_ok() {
        tokio::time::sleep(if told.is_empty() { WAITS_LONG } else { ASK_AGAIN }).await;
        // Without the permission to read the queue's status nothing is printed.
        let why = client.why_waiting(queue, id).await.ok().flatten().unwrap_or_default();
        let still_waits = *is_queued.borrow();
        if still_waits && !why.is_empty() && why != told {
            say::note(&format!("The job waits: {why}"));
            told = why;
        }
    }
    std::future::pending::<()>().await;
}

/// Fetches the result of a job that has ended. The result exists, so only the connection may fail.
async fn result(client: &Client, queue: &QueueName, id: &JobId) -> Result<Job, Failure> {
    loop {
        match client.result(queue, id).await {
            Ok(Ok(job)) => return Ok(job),
            Ok(Err(_)) | Err(Error::UnknownJob) => {
                return Err(Failure::Failed("the job was removed before its result was read".to_owned()));
            }
            Err(error @ (Error::Refused { .. } | Error::BehindProxy { .. })) => return Err(error.into()),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Names the first outputs that the result lacks, for each reason.
fn tell_missing(missing: &Missing) {
    for why in &missing.why {
        let more = if why.outputs > why.names.len() as u64 { ", …" } else { "" };
        let names: Vec<_> = why.names.iter().map(|name| say::name(name)).collect();
        say::note(&format!("Missing: {} ({}{more}): {}", why.outputs, names.join(", "), say::name(&why.message)));
    }
}

fn error_message(error: &serde_json::Value) -> Option<String> {
    error.pointer("/json/message")?.as_str().map(str::to_owned)
}

/// A client may have chosen the id, so only its harmless characters are used in the name.
fn default_folder(id: &JobId) -> PathBuf {
    let harmless = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    PathBuf::from(id.as_str().chars().take(FOLDER_CHARS).map(harmless).collect::<String>())
}

impl Outcome {
    /// Success of the job and its container, or the exit code of the one that failed.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.reason != Reason::Success {
            let message = self.message.as_ref().map(|message| format!(": {}", say::name(message))).unwrap_or_default();
            let sentence = format!("the job ended as {}{message}", self.reason.as_str());
            return Err(match self.fault {
                None | Some(EndFault::Job) => Failure::Failed(sentence),
                Some(fault) => Failure::NotRun(format!(
                    "{sentence}; the cause was not the job but the {}: submit it again to retry",
                    fault.as_str()
                )),
            });
        }
        match self.exit_code.unwrap_or(0) {
            0 => self.missing.as_ref().map_or(Ok(()), |missing| Err(Failure::Incomplete(missing.sentence()))),
            // An exit code here can only be 0 to 255.
            code => Err(Failure::Container(u8::try_from(code).unwrap_or(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(reason: Reason, exit_code: Option<i64>) -> Outcome {
        let job_id = "a".parse().unwrap();
        Outcome {
            job_id,
            reason,
            code: None,
            fault: None,
            exit_code,
            duration_ms: None,
            message: Some("why".into()),
            has_run_before: false,
            outputs: vec![],
            missing: None,
        }
    }

    #[test]
    fn exit_codes_tell_the_containers_failure_from_the_jobs() {
        assert!(outcome(Reason::Success, Some(0)).check().is_ok());
        assert!(matches!(outcome(Reason::Success, Some(137)).check(), Err(Failure::Container(137))));
        assert!(matches!(outcome(Reason::Success, Some(-1)).check(), Err(Failure::Container(1))));
        let incomplete =
            Outcome { missing: Some(Missing { outputs: 3, ..Missing::default() }), ..outcome(Reason::Success, Some(0)) };
        assert!(
            matches!(incomplete.check(), Err(Failure::Incomplete(sentence)) if sentence.starts_with("3 outputs are missing"))
        );
        assert_eq!(outcome(Reason::TimedOut, None).check().unwrap_err().to_string(), "the job ended as TimedOut: why");
        let of = |fault| Outcome { fault: Some(fault), ..outcome(Reason::Error, None) }.check().unwrap_err();
        assert!(matches!(of(EndFault::Job), Failure::Failed(_)));
        for fault in [EndFault::Machine, EndFault::Network, EndFault::Settings, EndFault::Cluster] {
            assert!(matches!(of(fault), Failure::NotRun(_)), "{fault:?}");
        }
    }

    #[test]
    fn the_default_folder_cannot_lead_elsewhere() {
        assert_eq!(default_folder(&"..".parse().unwrap()), PathBuf::from("__"));
        assert_eq!(default_folder(&"0123456789abcdef".parse().unwrap()), PathBuf::from("0123456789ab"));
    }
}
