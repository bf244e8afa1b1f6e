//! Follows a job: new log lines and states as they come, until the job's end or the end of the wait.
//!
//! The lines of one read are sent as one notification, cut to [`TOLD_BYTES_MAX`]. The answer contains the last
//! [`SHOWN_BYTES_MAX`] of the new lines. No more of a long log is kept in memory.

use std::time::Duration;

use protocol::{JobState, LogLine};
use sql::{JobRow, LogPlace};
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, Refusal, tail};
use super::call::{Call, Subject};
use crate::access::Right;
use crate::routes::status::{Waiting, why_waiting};

/// Longest wait of one call.
pub(super) const WAIT_MAX: u64 = 300;
/// The default wait: clients usually give up a call after a minute.
pub(super) const WAIT_DEFAULT: u64 = 45;
/// How often the job is read without a hint, and how often a sign of life is sent.
const POLL: Duration = Duration::from_secs(5);
/// Bytes of one notification.
const TOLD_BYTES_MAX: usize = 8 * 1024;
/// Bytes of log in the answer.
pub(super) const SHOWN_BYTES_MAX: usize = 16 * 1024;

/// The position in a log, and the end of the new lines.
#[derive(Debug)]
pub(super) struct Log {
    is_run: bool,
    place: LogPlace,
    shown: String,
    n_bytes_omitted: usize,
}

impl Log {
    pub(super) fn after(is_run: bool, n_lines: i64) -> Self {
        Self { is_run, place: LogPlace::after(n_lines), shown: String::new(), n_bytes_omitted: 0 }
    }

    /// The number of lines that were read.
    pub(super) fn cursor(&self) -> i64 {
        self.place.n_lines
    }

    /// The last lines of a log, with the number of lines before them.
    pub(super) fn of_end(is_run: bool, lines: &[LogLine], n_omitted: u64) -> Self {
        let text = text_of(lines);
        let (shown, n_cut) = tail(&text, SHOWN_BYTES_MAX);
        // The size of the omitted lines in bytes is not known. Their number can stand for it: only zero matters.
        let n_bytes_omitted = n_cut + usize::try_from(n_omitted).unwrap_or(usize::MAX - n_cut);
        Self { is_run, place: LogPlace::after(0), shown: shown.to_owned(), n_bytes_omitted }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    const fn name(&self) -> &'static str {
        if self.is_run { "Run log" } else { "Build log" }
    }

    /// Reads the new lines. Returns them as text, cut to one notification.
    async fn read(&mut self, call: &Call<'_>, job: &JobRow) -> Result<String, Refusal> {
        let mut told = String::new();
        loop {
            let page = call.app.large.read(call.app.db.read_log(job, self.is_run, self.place)).await?;
            self.place = page.end;
            let text = text_of(&lines_of(&page.lines)?);
            told.push_str(&text);
            keep_end(&mut told, TOLD_BYTES_MAX);
            self.shown.push_str(&text);
            self.n_bytes_omitted += keep_end(&mut self.shown, SHOWN_BYTES_MAX);
            if !page.has_more {
                return Ok(told);
            }
        }
    }

    /// Adds the end of the log to an answer.
    pub(super) fn show(&self, answer: Answer) -> Answer {
        let what = match self.n_bytes_omitted {
            0 => self.name().to_owned(),
            _ => format!("{}, its end (get_job_logs has all of it)", self.name()),
        };
        answer.data(&what, &self.shown)
    }
}

/// The lines of a page, which is a JSON array.
pub(super) fn lines_of(elements: &str) -> Result<Vec<LogLine>, Refusal> {
    serde_json::from_str(&format!("[{elements}]")).map_err(|error| sql::Error::UnknownWord(error.to_string()).into())
}

/// Lines as text, each with its end.
pub(super) fn text_of(lines: &[LogLine]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.text.trim_end_matches(['\n', '\r']));
        text.push('\n');
    }
    text
}

/// Cuts a text to its end, and returns how many bytes were removed.
fn keep_end(text: &mut String, n_bytes: usize) -> usize {
    let n_omitted = tail(text, n_bytes).1;
    text.drain(..n_omitted);
    n_omitted
}

/// The observed state of a job.
pub(super) struct Followed {
    pub(super) job: JobRow,
    pub(super) build: Log,
    pub(super) run: Log,
}

impl Followed {
    pub(super) fn is_finished(&self) -> bool {
        self.job.state() == JobState::Finished
    }
}

/// Follows a job from these positions until its end or for at most `seconds`, and reports what is new.
pub(super) async fn follow(
    call: &Call<'_>,
    subject: &Subject,
    (mut build, mut run): (Log, Log),
    seconds: u64,
) -> Result<Followed, Refusal> {
    let app = call.app;
    let _place = app.meters.follow(&call.visitor.caller, subject.qid)?;
    let until = Instant::now() + Duration::from_secs(seconds.min(WAIT_MAX));
    let mut watch = app.hub.watch(subject.qid);
    let (mut said, mut told_at) = (None, Instant::now());
    loop {
        watch.borrow_and_update();
        // The policy may have changed since the call began.
        app.policies.check(subject.qid, Right::Read, &call.visitor.caller).await?;
        // The state is read before the lines, because every line of a finished job was stored before its end.
        let job = call.job(subject).await?;
        let mut news = [build.read(call, &job).await?, run.read(call, &job).await?].concat();
        if said != Some(job.state()) {
            news = format!("{}\n{news}", standing(call, subject, &job).await?);
            said = Some(job.state());
        }
        if !news.is_empty() || told_at.elapsed() >= POLL {
            call.progress.tell(if news.is_empty() { job.state().as_str().to_owned() } else { news }).await;
            told_at = Instant::now();
        }
        if job.state() == JobState::Finished || Instant::now() >= until {
            return Ok(Followed { job, build, run });
        }
        let next = until.min(Instant::now() + POLL);
        tokio::select! {
            _ = timeout_at(next, watch.changed()) => {}
            () = call.progress.gone.cancelled() => return Ok(Followed { job, build, run }),
            () = app.shutdown.cancelled() => return Err(crate::error::ApiError::Stopping.into()),
        }
    }
}

/// The state as a word, and for a waiting job the reason.
async fn standing(call: &Call<'_>, subject: &Subject, job: &JobRow) -> Result<String, Refusal> {
    if job.state() != JobState::Queued {
        return Ok(job.state().as_str().to_owned());
    }
    let waiting = why_waiting(call.app, subject.qid, subject.id.as_str()).await?;
    Ok(waiting.map_or_else(|| "Queued".to_owned(), |Waiting { position, why, .. }| format!("Queued, place {position}: {why}")))
}
