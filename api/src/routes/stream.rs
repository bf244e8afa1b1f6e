//! `GET /q/:queue/j/:id/stream`: one job's log and states as server-sent events, from the first line to the end.
//!
//! Event ids are `<build lines>.<run lines>`: a client that reconnects with `Last-Event-ID` continues where it stopped, on any
//! process. Every line of a job is stored before the job's end, so `final` comes after the last line.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use protocol::{JobState, Qid};
use serde_json::json;
use sql::LogPlace;

use super::job::NO_JOB;
use crate::access::{Caller, ReaderOfJob, Right};
use crate::app::AppState;
use crate::description::schemas::{Missing, Refusals};
use crate::error::ApiError;
use crate::extract::JobPath;

/// How often the job is read without a hint.
const POLL: Duration = Duration::from_secs(5);

/// The position of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    build: LogPlace,
    run: LogPlace,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { build: LogPlace::after(0), run: LogPlace::after(0) }
    }
}

impl Cursor {
    /// Reads `Last-Event-ID`. Without a readable one the stream starts at the first line.
    fn from_headers(headers: &HeaderMap) -> Self {
        let id = headers.get("last-event-id").and_then(|value| value.to_str().ok());
        let (build, run) = id.and_then(|id| id.split_once('.')).unwrap_or_default();
        let place = |text: &str| LogPlace::after(text.parse().unwrap_or(0));
        Self { build: place(build), run: place(run) }
    }

    fn id(self) -> String {
        format!("{}.{}", self.build.n_lines, self.run.n_lines)
    }
}

/// `GET /q/:queue/j/:id/stream`: one job's log and states as server-sent events. First everything so far is sent, then everything
/// new: `build-log` and `run-log` with `{"lines", "cursor"}`, `state` with `{"state"}` for every state that the job had, and at
/// the end `final` with `{"state", "reason"}`, after which the stream is closed. `Last-Event-ID` resumes.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/stream",
    tag = "jobs",
    params(
        JobPath,
        (
            "last-event-id" = Option<String>,
            Header,
            description = "Id of the last event that was read: the stream continues after it.",
        ),
    ),
    responses(
        (status = 200, description = "Events until the job has ended.", body = String, content_type = "text/event-stream"),
        Missing,
        Refusals,
    ),
)]
pub(crate) async fn stream(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let qid = queue.qid();
    app.db.get_job(qid, id.as_str()).await?.ok_or(NO_JOB)?;
    let events = follow(app, caller, qid, id.as_str().to_owned(), Cursor::from_headers(&headers));
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    Ok((AS_THEY_COME, events).into_response())
}

/// With these headers, proxies neither buffer nor compress events.
const AS_THEY_COME: [(HeaderName, &str); 2] =
    [(HeaderName::from_static("x-accel-buffering"), "no"), (header::CACHE_CONTROL, "no-cache, no-transform")];

fn follow(
    app: AppState,
    caller: Caller,
    qid: Qid,
    id: String,
    mut cursor: Cursor,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let mut watch = app.hub.watch(qid);
        let mut told = Told { has_been_here: cursor != Cursor::default(), ..Told::default() };
        loop {
            watch.borrow_and_update();
            // The policy may have changed since the reader connected.
            if matches!(app.policies.may(qid, Right::Read, &caller).await, Ok(false)) { return }
            if !app.consents.still_admits(caller.guest) { return }
            // The state is read before the lines: if the job has ended, all its lines are stored. A failed read is repeated.
            let Ok(job) = app.db.get_job(qid, &id).await else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if app.shutdown.is_cancelled() { return }
                continue;
            };
            if let Some(job) = &job {
                for state in told.news(&app, job).await {
                    yield Ok(event("state", cursor, &json!({"state": state})));
                }
            }
            let mut is_over = job.as_ref().is_some_and(|job| job.state() == JobState::Finished);
            while let Some(job) = &job {
                let Ok((events, after, has_more)) = next_lines(&app, job, cursor).await else {
                    is_over = false;
                    break;
                };
                cursor = after;
                for event in events { yield Ok(event) }
                if !has_more { break }
            }
            if is_over {
                yield Ok(event("state", cursor, &json!({"state": "Finished"})));
                let reason = job.and_then(|job| job.reason());
                yield Ok(event("final", cursor, &json!({"state": "Finished", "reason": reason})));
                return;
            }
            tokio::select! {
                _ = watch.changed() => {}
                () = tokio::time::sleep(POLL) => {}
                () = app.shutdown.cancelled() => return,
            }
        }
    }
}

