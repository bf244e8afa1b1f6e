//! What every handler shares.

use egress::Guard;
use std::sync::Arc;

use protocol::{ErrorCode, Namespace, Qid};
use sql::{ClaimKey, Db, FinishRow, ReleaseRow, Submission, SubmitOutcome, Submitted};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::access::Policies;
use crate::background::Background;
use crate::batcher::{Batcher, Bounds, Weight};
use crate::blob::BlobStore;
use crate::config::Config;
use crate::consent::{ConsentFile, Consents};
use crate::dispatcher::Dispatcher;
use crate::error::ApiError;
use crate::guard::check_callbacks;
use crate::hint::Kinds;
use crate::hub::Hub;
use crate::large::Large;
use crate::limits::{FULL_RETRY, Meters, QUEUE_FULL, limited};
use crate::notifier::Notifier;
use crate::program::Program;
use crate::report::Reports;

/// State of the router.
pub(crate) type AppState = Arc<App>;

/// The signals that end a process, in this order.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    pub(crate) leaving: CancellationToken,
    pub(crate) shutdown: CancellationToken,
}

/// What every handler shares.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) hub: Hub,
    /// Who may do what.
    pub(crate) policies: Policies,
    /// The limits on how much callers may do.
    pub(crate) meters: Meters,
    /// The budget for large answers.
    pub(crate) large: Large,
    pub(crate) dispatcher: Dispatcher,
    /// Queues in numbers.
    pub(crate) reports: Reports,
    pub(crate) blobs: BlobStore,
    /// The program that workers may download to be as new as this process.
    pub(crate) program: Program,
    pub(crate) config: Config,
    /// Which pages of other origins may use this machine.
    pub(crate) consents: Arc<Consents>,
    /// The process will stop: it is not ready any more, but still serves for a moment.
    pub(crate) leaving: CancellationToken,
    /// Ends sockets, streams and long polls.
    pub(crate) shutdown: CancellationToken,
    /// Wakes the task that ends superseded holds: a submission may have given a namespace to a newer job.
    pub(crate) superseded: Notify,
    /// Wakes the sender of webhooks: a webhook may be due.
    pub(crate) webhooks_due: Notify,
    notifier: Notifier,
    submits: Batcher<Submission, Answer<Submitted>>,
    finishes: Batcher<FinishRow, Answer<Ended>>,
}

type Answer<T> = Result<T, Arc<sql::Error>>;

/// The outcome of a finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Now,
    Earlier,
    Stale,
}

const SUBMITS: Bounds = Bounds { items_max: 500, weight_max: 8 * 1024 * 1024, in_flight: 2 };
const FINISHES: Bounds = Bounds { items_max: 1_000, weight_max: 16 * 1024 * 1024, in_flight: 2 };

impl Weight for Submission {
    fn weight(&self) -> usize {
        self.definition.text.len() + self.callbacks.as_ref().map_or(0, |owed| owed.to_json().len()) + 512
    }
}

impl Weight for FinishRow {
    fn weight(&self) -> usize {
        self.result.len() + 512
    }
}

impl App {
    /// Must be called inside a runtime, because it starts the batchers.
    pub(crate) fn new(
        background: &Background,
        config: Config,
        db: Db,
        hub: Hub,
        notifier: Notifier,
        blobs: BlobStore,
        signals: Signals,
    ) -> Self {
        let dispatcher = Dispatcher::start(background, db.clone(), hub.clone(), notifier.clone(), config.poll.0);
        let (submit_db, finish_db) = (db.clone(), db.clone());
        let submits =
            Batcher::start(background, "the batcher of submits", SUBMITS, move |batch| submit(submit_db.clone(), batch));
        let finishes =
            Batcher::start(background, "the batcher of finishes", FINISHES, move |batch| finish(finish_db.clone(), batch));
        let (superseded, webhooks_due) = (Notify::new(), Notify::new());
        let reports = Reports::new(db.clone(), config.lease.0);
        let (policies, meters) = (Policies::new(db.clone()), Meters::new(&config.limits));
        Self {
            db,
            hub,
            policies,
            meters,
            large: Large::new(),
            dispatcher,
            reports,
            blobs,
            program: Program::new(config.executable.clone()),
            consents: Arc::new(Consents::new(config.local_access.consent_file.clone().map(ConsentFile::at))),
            config,
            leaving: signals.leaving,
            shutdown: signals.shutdown,
            superseded,
            webhooks_due,
            notifier,
            submits,
            finishes,
        }
    }

    /// Notifies this process at once, and the others soon, that a queue changed.
    pub(crate) fn hint(&self, qid: Qid, kinds: Kinds) {
        if kinds.intersects(Kinds::CLAIMABLE) {
            self.dispatcher.hint(qid);
        }
        if kinds.intersects(Kinds::STATES) {
            self.webhooks_due.notify_one();
        }
        self.hub.hint(qid, kinds);
        self.notifier.hint(qid, kinds);
    }

