//! How a job ended, and its outputs: short texts inline, links to the rest.

use std::collections::BTreeMap;

use protocol::{DataRef, ErrorCode, Finished, JobState, Reason};
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sql::ClaimKey;

use super::{Kind, Outcome, RunnableTool, tool};
use crate::error::ApiError;
use crate::mcp::answer::{Answer, Refusal};
use crate::mcp::call::{Call, Subject};
use crate::mcp::follow::Log;
use crate::mcp::outputs::{Piece, SHOWN_BYTES_MAX, address, described, job_address, link, read};

/// Most outputs whose bytes are read for one answer.
const READ_MAX: usize = 20;
/// Most outputs that one answer names.
const NAMED_MAX: usize = 200;
/// Most bytes of all texts in one answer.
const TEXTS_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of one output that one call reads.
const PIECE_BYTES_MAX: u32 = 256 * 1024;

/// The arguments that name one job.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResultArguments {
    /// Name of the queue. Needed unless the address of this server names one, or the job's id is the true hash of its definition.
    queue: Option<String>,
    /// Id of the job.
    job_id: String,
}

/// What `inspect_outputs` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InspectArguments {
    /// Name of the queue. Needed unless the address of this server names one, or the job's id is the true hash of its definition.
    queue: Option<String>,
    /// Id of the job.
    job_id: String,
    /// Name of the output to read. Without it all outputs are listed.
    name: Option<String>,
    /// First byte to read.
    offset: Option<u64>,
    /// Most bytes to read: 1 to 262144, 16384 without it.
    bytes: Option<u32>,
}

pub(super) fn tools() -> Vec<RunnableTool> {
    vec![
        tool(
            "get_job_results",
            "How a finished job ended: reason, exit code, the end of its log, text outputs inline and links to the others.",
            Kind::Reads,
            |call, given| Box::pin(get_job_results(call, given)),
        ),
        tool(
            "inspect_outputs",
            "The outputs of a finished job with their sizes and addresses; with `name` the text of one, in parts where it is long.",
            Kind::Reads,
            |call, given| Box::pin(inspect_outputs(call, given)),
        ),
    ]
}

async fn get_job_results(call: &Call<'_>, given: ResultArguments) -> Outcome {
    let subject = call.subject(given.queue.as_deref(), &given.job_id).await?;
    let job = call.job(&subject).await?;
    if job.state() != JobState::Finished {
        return Err(unfinished(job.state()));
    }
    let answer = Answer::new("").fact("jobId", subject.id.as_str()).fact("state", job.state().as_str());
    let run = end_of_log(call, &subject, true).await?;
    // A job that never ran has at most a log of its pull or build.
    let log = if run.is_empty() { end_of_log(call, &subject, false).await? } else { run };
    finish(call, &subject, log.show(answer)).await
}

/// The end of the log of the claim that ended the job.
async fn end_of_log(call: &Call<'_>, subject: &Subject, is_run: bool) -> Result<Log, Refusal> {
    let (qid, job_id) = (subject.qid, subject.id.as_str().to_owned());
    let read = async {
        let Some(row) = call.app.db.get_result(qid, &job_id).await? else { return Ok(sql::LogTail::default()) };
        call.app.db.read_tail(&ClaimKey { qid, job_id: job_id.clone(), epoch: row.epoch }, is_run).await
    };
    let tail: sql::LogTail = call.app.large.read(read).await?;
    Ok(Log::of_end(is_run, &tail.lines, tail.n_omitted))
}

fn unfinished(state: JobState) -> Refusal {
    let sentence = format!("the job is {} and has no result yet; follow_job waits for it", state.as_str().to_lowercase());
    Refusal::from(ApiError::refused(ErrorCode::InvalidRequest, sentence)).by("jobId")
}

/// Completes the answer about a finished job.
pub(super) async fn finish(call: &Call<'_>, subject: &Subject, answer: Answer) -> Outcome {
    let finished = end_of(call, subject).await?;
    let result = finished.result.unwrap_or_default();
    let answer = answer
        .say(sentence(finished.reason, result.status_code))
        .fact("reason", finished.reason.as_str())
        .fact("code", finished.code.clone())
        .fact("fault", finished.fault.map(protocol::EndFault::as_str))
        .fact("statusCode", result.status_code)
        .fact("durationMs", result.duration)
        .fact("url", job_address(call, subject))
        .fact("outputs", result.outputs.len())
        .untrusted("message", finished.message)
        .untrusted("missingOutputs", result.missing.map_or(Value::Null, |missing| json!(missing)));
    let answer =
        match finished.code.as_deref().and_then(|code| protocol::EndCode::ALL.iter().find(|known| known.as_str() == code)) {
            Some(code) => answer.say(code.meaning()),
            None => answer,
        };
    show(call, subject, &result.outputs, answer).await
}

async fn end_of(call: &Call<'_>, subject: &Subject) -> Result<Finished, Refusal> {
    // All outputs of a job may be megabytes of JSON, so this counts as a large answer.
    let read = async {
        let row = call.app.db.get_result(subject.qid, subject.id.as_str()).await?;
        row.map(|row| row.to_finished(Vec::new())).transpose()
    };
    let finished = call.app.large.read(read).await?;
    finished.ok_or_else(|| unfinished(JobState::Queued))
}

