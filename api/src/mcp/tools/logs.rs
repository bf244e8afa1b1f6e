//! Logs: a part of one log, and a search in the logs of one job or of the latest jobs of a queue.
//!
//! A search is bounded by [`SEARCH_TIME`], [`JOBS_MAX`] and [`HITS_MAX`], and reports what it did not search.

use std::time::Duration;

use protocol::LogLine;
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sql::{JobRow, LogPlace};
use tokio::time::Instant;

use super::{Kind, Outcome, RunnableTool, tool};
use crate::access::Right;
use crate::mcp::answer::{Answer, Refusal};
use crate::mcp::call::{Call, Subject};
use crate::mcp::follow::{lines_of, text_of};
use crate::routes::jobs::{Page, page};

/// The maximum number of lines in one answer.
const LINES_MAX: u32 = 2_000;
const LINES_DEFAULT: u32 = 200;
/// Most bytes of log in one answer.
const BYTES_MAX: usize = 64 * 1024;
/// Most jobs whose logs one search reads.
const JOBS_MAX: u8 = 50;
const JOBS_DEFAULT: u8 = 20;
/// Most lines that one search shows.
const HITS_MAX: usize = 200;
const HITS_DEFAULT: u32 = 50;
/// Longest time of a search.
const SEARCH_TIME: Duration = Duration::from_secs(20);
/// Most bytes of a search text.
const TEXT_BYTES_MAX: usize = 1_000;
/// Most characters of a line that a search shows.
const SHOWN_CHARS_MAX: usize = 400;

/// One of the two logs of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars", inline)]
#[serde(rename_all = "lowercase")]
enum Which {
    Build,
    Run,
}

/// What `get_job_logs` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogArguments {
    /// Name of the queue. Needed unless the address of this server names one, or the job's id is the true hash of its definition.
    queue: Option<String>,
    /// Id of the job.
    job_id: String,
    /// `run`, the log of the container, or `build`, that of pull and build; `run` without it.
    log: Option<Which>,
    /// Lines to skip: `cursor` of the previous answer.
    cursor: Option<u32>,
    /// Most lines: 1 to 2000, 200 without it.
    lines: Option<u32>,
}

/// What `search_logs` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SearchArguments {
    /// Name of the queue. Needed unless the address of this server names one, or the job's id is the true hash of its definition.
    queue: Option<String>,
    /// Text to look for in the lines, at most 1000 bytes. Upper and lower case are treated as the same.
    text: String,
    /// Id of the job to search. Without it the latest jobs of the queue are searched.
    job_id: Option<String>,
    /// Only this log, `build` or `run`. Without it both are searched.
    log: Option<Which>,
    /// Jobs to search if no job is named: 1 to 50, 20 without it.
    jobs: Option<u8>,
    /// Most lines to show: 1 to 200, 50 without it.
    limit: Option<u32>,
}

pub(super) fn tools() -> Vec<RunnableTool> {
    vec![
        tool(
            "get_job_logs",
            "Lines of a job's log after a cursor: of its run, or of pull and build.",
            Kind::Reads,
            |call, given| Box::pin(get_job_logs(call, given)),
        ),
        tool(
            "search_logs",
            "Finds a text in the logs of a job, or of the latest jobs of a queue. Each line comes with its job, log and number.",
            Kind::Reads,
            |call, given| Box::pin(search_logs(call, given)),
        ),
    ]
}

async fn get_job_logs(call: &Call<'_>, given: LogArguments) -> Outcome {
    let n_max = given.lines.unwrap_or(LINES_DEFAULT);
    if !(1..=LINES_MAX).contains(&n_max) {
        return Err(Refusal::of_argument("lines", format!("lines must be 1 to {LINES_MAX}; use cursor for further lines")));
    }
    let subject = call.subject(given.queue.as_deref(), &given.job_id).await?;
    let job = call.job(&subject).await?;
    let (is_run, since) = (given.log != Some(Which::Build), i64::from(given.cursor.unwrap_or(0)));
    let (mut lines, mut place, mut n_bytes) = (Vec::new(), LogPlace::after(since), 0);
    let mut has_more = true;
    while has_more && lines.len() < n_max as usize && n_bytes < BYTES_MAX {
        let page = call.app.large.read(call.app.db.read_log(&job, is_run, place)).await?;
        (place, has_more) = (page.end, page.has_more);
        for line in lines_of(&page.lines)? {
            if lines.len() == n_max as usize || n_bytes >= BYTES_MAX {
                has_more = true;
                break;
            }
            n_bytes += line.text.len();
            lines.push(line);
        }
    }
    let cursor = since + i64::try_from(lines.len()).unwrap_or(0);
    let is_final = job.state() == protocol::JobState::Finished && !has_more;
    let sentence = match (has_more, is_final) {
        (true, _) => "There are more lines: call again with cursor.",
        (false, true) => "That is the end of the log.",
        (false, false) => "The job is not finished, and more lines may come: call again with cursor, or use follow_job.",
    };
    let answer = Answer::new(sentence).fact("jobId", subject.id.as_str()).fact("state", job.state().as_str());
    let answer = answer.fact("cursor", cursor).fact("isFinal", is_final);
    Ok(answer.data(if is_run { "Run log" } else { "Build log" }, &text_of(&lines)))
}