/// Which states of one submission were sent to a reader. The end is not counted.
#[derive(Debug, Default)]
struct Told {
    /// At the last read: when the job was submitted, how often it was claimed, and its state.
    seen: Option<(i64, i16, JobState)>,
    n_states: usize,
    /// The reader has reconnected: earlier states are not sent again.
    has_been_here: bool,
}

impl Told {
    /// The states since the last read, in order.
    async fn news(&mut self, app: &AppState, job: &sql::JobRow) -> Vec<JobState> {
        let now = (job.queued_ms(), job.attempt, job.state());
        let Some(seen) = self.seen.replace(now).filter(|seen| seen.0 == now.0) else {
            self.n_states = 0;
            return self.unheard(app, job).await;
        };
        if seen == now { Vec::new() } else { self.unheard(app, job).await }
    }

    async fn unheard(&mut self, app: &AppState, job: &sql::JobRow) -> Vec<JobState> {
        let history = app.db.job_history(job.qid, &job.job_id).await.unwrap_or_default();
        let first = history.iter().rposition(|entry| entry.event == "queued").unwrap_or(0);
        let mut states: Vec<JobState> = history[first..].iter().map(|entry| entry.state).collect();
        // Old events may be deleted. Then only the present state is known.
        if states.is_empty() {
            states.push(job.state());
        }
        states.retain(|state| *state != JobState::Finished);
        states.dedup();
        if std::mem::take(&mut self.has_been_here) {
            self.n_states = states.len() - usize::from(job.state() != JobState::Finished).min(states.len());
        }
        let news = states.split_off(self.n_states.min(states.len()));
        self.n_states += news.len();
        news
    }
}

/// The lines after a cursor as events, the next cursor, and whether there are more.
async fn next_lines(app: &AppState, job: &sql::JobRow, mut cursor: Cursor) -> Result<(Vec<Event>, Cursor, bool), ApiError> {
    let mut events = Vec::new();
    let build = app.large.read(app.db.read_log(job, false, cursor.build)).await?;
    let run = app.large.read(app.db.read_log(job, true, cursor.run)).await?;
    let has_more = build.has_more || run.has_more;
    for (name, page) in [("build-log", build), ("run-log", run)] {
        let place = if name == "run-log" { &mut cursor.run } else { &mut cursor.build };
        *place = page.end;
        if !page.lines.is_empty() {
            let data = format!("{{\"lines\":[{}],\"cursor\":{}}}", page.lines, page.end.n_lines);
            events.push(Event::default().event(name).id(cursor.id()).data(data));
        }
    }
    Ok((events, cursor, has_more))
}

fn event(name: &str, cursor: Cursor, data: &serde_json::Value) -> Event {
    Event::default().event(name).id(cursor.id()).data(data.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nonsense_starts_anew() {
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", "12.345".parse().unwrap());
        assert_eq!(Cursor::from_headers(&headers), Cursor { build: LogPlace::after(12), run: LogPlace::after(345) });
        assert_eq!(Cursor { build: LogPlace::after(12), run: LogPlace::after(345) }.id(), "12.345");
        headers.insert("last-event-id", "-3.x".parse().unwrap());
        assert_eq!(Cursor::from_headers(&headers).id(), "0.0");
    }
}
