//! `…/build-logs.json` and `…/run-logs.json`: log lines after a cursor. A long answer is read from the database while it is sent.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use protocol::{JobState, Qid};
use serde::Deserialize;
use sql::{JobRow, LogPage, LogPlace};

use super::job::{STATE_HEADER, look_for, state_word};
use crate::access::{Caller, ReaderOfJob};
use crate::app::AppState;
use crate::description::schemas::{LogSlice, Refusals};
use crate::error::ApiError;
use crate::extract::{IdPath, JobOnly, JobPath, Parameters};
use crate::large::Pieces;

/// Pages of one answer, about 128 KiB of text each.
const PAGES_MAX: usize = 64;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Since {
    /// Lines already read: `nextCursor` of the previous answer.
    #[serde(default)]
    since: i64,
}

/// `GET /q/:queue/j/:id/build-logs.json?since=N`: log lines of pull and build after a cursor.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/build-logs.json",
    tag = "jobs",
    params(JobPath, Since),
    responses((status = 200, description = "The lines; none for an unknown job.", body = LogSlice), Refusals),
)]
pub(crate) async fn build_logs(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
    Parameters(from): Parameters<Since>,
) -> Result<Response, ApiError> {
    read(&app, Some((queue.qid(), id.into())), false, from.since).await
}

/// `GET /q/:queue/j/:id/run-logs.json?since=N`: log lines of the container after a cursor.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/run-logs.json",
    tag = "jobs",
    params(JobPath, Since),
    responses((status = 200, description = "The lines; none for an unknown job.", body = LogSlice), Refusals),
)]
pub(crate) async fn run_logs(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
    Parameters(from): Parameters<Since>,
) -> Result<Response, ApiError> {
    read(&app, Some((queue.qid(), id.into())), true, from.since).await
}

/// `GET /j/:id/build-logs.json?since=N`: log lines of pull and build after a cursor, of a job in any queue.
#[utoipa::path(
    get,
    path = "/j/{id}/build-logs.json",
    tag = "jobs",
    params(IdPath, Since),
    responses((status = 200, description = "The lines; none for an unknown job.", body = LogSlice), Refusals),
)]
pub(crate) async fn build_logs_anywhere(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    caller: Caller,
    Parameters(from): Parameters<Since>,
) -> Result<Response, ApiError> {
    read(&app, look_for(&app, id.as_str(), &caller).await?, false, from.since).await
}

/// `GET /j/:id/run-logs.json?since=N`: log lines of the container after a cursor, of a job in any queue.
#[utoipa::path(
    get,
    path = "/j/{id}/run-logs.json",
    tag = "jobs",
    params(IdPath, Since),
    responses((status = 200, description = "The lines; none for an unknown job.", body = LogSlice), Refusals),
)]
pub(crate) async fn run_logs_anywhere(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    caller: Caller,
    Parameters(from): Parameters<Since>,
) -> Result<Response, ApiError> {
    read(&app, look_for(&app, id.as_str(), &caller).await?, true, from.since).await
}

/// The lines; none for an unknown job, because existing clients expect an empty log. [`STATE_HEADER`] distinguishes an unknown
/// job from a job without lines.
async fn read(app: &AppState, found: Option<(Qid, String)>, is_run: bool, since: i64) -> Result<Response, ApiError> {
    // The state is read before the lines: if the job has ended, all its lines are stored.
    let job = match found {
        Some((qid, id)) => app.db.get_job(qid, &id).await?,
        None => None,
    };
    let (state, answer) = if let Some(job) = job {
        (state_word(job.state()), read_known(app, job, is_run, since).await?)
    } else {
        let nothing = r#"{"data":[],"sliceStart":0,"nextCursor":0,"isFinal":false}"#.to_owned();
        ("unknown", app.large.answer(async { Ok(nothing) }).await?)
    };
    Ok(([(STATE_HEADER, HeaderValue::from_static(state))], answer).into_response())
}

async fn read_known(app: &AppState, job: JobRow, is_run: bool, since: i64) -> Result<Response, ApiError> {
    let from = LogPlace::after(since);
    let mut page = app.large.read(app.db.read_log(&job, is_run, from)).await?;
    if page.lines.is_empty() && from.n_lines > 0 {
        // A cursor beyond the end means the end.
        let n_lines = app.db.count_log(job.qid, &job.job_id, is_run).await?;
        page.end = LogPlace::after(from.n_lines.min(n_lines));
    }
    let end = End { is_finished: job.state() == JobState::Finished, since: from.n_lines };
    let begun = format!("{{\"data\":[{}", page.lines);
    if !page.has_more {
        return app.large.answer(async { Ok(begun + &end.of(&page)) }).await;
    }
    let app = Arc::clone(app);
    let large = app.large.clone();
    let pieces = async move |pieces: Pieces| {
        pieces.send(begun).await?;
        for _ in 1..PAGES_MAX {
            if !page.has_more {
                break;
            }
            page = app.large.read(app.db.read_log(&job, is_run, page.end)).await?;
            if !page.lines.is_empty() {
                pieces.send(format!(",{}", page.lines)).await?;
            }
        }
        Ok(pieces.send(end.of(&page)).await?)
    };
    large.stream(pieces).await
}

/// The members after the lines.
#[derive(Clone, Copy)]
struct End {
    is_finished: bool,
    since: i64,
}

impl End {
    fn of(self, last: &LogPage) -> String {
        let is_final = self.is_finished && !last.has_more;
        format!("],\"sliceStart\":{},\"nextCursor\":{},\"isFinal\":{is_final}}}", self.since, last.end.n_lines)
    }
}
