//! Reading jobs: lists, one job, its definition, its result and its namespaces.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{MatchedPath, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use protocol::{ErrorCode, JobState, Qid, without_login};
use serde_json::{Value, json};

use crate::access::{Caller, Reader, ReaderOfJob, Right};
use crate::app::{App, AppState};
use crate::description::schemas::{JobList, Missing, Namespaces, Refusals, ShownDefinition, ShownJob, ShownResult};
use crate::error::ApiError;
use crate::extract::{IdPath, JobOnly, JobPath, QueuePath};
use crate::own_address::OwnAddress;
use crate::routes::shown::full_job;

pub(crate) const NO_JOB: ApiError = ApiError::Refused(ErrorCode::NoJob, Cow::Borrowed("Job not found"));
/// The header with the state of a job, or `unknown`, in answers that do not contain the state.
pub(super) const STATE_HEADER: &str = "x-asman-state";
/// The path at which a browser gets a page in place of the list.
const PAGE_OF_QUEUE: &str = "/q/{queue}";

/// `GET /q/:queue`, `/q/:queue/j`: list queued and running jobs, and those that finished in the last minute. The first path gives
/// a browser the page that shows the queue, without a token: the page itself asks for it.
#[utoipa::path(
    get,
    path = "/q/{queue}",
    tag = "clients",
    params(QueuePath),
    responses(
        (
            status = 200,
            description = "Jobs by their id; for a browser the page that shows the queue.",
            content((JobList = "application/json"), (String = "text/html")),
        ),
        Refusals,
    ),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    path: MatchedPath,
    queue: Result<Reader, ApiError>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if path.as_str() != PAGE_OF_QUEUE {
        return list_jobs(&app, queue?).await;
    }
    if is_for_browser(&headers) {
        return Ok(vary(super::web::page(1)));
    }
    list_jobs(&app, queue?).await.map(vary)
}

async fn list_jobs(app: &App, Reader(queue): Reader) -> Result<Response, ApiError> {
    app.large.answer(list_text(app, queue.qid())).await
}

async fn list_text(app: &App, qid: Qid) -> Result<String, ApiError> {
    let rows = app.db.list_jobs(qid).await?;
    let jobs: BTreeMap<_, _> = rows.iter().map(|row| (row.job_id.as_str(), row)).collect();
    let mut text = String::from("{\"data\":{");
    for (n, (id, row)) in jobs.into_iter().enumerate() {
        let (id, job) = (serde_json::to_string(id), serde_json::to_string(&row.to_job()));
        let (id, job) = (id.map_err(ApiError::bad_request)?, job.map_err(ApiError::bad_request)?);
        text.extend([if n == 0 { "" } else { "," }, &id, ":", &job]);
    }
    text.push_str("}}");
    Ok(text)
}

/// Whether the client wants a page and not JSON.
pub(super) fn is_for_browser(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepts.contains("text/html")
}

/// `GET /q/:queue/j/:id`: one job and its definition.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}",
    tag = "jobs",
    params(JobPath),
    responses((status = 200, description = "The job.", body = ShownJob), Missing, Refusals),
)]
pub(crate) async fn get(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
    own: OwnAddress,
) -> Result<Response, ApiError> {
    show(&app, queue.qid(), id.as_str(), &own).await
}

/// `GET /j/:id`, `/j/:id.json`: one job and its definition, found by the true hash of the definition. A browser gets the
/// page that shows the job.
#[utoipa::path(
    get,
    path = "/j/{id}",
    tag = "jobs",
    params(IdPath),
    responses(
        (
            status = 200,
            description = "The job; for a browser the page that shows it.",
            content((ShownJob = "application/json"), (String = "text/html")),
        ),
        Missing,
        Refusals,
    ),
)]
pub(crate) async fn get_anywhere(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    caller: Caller,
    own: OwnAddress,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let bare = id.as_str().strip_suffix(".json");
    if bare.is_none() && is_for_browser(&headers) {
        return Ok(vary(super::web::page(1)));
    }
    let id = bare.unwrap_or(id.as_str());
    let (qid, id) = find(&app, id, &caller).await?;
    show(&app, qid, &id, &own).await.map(vary)
}