fn sentence(reason: Reason, status_code: Option<i64>) -> String {
    match (reason, status_code) {
        (Reason::Success, Some(0) | None) => "The job ran to its end and its program reports success.".to_owned(),
        (Reason::Success, Some(code)) => {
            format!("The job ran to its end, but its program failed with exit code {code}.")
        }
        (Reason::TimedOut, _) => "The job exceeded its time limit and was stopped.".to_owned(),
        (Reason::Cancelled, _) => "The job was cancelled.".to_owned(),
        (Reason::JobReplacedByClient, _) => "A newer job took the job's namespace.".to_owned(),
        (Reason::Deleted, _) => "The job's result was removed.".to_owned(),
        (Reason::Error | Reason::WorkerLost, _) => "The job could not run to its end.".to_owned(),
    }
}

/// Adds outputs to an answer: their names, short texts, links to the others.
async fn show(call: &Call<'_>, subject: &Subject, outputs: &BTreeMap<String, DataRef>, mut answer: Answer) -> Outcome {
    let mut room = TEXTS_BYTES_MAX;
    let mut list = Vec::new();
    for (at, (name, reference)) in outputs.iter().take(NAMED_MAX).enumerate() {
        let url = address(call, subject, name, reference);
        // An output that cannot be read now still has its address.
        let piece = if at < READ_MAX { read(call, reference, 0, SHOWN_BYTES_MAX).await.unwrap_or(None) } else { None };
        list.push(described(name, &url, piece.as_ref()));
        answer = match piece.as_ref().and_then(|piece| Some((piece, piece.text().filter(|text| text.len() <= room)?))) {
            Some((piece, text)) => {
                room -= text.len();
                let answer = answer.data(&title(name, piece, text.len()), text);
                if text.len() as u64 == piece.n_total { answer } else { answer.link(link(&url, name, Some(piece.n_total))) }
            }
            None => answer.link(link(&url, name, piece.map(|piece| piece.n_total))),
        };
    }
    let answer = if outputs.len() > NAMED_MAX {
        answer.say(format!("Only the first {NAMED_MAX} of its outputs are named here."))
    } else {
        answer
    };
    Ok(answer.untrusted("outputs", if list.is_empty() { Value::Null } else { list.into() }))
}

/// The title of an output. It stands before the mark, so characters of the name that could end a line or a mark are replaced.
fn title(name: &str, piece: &Piece, n_shown: usize) -> String {
    let name: String =
        name.chars().map(|letter| if letter.is_alphanumeric() || "/._-".contains(letter) { letter } else { '_' }).collect();
    if n_shown as u64 == piece.n_total {
        format!("Output {name}")
    } else {
        format!("Output {name}, {n_shown} of {} bytes", piece.n_total)
    }
}

async fn inspect_outputs(call: &Call<'_>, given: InspectArguments) -> Outcome {
    let subject = call.subject(given.queue.as_deref(), &given.job_id).await?;
    let job = call.job(&subject).await?;
    if job.state() != JobState::Finished {
        return Err(unfinished(job.state()));
    }
    let outputs = end_of(call, &subject).await?.result.unwrap_or_default().outputs;
    let answer = Answer::new("").fact("jobId", subject.id.as_str());
    let Some(name) = given.name else {
        let answer = answer.say(format!("Outputs of the job: {}.", outputs.len())).fact("outputs", outputs.len());
        return show(call, &subject, &outputs, answer).await;
    };
    let n_max = given.bytes.unwrap_or(SHOWN_BYTES_MAX.try_into().unwrap_or(PIECE_BYTES_MAX));
    if !(1..=PIECE_BYTES_MAX).contains(&n_max) {
        return Err(Refusal::of_argument("bytes", format!("bytes must be 1 to {PIECE_BYTES_MAX}; use offset for further bytes")));
    }
    let reference = outputs.get(&name).ok_or_else(|| {
        let sentence = "the job has no output of this name; call without name for all names";
        Refusal::from(ApiError::refused(ErrorCode::NoFile, sentence)).by("name")
    })?;
    let (offset, url) = (given.offset.unwrap_or(0), address(call, &subject, &name, reference));
    let piece = read(call, reference, offset, n_max as usize).await?;
    Ok(part(answer, &name, &url, offset, piece.as_ref()))
}

/// Adds one part of one output to an answer.
fn part(answer: Answer, name: &str, url: &str, offset: u64, piece: Option<&Piece>) -> Answer {
    let Some(piece) = piece else {
        return answer.say("The output is stored on another server; fetch it from its address.").link(link(url, name, None));
    };
    let Some(text) = piece.text() else {
        let answer = answer.say("The output is not text; fetch it from its address.").fact("bytes", piece.n_total);
        return answer.link(link(url, name, Some(piece.n_total)));
    };
    let end = offset + text.len() as u64;
    let answer = answer.fact("bytes", piece.n_total).fact("offset", offset);
    let answer = if end < piece.n_total {
        answer.say("There is more: call again with offset set to nextOffset.").fact("nextOffset", end)
    } else {
        answer.say("This is its end.")
    };
    answer.data(&title(name, piece, text.len()), text)
}