/// A search in progress.
struct Search {
    text: String,
    which: Option<Which>,
    until: Instant,
    n_max: usize,
    hits: Vec<serde_json::Value>,
    /// Whether it stopped early.
    is_cut: bool,
}

async fn search_logs(call: &Call<'_>, given: SearchArguments) -> Outcome {
    if given.text.is_empty() || given.text.len() > TEXT_BYTES_MAX {
        return Err(Refusal::of_argument("text", format!("text must have 1 to {TEXT_BYTES_MAX} bytes")));
    }
    let n_max = given.limit.unwrap_or(HITS_DEFAULT) as usize;
    if !(1..=HITS_MAX).contains(&n_max) {
        return Err(Refusal::of_argument("limit", format!("limit must be 1 to {HITS_MAX}")));
    }
    let until = Instant::now() + SEARCH_TIME;
    let mut search = Search { text: given.text.to_lowercase(), which: given.log, until, n_max, hits: Vec::new(), is_cut: false };
    let jobs = match &given.job_id {
        Some(id) => {
            let subject = call.subject(given.queue.as_deref(), id).await?;
            vec![call.job(&subject).await?]
        }
        None => latest(call, given.queue.as_deref(), given.jobs).await?,
    };
    let mut n_searched = 0;
    for job in &jobs {
        if search.is_cut || call.progress.gone.is_cancelled() {
            break;
        }
        search.look(call, job).await?;
        n_searched += 1;
        call.progress.tell(format!("{n_searched} of {} jobs searched, {} lines found", jobs.len(), search.hits.len())).await;
    }
    Ok(search.answer(n_searched, jobs.len()))
}

/// The latest jobs of a queue.
async fn latest(call: &Call<'_>, queue: Option<&str>, jobs: Option<u8>) -> Result<Vec<JobRow>, Refusal> {
    let n_jobs = jobs.unwrap_or(JOBS_DEFAULT);
    if !(1..=JOBS_MAX).contains(&n_jobs) {
        return Err(Refusal::of_argument("jobs", format!("jobs must be 1 to {JOBS_MAX}; name a job to search only that one")));
    }
    let queue = call.queue(queue, Right::Read).await?;
    let asked = Page { state: None, before: None, limit: Some(n_jobs.into()) };
    let page = page(call.app, queue.qid(), asked).await?;
    let mut jobs = Vec::new();
    for listed in page.data.iter().filter(|listed| !listed.is_item) {
        let Ok(id) = listed.id.parse() else { continue };
        let subject = Subject { qid: queue.qid(), id, queue: None };
        // A job that ended twice is listed twice, and a job may have been deleted in the meantime.
        if let Ok(job) = call.job(&subject).await
            && !jobs.iter().any(|known: &JobRow| known.job_id == job.job_id)
        {
            jobs.push(job);
        }
    }
    Ok(jobs)
}

impl Search {
    async fn look(&mut self, call: &Call<'_>, job: &JobRow) -> Result<(), Refusal> {
        let only = self.which;
        let logs = [(Which::Build, false), (Which::Run, true)];
        for (_, is_run) in logs.into_iter().filter(|(which, _)| only.is_none_or(|only| only == *which)) {
            let mut place = LogPlace::after(0);
            loop {
                let page = call.app.large.read(call.app.db.read_log(job, is_run, place)).await?;
                let lines = lines_of(&page.lines)?;
                let first = page.end.n_lines - i64::try_from(lines.len()).unwrap_or(0);
                self.take(job, is_run, first, &lines);
                place = page.end;
                self.is_cut |= Instant::now() >= self.until;
                if self.is_cut || !page.has_more {
                    break;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, job: &JobRow, is_run: bool, n_before: i64, lines: &[LogLine]) {
        for (number, line) in (n_before + 1..).zip(lines) {
            if !line.text.to_lowercase().contains(&self.text) {
                continue;
            }
            if self.hits.len() == self.n_max {
                self.is_cut = true;
                return;
            }
            let text: String = line.text.chars().take(SHOWN_CHARS_MAX).collect();
            let log = if is_run { "run" } else { "build" };
            self.hits.push(json!({"jobId": job.job_id, "log": log, "line": number, "text": text.trim_end()}));
        }
    }

    fn answer(self, n_searched: usize, n_jobs: usize) -> Answer {
        let answer = Answer::new(format!("Lines found: {}, jobs searched: {n_searched}.", self.hits.len()));
        let answer = if self.is_cut || n_searched < n_jobs {
            answer.say("The search stopped early: name a job, a log or a rarer text.")
        } else {
            answer
        };
        let answer = answer.fact("isComplete", !self.is_cut && n_searched == n_jobs).fact("jobsSearched", n_searched);
        answer.untrusted("lines", self.hits)
    }
}
