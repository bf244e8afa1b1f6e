//! Waiting jobs: submit and claim.

use protocol::{Callbacks, ParsedDefinition, Qid, QueueName, limits};
use sha2::{Digest, Sha256};

use crate::{Db, Error, Result};

const SUBMIT: &str = include_str!("../queries/queued/submit.sql");
const CLAIM: &str = include_str!("../queries/queued/claim.sql");
const CLAIM_ONE: &str = include_str!("../queries/queued/claim_one.sql");

/// One job to queue.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Which queue.
    pub qid: Qid,
    /// The client's id, or the true one.
    pub job_id: String,
    /// The id that the submitter sent. It differs from `job_id` if the job has two true ids and this is the other one.
    pub sent_id: String,
    /// What to run.
    pub definition: ParsedDefinition,
    /// The namespace of the submission.
    pub namespace: String,
    /// Longest run.
    pub max_duration: std::time::Duration,
    /// Whether to log more.
    pub is_debug: bool,
    /// The callbacks of the job.
    pub callbacks: Option<OwedCallbacks>,
    /// Run it again in spite of an earlier result.
    pub is_again: bool,
}

/// Deliveries that a submission asks for. They are the only rows of the database that contain a queue's name, because the deliveries
/// contain it.
#[derive(Clone, Debug)]
pub struct OwedCallbacks {
    /// The queue's name.
    pub queue: QueueName,
    /// The callbacks.
    pub callbacks: Callbacks,
}

impl OwedCallbacks {
    /// The callbacks in the form for the database.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.callbacks).unwrap_or_default()
    }
}

impl Submission {
    fn is_true_id(&self) -> bool {
        self.definition.is_true_id(&self.job_id)
    }

    fn class(&self) -> i64 {
        class_of(&self.definition)
    }

    fn required_seconds(&self) -> i32 {
        seconds(self.definition.required_duration)
    }
}

/// Jobs of one class have exactly the same requirements.
pub(crate) fn class_of(d: &ParsedDefinition) -> i64 {
    let needs =
        format!("{}|{}|{}|{}|{}", d.cpus, d.gpus, d.memory_bytes, seconds(d.required_duration), d.stored_tags().join("/"));
    let digest = Sha256::digest(needs.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

/// Whole seconds, rounded up; `protocol` bounds every duration to 30 days.
pub(crate) fn seconds(duration: std::time::Duration) -> i32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

/// The outcome of a submission, and the id under which its queue stores the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The outcome.
    pub outcome: SubmitOutcome,
    /// The job's id in this queue. For a job of an earlier release it is the old id.
    pub job_id: String,
}

/// The outcome of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// Queued now.
    New,
    /// It waits already; the namespace joined.
    Queued,
    /// It runs already; the namespace joined.
    Running,
    /// An earlier result is reused; nothing runs.
    Finished,
    /// The queue's limit of waiting jobs is reached; nothing is stored.
    QueueFull,
    /// The same, for the submission's namespace.
    NamespaceFull,
}

/// Workers of one queue with the same labels, and the jobs that they can take together in one statement. A statement has at most one
/// group for each queue.
#[derive(Clone, Debug)]
pub struct ClaimGroup {
    /// Which queue.
    pub qid: Qid,
    /// Labels that every worker of the group has: see `WorkerDescription::labels`.
    pub labels: Vec<String>,
    /// Longest run that every worker of the group allows, seconds.
    pub max_seconds: i32,
    /// The slots for the first job, the second, …
    pub slots: Vec<Slot>,
}

/// Capacity for one job on one worker.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Which worker.
    pub worker_id: String,
    /// The free cpus of the worker, for all its slots.
    pub cpus: f64,
    /// Free gpus.
    pub gpus: i32,
    /// Free memory.
    pub memory_bytes: i64,
}

/// One claimed job.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ClaimedRow {
    /// Which queue.
    pub qid: Qid,
    /// The worker.
    pub worker_id: String,
    /// Which job.
    pub job_id: String,
    /// The fence.
    pub epoch: i64,
    /// Which claim of the job this is.
    pub attempt: i16,
    /// Epoch milliseconds of the database's clock.
    pub deadline_ms: i64,
    /// Longest run, seconds.
    pub max_seconds: i32,
    /// The definition's text; absent only if an operator deleted it.
    pub body: Option<String>,
    /// The login of its build context.
    pub login: Option<String>,
    /// The namespaces that hold the job.
    pub namespaces: Vec<String>,
    /// Whether to log more.
    pub is_debug: bool,
    /// Its position in the queue: priority, …
    pub priority: i16,
    /// … then number.
    pub seq: i64,
}

/// The result of one statement.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// The claimed jobs.
    pub rows: Vec<ClaimedRow>,
    /// Queues of the groups with so many classes of jobs that [`Db::tidy_classes`] should run.
    pub crowded: Vec<Qid>,
}

#[derive(sqlx::FromRow)]
struct OutcomeRow {
    outcome: String,
    job_id: String,
}

