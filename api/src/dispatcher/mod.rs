//! Gives waiting jobs to waiting workers: one statement per tick answers the requests of all queues.
//!
//! Comes in: claim requests of workers (long polls) and hints that a queue has something to claim. Goes out: claims, each to
//! exactly one request. At most [`STATEMENTS_MAX`] claim statements run at once. Requests and hints that arrive meanwhile form
//! the next statement, so an idle system claims at once and a loaded one claims hundreds of jobs together. Two statements never
//! claim from the same queue.
//!
//! Invariant: a claim whose client went away is released at once. A claim whose answer is lost on the way is released when the
//! worker's heartbeat does not name it. Bounds: [`REQUESTS_MAX`] requests wait, [`SLOTS_PER_STATEMENT`] jobs a statement.

mod waiting;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use protocol::{Free, Qid, WorkerDescription, limits};
use rand::Rng;
use sql::{ClaimKey, ClaimedRow, Claims, Db, ReleaseRow};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::background::Background;
use crate::error::ApiError;
use crate::hint::Kinds;
use crate::hub::Hub;
use crate::notifier::Notifier;
use waiting::{Batch, Waiting};

/// Most claim statements at once.
const STATEMENTS_MAX: usize = 2;
/// Most requests and hints that wait between the handlers and the dispatcher.
const REQUESTS_MAX: usize = 50_000;
/// Most jobs that one statement claims.
const SLOTS_PER_STATEMENT: usize = 1_000;

/// Time between the starts of two tidy-ups. Each scans the classes of its queues and usually finds nothing to do.
const TIDY_PAUSE: Duration = Duration::from_secs(1);
/// Of this many claim statements for many queues, a random one also checks which of its queues need a tidy-up. This check costs
/// an index descent for each queue, a tenth of the cost of the claim.
const LOOKS: u32 = 8;
/// A statement for at most this many queues always makes this check, because it costs little there.
const QUEUES_ALWAYS_LOOKED_AT: usize = 16;

/// A worker's claim request that waits for jobs.
#[derive(Debug)]
pub(crate) struct WaitingRequest {
    pub(crate) qid: Qid,
    pub(crate) worker: WorkerDescription,
    pub(crate) free: Free,
    /// Whether to answer after the first statement, even without jobs.
    pub(crate) no_wait: bool,
    pub(crate) reply: oneshot::Sender<Vec<ClaimedRow>>,
}

#[derive(Debug)]
enum Message {
    Request(Box<WaitingRequest>),
    Claimable(Qid),
    /// Hints were lost: any queue may have something to claim.
    AnyClaimable,
    /// The process stops: finish what is in progress, and report it.
    Stop(oneshot::Sender<()>),
}

/// Handle of the dispatcher. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Dispatcher {
    messages: mpsc::Sender<Message>,
}

/// What the dispatcher works with.
#[derive(Clone, Debug)]
struct Context {
    db: Db,
    hub: Hub,
    notifier: Notifier,
    /// The dispatcher's own handle. Weak: the dispatcher ends when all other handles are dropped.
    messages: mpsc::WeakSender<Message>,
}

impl Dispatcher {
    /// Starts the task. `poll` is how often it tries the waiting requests without a hint.
    pub(crate) fn start(background: &Background, db: Db, hub: Hub, notifier: Notifier, poll: Duration) -> Self {
        let (messages, inbox) = mpsc::channel(REQUESTS_MAX);
        let context = Context { db, hub, notifier, messages: messages.downgrade() };
        background.start("the dispatcher", run(context, inbox, poll));
        Self { messages }
    }

    /// Reports that something waits in a queue. If the inbox is full, the hint is lost and polling finds the job.
    pub(crate) fn hint(&self, qid: Qid) {
        let _ = self.messages.try_send(Message::Claimable(qid));
    }

    /// Reports that something may wait in any queue, because hints were lost.
    pub(crate) fn resync(&self) {
        let _ = self.messages.try_send(Message::AnyClaimable);
    }

