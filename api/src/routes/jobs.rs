//! `/q/:queue/jobs`: every job of a queue, page by page.
//!
//! Running jobs come first, then waiting ones, then those that ended, each newest first. A cursor consists of the letter of a
//! list and the position of the last row in this list, so every page costs the same. A job that changes its state in the
//! meantime may appear again in a later list.

use axum::Json;
use axum::extract::State;
use protocol::report::{JobPage, ListedJob};
use protocol::{ErrorCode, JobState, Qid};
use serde::Deserialize;
use sql::{Db, PageCursor, PageRow};
use utoipa::{IntoParams, ToSchema};

use crate::access::Reader;
use crate::app::{App, AppState};
use crate::description::schemas::Refusals;
use crate::error::ApiError;
use crate::extract::{Parameters, QueuePath};

/// Most jobs of one page.
pub(crate) const LIMIT_MAX: u8 = 200;
const LIMIT_DEFAULT: u8 = 50;
/// Most characters of an image or a command in a row.
const SHOWN_CHARS: usize = 200;
/// Largest number in a cursor: the end of the year 9999 in microseconds since 1970, which PostgreSQL accepts as a time.
const PLACE_MAX: i64 = 253_402_300_799_999_999;

/// The lists in the order in which they are read.
const LISTS: [List; 3] = [List::Running, List::Queued, List::Finished];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) enum List {
    Running,
    Queued,
    Finished,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only jobs of this state.
    #[param(inline)]
    pub(crate) state: Option<List>,
    /// `next` of the page before.
    pub(crate) before: Option<String>,
    /// Most jobs of the page, 50 without it.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<i64>,
}

/// `GET /q/:queue/jobs?state=&before=&limit=`: every job of a queue, page by page. Running ones first, then waiting ones, then those
/// that ended, each newest first; a job that ended several times is listed once for each end.
#[utoipa::path(
    get,
    path = "/q/{queue}/jobs",
    tag = "clients",
    params(QueuePath, Page),
    responses((status = 200, description = "The page.", body = JobPage), Refusals),
)]
pub(crate) async fn jobs(
    State(app): State<AppState>,
    Reader(queue): Reader,
    Parameters(asked): Parameters<Page>,
) -> Result<Json<JobPage>, ApiError> {
    page(&app, queue.qid(), asked).await.map(Json)
}

/// The requested page of a queue's jobs.
pub(crate) async fn page(app: &App, qid: Qid, asked: Page) -> Result<JobPage, ApiError> {
    let limit = asked.limit.map_or(Some(LIMIT_DEFAULT), |limit| u8::try_from(limit).ok());
    let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
    let limit = limit
        .ok_or_else(|| ApiError::refused(ErrorCode::InvalidParameter, format!("the parameter limit must be 1 to {LIMIT_MAX}")))?;
    let from = match asked.before.as_deref() {
        Some(cursor) => Cursor::parse(cursor).ok_or_else(|| bad_cursor("is not a cursor of this route"))?,
        None => Cursor { list: asked.state.unwrap_or(LISTS[0]), place: None },
    };
    if asked.state.is_some_and(|state| state != from.list) {
        return Err(bad_cursor("belongs to another state"));
    }
    read(&app.db, qid, from, asked.state.is_some(), limit).await
}

fn bad_cursor(what: &str) -> ApiError {
    ApiError::refused(ErrorCode::InvalidParameter, format!("the parameter before {what}; leave it out for the first page"))
}

/// Fills a page from the cursor's list and, unless `only_one`, from the lists after it.
async fn read(db: &Db, qid: Qid, from: Cursor, only_one: bool, limit: u8) -> Result<JobPage, ApiError> {
    let mut data = Vec::new();
    let mut cursor = Some(from);
    let mut room = limit;
    while let Some(at) = cursor {
        // One row more than the page needs shows whether another page follows.
        let mut rows = at.list.rows(db, qid, at.place.as_ref(), i64::from(room) + 1).await?;
        if rows.len() > usize::from(room) {
            rows.truncate(room.into());
            let place = rows.last().map(|row| PageCursor { number: row.place, job_id: row.job_id.clone() });
            data.extend(rows.into_iter().map(|row| listed(at.list, row)));
            let next = Cursor { list: at.list, place: place.or(at.place) };
            return Ok(JobPage { data, next: Some(next.to_text()) });
        }
        room -= u8::try_from(rows.len()).unwrap_or(room);
        data.extend(rows.into_iter().map(|row| listed(at.list, row)));
        cursor = at.list.following().filter(|_| !only_one).map(|list| Cursor { list, place: None });
    }
    Ok(JobPage { data, next: None })
}

impl List {
    async fn rows(self, db: &Db, qid: Qid, before: Option<&PageCursor>, n_max: i64) -> Result<Vec<PageRow>, ApiError> {
        Ok(match self {
            Self::Running => db.page_running(qid, before, n_max).await?,
            Self::Queued => db.page_queued(qid, before, n_max).await?,
            Self::Finished => db.page_finished(qid, before, n_max).await?,
        })
    }

    fn following(self) -> Option<Self> {
        LISTS.iter().copied().skip_while(|list| *list != self).nth(1)
    }

    const fn letter(self) -> char {
        match self {
            Self::Running => 'r',
            Self::Queued => 'q',
            Self::Finished => 'f',
        }
    }

    const fn state(self) -> JobState {
        match self {
            Self::Running => JobState::Running,
            Self::Queued => JobState::Queued,
            Self::Finished => JobState::Finished,
        }
    }
}

/// The list and the row after which a page begins. Without a row the page begins at the start of the list.
#[derive(Debug, PartialEq, Eq)]
struct Cursor {
    list: List,
    place: Option<PageCursor>,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut letters = text.chars();
        let letter = letters.next()?;
        let list = LISTS.into_iter().find(|list| list.letter() == letter)?;
        if letters.as_str().is_empty() {
            return Some(Self { list, place: None });
        }
        let (number, job_id) = letters.as_str().split_once('.')?;
        let number = number.parse().ok().filter(|number| (0..=PLACE_MAX).contains(number))?;
        Some(Self { list, place: Some(PageCursor { number, job_id: job_id.to_owned() }) })
    }

    fn to_text(&self) -> String {
        let letter = self.list.letter();
        self.place.as_ref().map_or_else(|| letter.to_string(), |place| format!("{letter}{}.{}", place.number, place.job_id))
    }
}

fn listed(list: List, row: PageRow) -> ListedJob {
    let body = row.body.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let text = |name: &str| body.as_ref().and_then(|body| body.get(name)?.as_str().map(shortened));
    ListedJob {
        state: list.state(),
        reason: row.reason(),
        image: text("image"),
        command: text("command"),
        is_build: body
            .as_ref()
            .and_then(|body| body.get("build")?.as_object())
            .is_some_and(|build| build.values().any(|v| !v.is_null())),
        id: row.job_id,
        message: row.message,
        status_code: row.status_code,
        is_item: row.is_item,
        worker: row.worker_id,
        attempt: row.attempt,
        queued_time: row.queued_ms,
        claimed_time: row.claimed_ms,
        finished_time: row.finished_ms,
        duration: row.duration_ms,
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_whatever_the_job_is_called_and_nonsense_is_none() {
        for text in ["r", "q", "f", "f1795604831486423.4373", "q17.a.b c/ü", "r0."] {
            assert_eq!(Cursor::parse(text).unwrap().to_text(), text);
        }
        for text in ["", "x", "f1", "f-1.a", "f1e3.a", "f999999999999999999.a", "q99999999999999999999.a"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"ü".repeat(300));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (201, true));
    }
}