/// A cache must not give the page to a program or the JSON to a person.
pub(super) fn vary(mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// The queue and the id of a job that is named without a queue: the oldest that the caller may read. Jobs that the caller may not
/// read count as absent.
pub(crate) async fn find(app: &App, id: &str, caller: &Caller) -> Result<(Qid, String), ApiError> {
    look_for(app, id, caller).await?.ok_or(NO_JOB)
}

pub(super) async fn look_for(app: &App, id: &str, caller: &Caller) -> Result<Option<(Qid, String)>, ApiError> {
    for (qid, id) in app.db.find_job(id, caller.token().is_some()).await? {
        if app.policies.may(qid, Right::Read, caller).await? {
            return Ok(Some((qid, id)));
        }
    }
    Ok(None)
}

async fn show(app: &App, qid: Qid, id: &str, own: &OwnAddress) -> Result<Response, ApiError> {
    app.large.answer(shown_text(app, qid, id, own)).await.map(unstored)
}

/// The answer may contain the host name that this client used, so no cache may give it to another client.
fn unstored(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

async fn shown_text(app: &App, qid: Qid, id: &str, own: &OwnAddress) -> Result<String, ApiError> {
    let text = app.db.get_definition(qid, id).await?.ok_or(NO_JOB)?.body;
    let job = full_job(app, qid, id, own).await?;
    // A definition that an earlier release stored may still contain its login.
    let definition = without_login(text);
    let results = job.as_ref().map_or("null", |job| job.text.get());
    let cursor =
        job.as_ref().and_then(|job| job.cursor).map(|cursor| format!(",\"cursor\":\"{}\"", cursor.0)).unwrap_or_default();
    Ok(format!("{{\"data\":{{\"definition\":{definition},\"results\":{results}{cursor}}}}}"))
}

/// `GET …/definition.json`: the definition of a job as it was submitted, without a login in its build context's URL; or null.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/definition.json",
    tag = "jobs",
    params(JobPath),
    responses((status = 200, description = "The definition, or null.", body = ShownDefinition), Refusals),
)]
pub(crate) async fn definition(State(app): State<AppState>, ReaderOfJob(queue, id): ReaderOfJob) -> Result<Response, ApiError> {
    show_definition(&app, Some((queue.qid(), id.into()))).await
}

/// `GET /j/:id/definition.json`: the definition of a job in any queue.
#[utoipa::path(
    get,
    path = "/j/{id}/definition.json",
    tag = "jobs",
    params(IdPath),
    responses((status = 200, description = "The definition, or null.", body = ShownDefinition), Refusals),
)]
pub(crate) async fn definition_anywhere(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    caller: Caller,
) -> Result<Response, ApiError> {
    show_definition(&app, look_for(&app, id.as_str(), &caller).await?).await
}

async fn show_definition(app: &App, found: Option<(Qid, String)>) -> Result<Response, ApiError> {
    let text = async {
        let text = match found {
            Some((qid, id)) => app.db.get_definition(qid, &id).await?,
            None => None,
        };
        let text = text.map_or_else(|| "null".to_owned(), |stored| without_login(stored.body));
        Ok(format!("{{\"data\":{text}}}"))
    };
    app.large.answer(text).await
}

/// `GET …/result.json`, `…/results.json`: the finished job with its result, or null. `x-asman-state` tells unknown from unfinished.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/result.json",
    tag = "jobs",
    params(JobPath),
    responses(
        (
            status = 200,
            description = "The finished job, or null.",
            body = ShownResult,
            headers(("x-asman-state" = String, description = "`unknown`, `queued`, `running` or `finished`.")),
        ),
        Refusals,
    ),
)]
pub(crate) async fn result(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
    own: OwnAddress,
) -> Result<Response, ApiError> {
    show_result(&app, Some((queue.qid(), id.into())), &own).await
}

/// `GET /j/:id/result.json`: the finished job in any queue, or null.
#[utoipa::path(
    get,
    path = "/j/{id}/result.json",
    tag = "jobs",
    params(IdPath),
    responses(
        (
            status = 200,
            description = "The finished job, or null.",
            body = ShownResult,
            headers(("x-asman-state" = String, description = "`unknown`, `queued`, `running` or `finished`.")),
        ),
        Refusals,
    ),
)]
pub(crate) async fn result_anywhere(
    State(app): State<AppState>,
    JobOnly(id): JobOnly,
    caller: Caller,
    own: OwnAddress,
) -> Result<Response, ApiError> {
    show_result(&app, look_for(&app, id.as_str(), &caller).await?, &own).await
}

/// The value of [`STATE_HEADER`].
pub(super) const fn state_word(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Running => "running",
        JobState::Finished | JobState::Removed => "finished",
    }
}

async fn show_result(app: &App, found: Option<(Qid, String)>, own: &OwnAddress) -> Result<Response, ApiError> {
    let mut state = "unknown";
    let text = async {
        let job = match found {
            Some((qid, id)) => full_job(app, qid, &id, own).await?,
            None => None,
        };
        state = job.as_ref().map_or("unknown", |job| state_word(job.state));
        let data = job.as_ref().filter(|job| job.state == JobState::Finished).map_or("null", |job| job.text.get());
        Ok(format!("{{\"data\":{data}}}"))
    };
    let mut answer = unstored(app.large.answer(text).await?);
    answer.headers_mut().insert(STATE_HEADER, HeaderValue::from_static(state));
    Ok(answer)
}

/// `GET …/namespaces.json`: the namespaces that hold a job.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/namespaces.json",
    tag = "jobs",
    params(JobPath),
    responses((status = 200, description = "Their names; none when there is no such job.", body = Namespaces), Refusals),
)]
pub(crate) async fn namespaces(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
) -> Result<Json<Value>, ApiError> {
    let row = app.db.get_job(queue.qid(), id.as_str()).await?;
    Ok(Json(json!({"data": row.map(|row| row.namespaces).unwrap_or_default()})))
}