    /// Ends the statements in progress and releases the claims that no request waits for, so that no claim is left behind.
    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.messages.send(Message::Stop(done)).await.is_ok() {
            // An error means that the dispatcher has ended already.
            let _ = stopped.await;
        }
    }

    /// Waits up to `wait` for jobs. Empty when there were none.
    pub(crate) async fn claim(
        &self,
        qid: Qid,
        worker: WorkerDescription,
        free: Free,
        wait: Duration,
    ) -> Result<Vec<ClaimedRow>, ApiError> {
        let (reply, mut claimed) = oneshot::channel();
        let no_wait = wait.is_zero();
        let request = WaitingRequest { qid, worker, free, no_wait, reply };
        self.messages.send(Message::Request(Box::new(request))).await.map_err(|_| ApiError::Stopping)?;
        // Without a wait the request is still tried in one statement, which may take some time.
        let timeout = if no_wait { limits::WAIT_MAX } else { wait };
        match tokio::time::timeout(timeout, &mut claimed).await {
            Ok(Ok(rows)) => Ok(rows),
            // The worker asked again, and its newer request waits instead of this one.
            Ok(Err(_)) if !self.messages.is_closed() => Ok(Vec::new()),
            Ok(Err(_)) => Err(ApiError::Stopping),
            Err(_) => {
                // From here on rows are refused and released. Rows that came at this very moment are accepted.
                claimed.close();
                Ok(claimed.try_recv().unwrap_or_default())
            }
        }
    }
}

/// A finished statement, with the rows that it claimed; none when it failed.
type Finished = (Batch, Option<Claims>);

async fn run(context: Context, mut inbox: mpsc::Receiver<Message>, poll: Duration) {
    let mut waiting = Waiting::default();
    let mut statements: JoinSet<Finished> = JoinSet::new();
    let mut releases = JoinSet::new();
    let mut stop = None;
    // Queues with many classes of jobs, and the task that tidies them up.
    let mut crowded: HashSet<Qid> = HashSet::new();
    let mut tidying: JoinSet<()> = JoinSet::new();
    let mut tidied_at: Option<tokio::time::Instant> = None;
    let mut next_poll = tokio::time::Instant::now() + jittered(poll);
    loop {
        tokio::select! {
            message = inbox.recv() => match message {
                Some(message) => stop = stop.or(take(&mut waiting, message)),
                None => return,
            },
            Some(_) = releases.join_next() => {}
            Some(finished) = statements.join_next() => match finished {
                Ok((batch, claims)) => {
                    crowded.extend(claims.iter().flat_map(|claims| claims.crowded.iter().copied()));
                    deliver(&context, &mut waiting, &mut releases, batch, claims.map(|claims| claims.rows));
                }
                Err(error) => {
                    // The dispatcher must end too: the queues of this statement would never be tried again.
                    tracing::error!(%error, "a claim statement's task ended");
                    return;
                }
            },
            Some(tidied) = tidying.join_next() => drop(tidied),
            () = tokio::time::sleep_until(next_poll) => {
                waiting.mark_all();
                metrics::gauge!("asman_claims_waiting").set(waiting.n_requests() as f64);
                next_poll = tokio::time::Instant::now() + jittered(poll);
            }
        }
        while let Ok(message) = inbox.try_recv() {
            stop = stop.or(take(&mut waiting, message));
        }
        if let Some(done) = stop {
            while let Some(Ok((batch, claims))) = statements.join_next().await {
                deliver(&context, &mut waiting, &mut releases, batch, claims.map(|claims| claims.rows));
            }
            while releases.join_next().await.is_some() {}
            let _ = done.send(());
            return;
        }
        if tidying.is_empty() && !crowded.is_empty() && tidied_at.is_none_or(|at| at.elapsed() >= TIDY_PAUSE) {
            tidied_at = Some(tokio::time::Instant::now());
            tidying.spawn(tidy(context.db.clone(), std::mem::take(&mut crowded)));
        }
        while statements.len() < STATEMENTS_MAX {
            let Some(batch) = waiting.next_batch(SLOTS_PER_STATEMENT) else { break };
            statements.spawn(run_statement(context.db.clone(), batch));
        }
    }
}