impl Db {
    /// Queues a batch. Returns one outcome for each submission, in order; all are durable when this returns.
    pub async fn submit(&self, batch: &[Submission]) -> Result<Vec<Submitted>> {
        self.keep_aliases(batch.iter().map(|s| (s.definition.hash.to_vec(), &s.definition))).await?;
        let logins = batch.iter().filter_map(|s| Some((s.definition.hash.to_vec(), s.definition.login()?)));
        self.keep_logins(logins).await?;
        let rows: Vec<OutcomeRow> = sqlx::query_as(SUBMIT)
            .bind(column(batch, |s| s.qid))
            .bind(column(batch, |s| s.job_id.as_str()))
            .bind(column(batch, |s| s.definition.hash.as_slice()))
            .bind(column(batch, |s| s.definition.stored_text()))
            .bind(column(batch, |s| s.namespace.as_str()))
            .bind(column(batch, Submission::is_true_id))
            .bind(column(batch, |s| s.is_debug))
            .bind(column(batch, Submission::class))
            .bind(vec![0_i16; batch.len()])
            .bind(column(batch, |s| s.definition.cpus))
            .bind(column(batch, |s| i32::try_from(s.definition.gpus).unwrap_or(i32::MAX)))
            .bind(column(batch, |s| i64::try_from(s.definition.memory_bytes).unwrap_or(i64::MAX)))
            .bind(column(batch, Submission::required_seconds))
            .bind(column(batch, |s| seconds(s.max_duration)))
            .bind(column(batch, |s| s.definition.stored_tags().join("/")))
            .bind(column(batch, |s| s.callbacks.as_ref().map(|owed| owed.queue.as_str())))
            .bind(column(batch, |s| s.callbacks.as_ref().map(OwedCallbacks::to_json)))
            .bind(column(batch, |s| s.is_again))
            .bind(column(batch, |s| s.sent_id.as_str()))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(|row| Ok(Submitted { outcome: outcome_of(&row.outcome)?, job_id: row.job_id })).collect()
    }

    /// Claims the jobs that fit the groups, in one statement. The rows have no particular order.
    pub async fn claim(&self, groups: &[ClaimGroup]) -> Result<Vec<ClaimedRow>> {
        Ok(self.claim_and_look(groups, false).await?.rows)
    }

    /// As [`Db::claim`]. If `is_looking`, it also returns the queues that should be tidied up.
    pub async fn claim_and_look(&self, groups: &[ClaimGroup], is_looking: bool) -> Result<Claims> {
        let slots: Vec<&Slot> = groups.iter().flat_map(|group| &group.slots).collect();
        let most = |group: &ClaimGroup, f: fn(&Slot) -> f64| group.slots.iter().map(f).fold(0.0, f64::max);
        let rows: Vec<ClaimedRow> = sqlx::query_as(CLAIM)
            .bind(column(groups, |g| g.qid))
            .bind(column(groups, |g| i32::try_from(g.slots.len()).unwrap_or(i32::MAX)))
            .bind(column(groups, |g| g.labels.join("/")))
            .bind(column(groups, |g| most(g, |s| s.cpus)))
            .bind(column(groups, |g| g.slots.iter().map(|s| s.gpus).max().unwrap_or(0)))
            .bind(column(groups, |g| g.slots.iter().map(|s| s.memory_bytes).max().unwrap_or(0)))
            .bind(column(groups, |g| g.max_seconds))
            .bind(first_slots(groups))
            .bind(column(&slots, |s| s.worker_id.as_str()))
            .bind(column(&slots, |s| s.cpus))
            .bind(column(&slots, |s| s.gpus))
            .bind(column(&slots, |s| s.memory_bytes))
            .bind(seconds(limits::SETUP_ALLOWANCE))
            .bind(is_looking)
            .fetch_all(&self.claims)
            .await?;
        let (crowded, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.job_id.is_empty());
        Ok(Claims { rows, crowded: crowded.into_iter().map(|row| row.qid).collect() })
    }
}

impl Db {
    /// Claims one named job for a registered worker. `None` when it does not wait or is not for this worker.
    pub async fn claim_one(&self, qid: Qid, job_id: &str, worker_id: &str) -> Result<Option<i64>> {
        let query = sqlx::query_scalar(CLAIM_ONE).bind(qid).bind(job_id).bind(worker_id);
        Ok(query.bind(seconds(limits::SETUP_ALLOWANCE)).fetch_optional(&self.pool).await?)
    }
}

/// One array parameter: a column of the batch.
pub(crate) fn column<'a, T, U>(batch: &'a [T], of: impl Fn(&'a T) -> U) -> Vec<U> {
    batch.iter().map(of).collect()
}

/// Where each group's slots begin among all slots, counted from 1 as arrays of PostgreSQL are.
fn first_slots(groups: &[ClaimGroup]) -> Vec<i32> {
    let begin = |next: &mut i32, group: &ClaimGroup| {
        let first = *next;
        *next = next.saturating_add(i32::try_from(group.slots.len()).unwrap_or(i32::MAX));
        Some(first)
    };
    groups.iter().scan(1, begin).collect()
}

fn outcome_of(word: &str) -> Result<SubmitOutcome> {
    Ok(match word {
        "new" => SubmitOutcome::New,
        "queued" => SubmitOutcome::Queued,
        "running" => SubmitOutcome::Running,
        "finished" => SubmitOutcome::Finished,
        "queue full" => SubmitOutcome::QueueFull,
        "namespace full" => SubmitOutcome::NamespaceFull,
        other => return Err(Error::UnknownWord(other.to_owned())),
    })
}
