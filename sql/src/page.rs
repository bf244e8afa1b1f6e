//! The jobs of a queue, page by page, newest first: each state is a separate list with its own cursor.

use protocol::{JobState, Qid, Reason};

use crate::{Db, Result};

const QUEUED: &str = include_str!("../queries/job/page_queued.sql");
const RUNNING: &str = include_str!("../queries/job/page_running.sql");
const FINISHED: &str = include_str!("../queries/job/page_finished.sql");
const OF_NAMESPACE: &str = include_str!("../queries/job/of_namespace.sql");

/// Most bytes of a definition that a page reads: two hundred definitions of a mebibyte each would be too much for one page.
const BODY_BYTES_MAX: i32 = 16 * 1024;

/// One job of a page.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PageRow {
    /// Its id.
    pub job_id: String,
    /// Whether it is an item of the task-queue API and not a container job.
    pub is_item: bool,
    /// Its definition, unless that is large or an item's.
    pub body: Option<String>,
    /// Its position in the order of its state, after which the next page begins.
    pub place: i64,
    /// When it was submitted, epoch milliseconds.
    pub queued_ms: i64,
    /// When it was last claimed.
    pub claimed_ms: Option<i64>,
    /// When it ended.
    pub finished_ms: Option<i64>,
    /// The worker that runs or ran it.
    pub worker_id: Option<String>,
    /// How many times it was claimed.
    pub attempt: i16,
    reason: Option<String>,
    /// Why it ended.
    pub message: Option<String>,
    /// Exit code of its program.
    pub status_code: Option<i64>,
    /// How long its program ran, in milliseconds.
    pub duration_ms: Option<f64>,
}

impl PageRow {
    /// How it ended.
    pub fn reason(&self) -> Option<Reason> {
        self.reason.as_deref().and_then(|reason| reason.parse().ok())
    }
}

/// A job that a namespace holds or held.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct NamespaceRow {
    /// Its id.
    pub job_id: String,
    state: String,
    reason: Option<String>,
    /// Exit code of its program.
    pub status_code: Option<i64>,
    /// When it was submitted, epoch milliseconds.
    pub queued_ms: i64,
    /// When it ended.
    pub finished_ms: Option<i64>,
}

impl NamespaceRow {
    /// Its state.
    pub fn state(&self) -> JobState {
        match self.state.as_str() {
            "Running" => JobState::Running,
            "Finished" => JobState::Finished,
            _ => JobState::Queued,
        }
    }

    /// How it ended.
    pub fn reason(&self) -> Option<Reason> {
        self.reason.as_deref().and_then(|reason| reason.parse().ok())
    }
}

/// The last row of the page before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor {
    /// [`PageRow::place`].
    pub number: i64,
    /// [`PageRow::job_id`].
    pub job_id: String,
}

impl Db {
    /// Waiting jobs, the last submitted first.
    pub async fn page_queued(&self, qid: Qid, before: Option<&PageCursor>, n_max: i64) -> Result<Vec<PageRow>> {
        let number = before.map(|place| place.number);
        Ok(sqlx::query_as(QUEUED).bind(qid).bind(number).bind(n_max).bind(BODY_BYTES_MAX).fetch_all(&self.pool).await?)
    }

    /// Running jobs, the last claimed first.
    pub async fn page_running(&self, qid: Qid, before: Option<&PageCursor>, n_max: i64) -> Result<Vec<PageRow>> {
        self.page_by_time(RUNNING, qid, before, n_max).await
    }

    /// Ended jobs, the last ended first.
    pub async fn page_finished(&self, qid: Qid, before: Option<&PageCursor>, n_max: i64) -> Result<Vec<PageRow>> {
        self.page_by_time(FINISHED, qid, before, n_max).await
    }

    /// The jobs that a namespace holds or held, the last submitted first, among those alive and the last thousand that ended.
    pub async fn jobs_of_namespace(&self, qid: Qid, namespace: &str, n_max: i64) -> Result<Vec<NamespaceRow>> {
        Ok(sqlx::query_as(OF_NAMESPACE).bind(qid).bind(namespace).bind(n_max).fetch_all(&self.pool).await?)
    }

    async fn page_by_time(
        &self,
        statement: &'static str,
        qid: Qid,
        before: Option<&PageCursor>,
        n_max: i64,
    ) -> Result<Vec<PageRow>> {
        let (number, job_id) = before.map(|place| (place.number, place.job_id.as_str())).unzip();
        let bound = sqlx::query_as(statement).bind(qid).bind(number).bind(job_id).bind(n_max).bind(BODY_BYTES_MAX);
        Ok(bound.fetch_all(&self.pool).await?)
    }
}