/// Handles a message. Returns the channel on which to report that everything has ended.
fn take(waiting: &mut Waiting, message: Message) -> Option<oneshot::Sender<()>> {
    match message {
        Message::Request(request) => waiting.add(*request),
        Message::Claimable(qid) => waiting.mark(qid),
        Message::AnyClaimable => waiting.mark_all(),
        Message::Stop(done) => return Some(done),
    }
    None
}

/// A random pause, so that the processes do not all poll at the same time. It is never longer than `poll`, which bounds the
/// cost of a lost hint.
fn jittered(poll: Duration) -> Duration {
    poll.mul_f64(rand::rng().random_range(0.5..1.0))
}

async fn run_statement(db: Db, batch: Batch) -> (Batch, Option<Claims>) {
    let start = std::time::Instant::now();
    let is_looking = batch.groups.len() <= QUEUES_ALWAYS_LOOKED_AT || rand::rng().random_ratio(1, LOOKS);
    let result = db.claim_and_look(&batch.groups, is_looking).await;
    metrics::histogram!("asman_claim_statement_seconds").record(start.elapsed().as_secs_f64());
    match result {
        Ok(claims) => (batch, Some(claims)),
        Err(error) => {
            metrics::counter!("asman_claim_statements_failed_total").increment(1);
            tracing::warn!(%error, "a claim statement failed; the next poll looks at its queues again");
            (batch, None)
        }
    }
}

/// Deletes the classes without a waiting job, and hides from claims the classes that no connected worker can run.
async fn tidy(db: Db, queues: HashSet<Qid>) {
    for qid in queues {
        loop {
            match db.tidy_classes(qid, true).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "classes of waiting jobs were not tidied up; the next claim tries again");
                    break;
                }
            }
        }
    }
}

/// Sends each row to its waiting request, and releases the rows whose client went away.
fn deliver(context: &Context, waiting: &mut Waiting, releases: &mut JoinSet<()>, batch: Batch, rows: Option<Vec<ClaimedRow>>) {
    let is_failed = rows.is_none();
    let mut by_worker: HashMap<(Qid, String), Vec<ClaimedRow>> = HashMap::new();
    for row in rows.unwrap_or_default() {
        context.hub.hint(row.qid, Kinds::STATES);
        context.notifier.hint(row.qid, Kinds::STATES);
        by_worker.entry((row.qid, row.worker_id.clone())).or_default().push(row);
    }
    let n_claimed: usize = by_worker.values().map(Vec::len).sum();
    metrics::counter!("asman_jobs_claimed_total").increment(n_claimed as u64);
    let orphans = waiting.resolve(batch, by_worker, is_failed);
    if !orphans.is_empty() {
        releases.spawn(release_orphans(context.clone(), orphans));
    }
}

async fn release_orphans(context: Context, orphans: Vec<ClaimedRow>) {
    let key = |row: ClaimedRow| ClaimKey { qid: row.qid, job_id: row.job_id, epoch: row.epoch };
    let rows: Vec<_> = orphans.into_iter().map(|row| ReleaseRow::from(key(row))).collect();
    match context.db.release(&rows).await {
        Ok(released) => {
            for key in released {
                context.hub.hint(key.qid, Kinds::STATES | Kinds::CLAIMABLE);
                context.notifier.hint(key.qid, Kinds::STATES | Kinds::CLAIMABLE);
                // The notifier tells the other processes. This process's own workers should not wait for the poll.
                if let Some(messages) = context.messages.upgrade() {
                    // `try_send` does not wait, because the dispatcher may be waiting for this task. The poll compensates for a
                    // lost hint.
                    let _ = messages.try_send(Message::Claimable(key.qid));
                }
            }
        }
        Err(error) => {
            let sentence =
                "claims whose clients went away were not released; heartbeats or the end of the lease will release them";
            tracing::warn!(%error, "{sentence}");
        }
    }
}