    /// Queues a job. Durable when this returns.
    pub(crate) async fn submit(&self, mut submission: Submission) -> Result<Submitted, ApiError> {
        if let Some(owed) = &mut submission.callbacks {
            let guard = Guard::new(self.config.allow_private_webhooks);
            check_callbacks(&mut owed.callbacks, guard)
                .map_err(|error| ApiError::refused(ErrorCode::InvalidCallback, error.to_string()))?;
        }
        let qid = submission.qid;
        self.check_depth(qid, &submission.job_id).await?;
        let is_exclusive = submission.namespace != Namespace::SHARED;
        let submitted = self.submits.call(submission).await.ok_or(ApiError::Stopping)?.map_err(|error| match *error {
            sql::Error::TooManyNamespaces => ApiError::refused(ErrorCode::TooManyNamespaces, error.to_string()),
            _ => ApiError::Database(error),
        })?;
        let outcome = submitted.outcome;
        match outcome {
            SubmitOutcome::QueueFull => {
                return Err(limited("queue_policy", ErrorCode::QueueFull, FULL_RETRY, QUEUE_FULL));
            }
            SubmitOutcome::NamespaceFull => {
                let sentence = "this namespace has as many jobs waiting as the queue allows; \
                                submit the job again when some have been claimed";
                return Err(limited("namespace_policy", ErrorCode::NamespaceFull, FULL_RETRY, sentence));
            }
            SubmitOutcome::New | SubmitOutcome::Queued | SubmitOutcome::Running | SubmitOutcome::Finished => {}
        }
        // A claim skips a row that a repeated submission has locked. So claims are tried again after every submission of a
        // waiting job.
        let is_waiting = matches!(outcome, SubmitOutcome::New | SubmitOutcome::Queued);
        let kinds = if is_waiting { Kinds::STATES | Kinds::CLAIMABLE } else { Kinds::STATES };
        self.hint(qid, kinds);
        if is_exclusive {
            self.superseded.notify_one();
        }
        metrics::counter!("asman_jobs_submitted_total").increment(1);
        Ok(submitted)
    }

    /// Ends a claim. Durable when this returns; sending it again is harmless.
    pub(crate) async fn finish(&self, row: FinishRow) -> Result<(), ApiError> {
        let qid = row.key.qid;
        match self.finishes.call(row).await.ok_or(ApiError::Stopping)?.map_err(ApiError::Database)? {
            Ended::Now => {
                self.hint(qid, Kinds::STATES);
                metrics::counter!("asman_jobs_finished_total").increment(1);
                Ok(())
            }
            Ended::Earlier => Ok(()),
            Ended::Stale => {
                metrics::counter!("asman_stale_writes_total").increment(1);
                Err(ApiError::StaleEpoch)
            }
        }
    }

    /// Reports how much waits inside this process.
    pub(crate) fn measure(&self) {
        let (n_open, n_idle) = self.db.pool_size();
        metrics::gauge!("asman_database_connections").set(f64::from(n_open));
        metrics::gauge!("asman_database_connections_idle").set(n_idle as f64);
        metrics::gauge!("asman_batch_waiting", "batch" => "submits").set(self.submits.n_waiting() as f64);
        metrics::gauge!("asman_batch_waiting", "batch" => "finishes").set(self.finishes.n_waiting() as f64);
        metrics::gauge!("asman_notifications_pending").set(self.notifier.n_pending() as f64);
    }

    /// The name of this process, for people who watch several.
    pub(crate) fn process_id(&self) -> &str {
        self.notifier.sender()
    }

    /// Puts claims back into their queue.
    pub(crate) async fn release(&self, rows: &[ReleaseRow]) -> Result<Vec<ClaimKey>, ApiError> {
        let released = self.db.release(rows).await?;
        for key in &released {
            self.hint(key.qid, Kinds::STATES | Kinds::CLAIMABLE);
        }
        Ok(released)
    }
}

/// When the database refuses a batch, each item is tried alone, so that one bad row does not fail the others.
async fn submit(db: Db, batch: Vec<Submission>) -> Vec<Answer<Submitted>> {
    match db.submit(&batch).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(sql::Error::Refused(_) | sql::Error::Text | sql::Error::TooManyNamespaces) if batch.len() > 1 => {
            let mut answers = Vec::with_capacity(batch.len());
            for one in batch.chunks(1) {
                let missing = || sql::Error::UnknownWord("no outcome".to_owned());
                let submitted = db.submit(one).await.and_then(|mut all| all.pop().ok_or_else(missing));
                answers.push(submitted.map_err(Arc::new));
            }
            answers
        }
        Err(error) => same_for_all(error, batch.len()),
    }
}

async fn finish(db: Db, batch: Vec<FinishRow>) -> Vec<Answer<Ended>> {
    match try_finish(&db, &batch).await {
        Ok(ends) => ends.into_iter().map(Ok).collect(),
        Err(sql::Error::Refused(_) | sql::Error::Text) if batch.len() > 1 => {
            let mut answers = Vec::with_capacity(batch.len());
            for one in batch.chunks(1) {
                let end = try_finish(&db, one).await.map(|ends| ends.first().copied());
                answers.push(end.map(|e| e.unwrap_or(Ended::Stale)).map_err(Arc::new));
            }
            answers
        }
        Err(error) => same_for_all(error, batch.len()),
    }
}

async fn try_finish(db: &Db, batch: &[FinishRow]) -> sql::Result<Vec<Ended>> {
    let now: std::collections::HashSet<ClaimKey> = db.finish(batch).await?.into_iter().collect();
    let missed: Vec<FinishRow> = batch.iter().filter(|row| !now.contains(&row.key)).cloned().collect();
    let earlier = if missed.is_empty() { Vec::new() } else { db.ended_by(&missed).await? };
    let end_of = |row: &FinishRow| match () {
        () if now.contains(&row.key) => Ended::Now,
        () if earlier.contains(&row.key) => Ended::Earlier,
        () => Ended::Stale,
    };
    Ok(batch.iter().map(end_of).collect())
}

fn same_for_all<T>(error: sql::Error, n: usize) -> Vec<Answer<T>> {
    let error = Arc::new(error);
    (0..n).map(|_| Err(Arc::clone(&error))).collect()
}
