//! Live claims: finish, release, compare, sweep.

use std::time::Duration;

use protocol::{EndFault, Qid, Reason, limits};

use crate::queued::column;
use crate::{Db, Error, Result};

const FINISH: &str = include_str!("../queries/running/finish.sql");
const RELEASE: &str = include_str!("../queries/running/release.sql");
const COMPARE: &str = include_str!("../queries/running/compare.sql");
const EPOCH_OF_WORKER: &str = include_str!("../queries/running/epoch_of_worker.sql");
const SWEEP: &str = include_str!("../queries/running/sweep.sql");
const ENDED_BY: &str = include_str!("../queries/finished/ended_by.sql");

/// One claim of one job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, sqlx::FromRow)]
pub struct ClaimKey {
    /// Which queue.
    pub qid: Qid,
    /// Which job.
    pub job_id: String,
    /// The fence.
    pub epoch: i64,
}

/// What a worker reports at the end of a claim.
#[derive(Clone, Debug)]
pub struct FinishRow {
    /// Which claim.
    pub key: ClaimKey,
    /// How it ended.
    pub reason: Reason,
    /// Why, as programs read it.
    pub code: Option<String>,
    /// Whose fault that is.
    pub fault: Option<EndFault>,
    /// A sentence for people.
    pub message: Option<String>,
    /// Exit code.
    pub status_code: Option<i64>,
    /// Run time.
    pub duration_ms: Option<f64>,
    /// The result's JSON, without logs.
    pub result: String,
}

/// A claim that a worker gives back.
#[derive(Clone, Debug)]
pub struct ReleaseRow {
    /// Which claim.
    pub key: ClaimKey,
    /// Why, as programs read it; without a code the job has no penalty.
    pub code: Option<String>,
    /// Whose fault that is.
    pub fault: Option<EndFault>,
    /// A sentence for people.
    pub message: Option<String>,
}

impl From<ClaimKey> for ReleaseRow {
    /// A release without penalty.
    fn from(key: ClaimKey) -> Self {
        Self { key, code: None, fault: None, message: None }
    }
}

/// The state of a claim that a worker believes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimStatus {
    /// The worker has it.
    Live,
    /// The job ended without the worker.
    Ended(Reason),
    /// No such claim.
    Unknown,
    /// The worker has it and does not know: the answer to its claim never arrived.
    Orphan,
}

/// One compared claim.
#[derive(Clone, Debug)]
pub struct CompareRow {
    /// Which job.
    pub job_id: String,
    /// Its epoch.
    pub epoch: i64,
    /// Its true state.
    pub state: ClaimStatus,
    /// A sentence for people.
    pub message: Option<String>,
}

#[derive(sqlx::FromRow)]
struct RawCompare {
    job_id: String,
    epoch: i64,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

/// A job of a lost claim.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SweptRow {
    /// Which queue.
    pub qid: Qid,
    /// Which job.
    pub job_id: String,
    /// Whether it was given up for good.
    pub is_final: bool,
}

/// Age after which a claim that its worker does not name counts as never delivered.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(15);

impl Db {
    /// Ends a batch of claims. Returns the claims that ended now. The ends are durable when this returns.
    pub async fn finish(&self, batch: &[FinishRow]) -> Result<Vec<ClaimKey>> {
        // In the order in which submissions lock these rows, so that two statements never wait for each other.
        let mut batch: Vec<&FinishRow> = batch.iter().collect();
        batch.sort_unstable_by(|a, b| (&a.key.job_id, a.key.qid).cmp(&(&b.key.job_id, b.key.qid)));
        let batch = batch.as_slice();
        let rows = sqlx::query_as(FINISH)
            .bind(column(batch, |f| f.key.qid))
            .bind(column(batch, |f| f.key.job_id.as_str()))
            .bind(column(batch, |f| f.key.epoch))
            .bind(column(batch, |f| f.reason.as_str()))
            .bind(column(batch, |f| f.message.as_deref()))
            .bind(column(batch, |f| f.status_code))
            .bind(column(batch, |f| f.duration_ms))
            .bind(column(batch, |f| f.result.as_str()))
            .bind(column(batch, |f| f.code.as_deref()))
            .bind(column(batch, |f| f.fault.map(EndFault::as_str)))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Which of these claims ended earlier in the way that their worker reports now.
    pub async fn ended_by(&self, batch: &[FinishRow]) -> Result<Vec<ClaimKey>> {
        let rows = sqlx::query_as(ENDED_BY)
            .bind(column(batch, |f| f.key.qid))
            .bind(column(batch, |f| f.key.job_id.as_str()))
            .bind(column(batch, |f| f.key.epoch))
            .bind(column(batch, |f| f.reason.as_str()))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Puts claims back into the queue. A release with a code has a penalty, and after too many of them the job ends. Returns
    /// those that were live.
    pub async fn release(&self, batch: &[ReleaseRow]) -> Result<Vec<ClaimKey>> {
        let rows = sqlx::query_as(RELEASE)
            .bind(column(batch, |r| r.key.qid))
            .bind(column(batch, |r| r.key.job_id.as_str()))
            .bind(column(batch, |r| r.key.epoch))
            .bind(column(batch, |r| r.code.as_deref()))
            .bind(column(batch, |r| r.fault.map(EndFault::as_str)))
            .bind(column(batch, |r| r.message.as_deref()))
            .bind(limits::RELEASES_MAX)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Compares the claims that a worker believes it has with the stored ones. It also returns the claims older than `grace` that
    /// the worker does not know about.
    pub async fn compare(
        &self,
        qid: Qid,
        worker_id: &str,
        job_ids: &[&str],
        epochs: &[i64],
        grace: Duration,
    ) -> Result<Vec<CompareRow>> {
        let rows: Vec<RawCompare> = sqlx::query_as(COMPARE)
            .bind(qid)
            .bind(worker_id)
            .bind(job_ids)
            .bind(epochs)
            .bind(grace.as_secs_f64())
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(CompareRow::try_from).collect()
    }

    /// The epoch of this worker's claim of the job.
    pub async fn epoch_of_worker(&self, qid: Qid, job_id: &str, worker_id: &str) -> Result<Option<i64>> {
        Ok(sqlx::query_scalar(EPOCH_OF_WORKER).bind(qid).bind(job_id).bind(worker_id).fetch_optional(&self.pool).await?)
    }

    /// Ends the claims of workers that were silent for `lease`.
    pub async fn sweep(&self, lease: Duration, n_lost_max: i16) -> Result<Vec<SweptRow>> {
        Ok(sqlx::query_as(SWEEP).bind(lease.as_secs_f64()).bind(n_lost_max).fetch_all(&self.pool).await?)
    }
}

impl TryFrom<RawCompare> for CompareRow {
    type Error = Error;

    fn try_from(raw: RawCompare) -> Result<Self> {
        let state = match raw.status.as_str() {
            "live" => ClaimStatus::Live,
            "ended" => ClaimStatus::Ended(reason_of(raw.reason.as_deref().unwrap_or_default())?),
            "orphan" => ClaimStatus::Orphan,
            _ => ClaimStatus::Unknown,
        };
        Ok(Self { job_id: raw.job_id, epoch: raw.epoch, state, message: raw.message })
    }
}

pub(crate) fn reason_of(word: &str) -> Result<Reason> {
    word.parse().map_err(|_| Error::UnknownWord(word.to_owned()))
}
