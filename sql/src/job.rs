//! Jobs in any state: list, get, find, cancel, count, result.

use std::collections::HashMap;
use std::time::Duration;

use protocol::labels::{labels_of, own_tags};
use protocol::{Finished, Job, JobResult, JobState, LogLine, Qid, Reason, Requirements, StateCursor, limits};

use crate::event::cursor_of;
use crate::running::reason_of;
use crate::{Db, Error, Result};

const LIST: &str = include_str!("../queries/job/list.sql");
const GET: &str = include_str!("../queries/job/get.sql");
const FIND: &str = include_str!("../queries/job/find.sql");
const CANCEL: &str = include_str!("../queries/job/cancel.sql");
const COUNTS: &str = include_str!("../queries/job/counts.sql");
const RESULT: &str = include_str!("../queries/job/result.sql");

/// How long jobs that failed, timed out or were cancelled stay listed, for users that come back later.
pub const LISTED_FAILED: Duration = Duration::from_hours(1);
/// Most of them in one listing or snapshot; the newest are shown.
pub const LISTED_FAILED_MAX: i64 = 1_000;

/// A job and its state.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct JobRow {
    /// Which queue.
    pub qid: Qid,
    /// Which job.
    pub job_id: String,
    state: String,
    queued_ms: i64,
    since_ms: i64,
    worker_id: Option<String>,
    /// The namespaces that hold it.
    pub namespaces: Vec<String>,
    tags: Vec<String>,
    cpus: f64,
    gpus: i32,
    memory_bytes: i64,
    is_debug: bool,
    reason: Option<String>,
    /// How many times it was claimed.
    pub attempt: i16,
    /// Whether it is an item of the task-queue API and not a container job.
    #[sqlx(default)]
    pub is_item: bool,
    /// The namespace whose cancel ended it; absent in listings.
    #[sqlx(default)]
    pub namespace: Option<String>,
    #[sqlx(default)]
    priority: i16,
    #[sqlx(default)]
    seq: i64,
    #[sqlx(default)]
    required_seconds: i32,
    /// How often a worker released it for a reason outside of the job; set only in listings.
    #[sqlx(default)]
    pub n_released: i16,
    /// The snapshot in which it was read; empty in listings.
    #[sqlx(default)]
    snapshot: String,
}

impl JobRow {
    /// Its state.
    pub fn state(&self) -> JobState {
        match self.state.as_str() {
            "Running" => JobState::Running,
            "Finished" => JobState::Finished,
            _ => JobState::Queued,
        }
    }

    /// When it was submitted, epoch milliseconds.
    pub fn queued_ms(&self) -> i64 {
        self.queued_ms
    }

    /// The state of the database in which it was read. None in listings, which begin at an [`EventCursor`](crate::EventCursor).
    pub fn cursor(&self) -> Option<StateCursor> {
        cursor_of(&self.snapshot)
    }

    /// How it ended.
    pub fn reason(&self) -> Option<Reason> {
        self.reason.as_deref().and_then(|reason| reason.parse().ok())
    }

    /// Its position in the queue; a job with a smaller one runs first. Set only in listings.
    pub fn place(&self) -> (i16, i64) {
        (self.priority, self.seq)
    }

    /// What it needs of a worker. Complete only in listings.
    pub fn needs(&self) -> Needs {
        let Self { cpus, gpus, memory_bytes, required_seconds, ref tags, .. } = *self;
        Needs { cpus, gpus, memory_bytes, seconds: required_seconds, labels: labels_of(tags) }
    }

    /// Whether listings show it: deleted jobs are left out.
    pub fn is_listed(&self) -> bool {
        self.reason().is_none_or(Reason::is_listed)
    }

    /// The job in the form of listings, without its result.
    pub fn to_job(&self) -> Job {
        Job {
            state: self.state(),
            queued_time: self.queued_ms,
            time: self.since_ms,
            worker: self.worker_id.clone().unwrap_or_default(),
            namespaces: self.namespaces.clone(),
            tags: Some(own_tags(&self.tags).to_vec()).filter(|tags| !tags.is_empty()),
            requirements: self.requirements(),
            debug: self.is_debug.then_some(true),
            finished_reason: self.reason(),
            finished: None,
        }
    }

    /// Only values that differ from the default, because most definitions set none.
    fn requirements(&self) -> Option<Requirements> {
        let cpus = (self.cpus != limits::CPUS_DEFAULT).then_some(self.cpus);
        let gpus = (self.gpus > 0).then(|| f64::from(self.gpus));
        let memory = (self.memory_bytes > 0).then(|| self.memory_bytes.into());
        let some = cpus.is_some() || gpus.is_some() || memory.is_some();
        some.then_some(Requirements { cpus, gpus, memory, max_duration: None })
    }
}

/// What a job needs of a worker.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Cpus.
    pub cpus: f64,
    /// Gpus.
    pub gpus: i32,
    /// Bytes of memory; 0 if not set.
    pub memory_bytes: i64,
    /// Longest run that the worker must allow.
    pub seconds: i32,
    /// Labels, all of them.
    pub labels: Vec<String>,
}

/// The outcome of a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The job ended.
    Ended,
    /// The namespace ended its hold; others hold the job.
    Left,
    /// The namespace did not hold it.
    Absent,
    /// It had ended already.
    Finished,
    /// Its result was removed already.
    Removed,
    /// No such job.
    Unknown,
}

/// The counts of a queue.
#[derive(Clone, Copy, Debug, PartialEq, sqlx::FromRow)]
pub struct Counts {
    /// Waiting jobs.
    pub n_queued: i64,
    /// Running jobs.
    pub n_running: i64,
    /// Cpus that both need together; while the queue is paused only running jobs count.
    pub cpus: f64,
    /// Gpus that both need together, counted likewise.
    pub gpus: i64,
    /// Items of the task-queue API that are not container jobs, waiting and claimed. The other counts do not include them.
    pub n_items: i64,
    /// Whether the queue is paused.
    pub is_paused: bool,
}

/// The latest end of a job.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ResultRow {
    /// The claim that ended it; 0 when it never ran.
    pub epoch: i64,
    reason: String,
    code: Option<String>,
    fault: Option<String>,
    message: Option<String>,
    namespace: Option<String>,
    worker_id: Option<String>,
    finished_ms: i64,
    result: Option<String>,
}

impl ResultRow {
    /// The stored result: the JSON of a [`JobResult`]. [`ResultRow::to_finished`] takes it.
    pub fn take_result(&mut self) -> Option<String> {
        self.result.take()
    }

    /// The end in the form for clients, with the log lines of the claim that ended the job.
    pub fn to_finished(&self, logs: Vec<LogLine>) -> Result<Finished> {
        let result = self.result.as_deref().map(serde_json::from_str::<JobResult>).transpose();
        let result = result.map_err(|error| Error::UnknownWord(error.to_string()))?;
        Ok(Finished {
            reason: reason_of(&self.reason)?,
            time: self.finished_ms,
            worker: self.worker_id.clone(),
            code: self.code.clone(),
            fault: self.fault.as_deref().and_then(|fault| fault.parse().ok()),
            message: self.message.clone(),
            namespace: self.namespace.clone(),
            result: result.map(|result| JobResult { logs, ..result }),
        })
    }
}

impl Db {
    /// The jobs of one queue that listings show, each once: at most [`limits::LISTED_JOBS_MAX`] that run, as many that wait, as
    /// many that succeeded within [`limits::LISTED_FINISHED`], and [`LISTED_FAILED_MAX`] that failed within [`LISTED_FAILED`].
    pub async fn list_jobs(&self, qid: Qid) -> Result<Vec<JobRow>> {
        let query = sqlx::query_as(LIST).bind(qid).bind(limits::LISTED_JOBS_MAX).bind(limits::LISTED_FINISHED.as_secs_f64());
        let query = query.bind(LISTED_FAILED.as_secs_f64()).bind(LISTED_FAILED_MAX);
        let rows: Vec<JobRow> = query.fetch_all(&self.pool).await?;
        // The present state of a job: its waiting or running row, else its last end.
        let standing = |row: &JobRow| (row.state() != JobState::Finished, row.since_ms);
        let mut newest: HashMap<String, (bool, i64)> = HashMap::with_capacity(rows.len());
        for row in &rows {
            let known = newest.entry(row.job_id.clone()).or_insert((false, i64::MIN));
            *known = standing(row).max(*known);
        }
        Ok(rows.into_iter().filter(|row| newest.get(&row.job_id) == Some(&standing(row))).collect())
    }

    /// The states of these jobs. Unknown jobs are left out.
    pub async fn get_jobs(&self, keys: &[(Qid, String)]) -> Result<Vec<JobRow>> {
        let qids: Vec<Qid> = keys.iter().map(|key| key.0).collect();
        let job_ids: Vec<&str> = keys.iter().map(|key| key.1.as_str()).collect();
        Ok(sqlx::query_as(GET).bind(qids).bind(job_ids).fetch_all(&self.pool).await?)
    }

    /// The state of one job.
    pub async fn get_job(&self, qid: Qid, job_id: &str) -> Result<Option<JobRow>> {
        Ok(self.get_jobs(&[(qid, job_id.to_owned())]).await?.pop())
    }

    /// The queues in which a job may be found by a true id alone, the oldest first, with the id that it has there. Queues that
    /// require a token for reading are included only for a caller with a token.
    pub async fn find_job(&self, job_id: &str, has_token: bool) -> Result<Vec<(Qid, String)>> {
        Ok(sqlx::query_as(FIND).bind(job_id).bind(has_token).fetch_all(&self.pool).await?)
    }

    /// Cancels a job in one namespace, `*` for all. The change is durable when this returns.
    pub async fn cancel_job(
        &self,
        qid: Qid,
        job_id: &str,
        namespace: &str,
        reason: Reason,
        message: Option<&str>,
    ) -> Result<CancelOutcome> {
        let bound = sqlx::query_scalar(CANCEL).bind(qid).bind(job_id).bind(namespace).bind(reason.as_str()).bind(message);
        let word: String = bound.fetch_one(&self.pool).await?;
        Ok(match word.as_str() {
            "ended" => CancelOutcome::Ended,
            "left" => CancelOutcome::Left,
            "absent" => CancelOutcome::Absent,
            "finished" => CancelOutcome::Finished,
            "removed" => CancelOutcome::Removed,
            "unknown" => CancelOutcome::Unknown,
            _ => return Err(Error::UnknownWord(word)),
        })
    }

    /// The counts of a queue.
    pub async fn count_jobs(&self, qid: Qid) -> Result<Counts> {
        Ok(sqlx::query_as(COUNTS).bind(qid).fetch_one(&self.pool).await?)
    }

    /// The latest end of a job.
    pub async fn get_result(&self, qid: Qid, job_id: &str) -> Result<Option<ResultRow>> {
        Ok(sqlx::query_as(RESULT).bind(qid).bind(job_id).fetch_optional(&self.pool).await?)
    }
}
