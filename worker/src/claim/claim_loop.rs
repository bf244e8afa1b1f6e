//! Claims jobs while there is capacity, and starts a task for each.
//!
//! All queues share one ledger, and the worker must not offer the same capacity twice. So it asks the queues one after the other for their
//! share of jobs. These requests do not wait. Only when all queues are empty does the worker send each queue a request that waits for one
//! job. The first answer ends the other requests, and the worker asks in turn again with the capacity that is left. Two answers may still
//! arrive together and exceed the free capacity. Then the worker releases the second job, and the release has no penalty for the job.
//!
//! A worker with a single queue does not ask in turn: its request waits for as many jobs as fit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use protocol::{Claim, ClaimAnswer, ClaimRequest, ClaimedJob, Free, ParsedDefinition, limits};
use tokio::time::{Instant, sleep_until};

use super::capacity::Needs;
use super::delivery::{Leftover, deliver_leftovers};
use super::fair_share::FairShare;
use super::fault_pause::FaultPause;
use super::job::{Work, work};
use super::queues::QueueShare;
use super::{Common, Session};
use crate::answer::ApiError;
use crate::backoff::Backoff;
use crate::status::Obstacle;

/// Pause after a claim that the API refused, as for a wrong token: somebody has to change a setting first.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// If an empty answer comes sooner than this, the API did not wait for a job.
const PROMPT: Duration = Duration::from_millis(100);
/// Pause between two checks whether the disk has room again.
const ROOM_EVERY: Duration = Duration::from_secs(1);

/// Sends the finishes that earlier runs could not deliver, then claims jobs until the worker has taken as many as it may. The caller drops
/// this future to stop sooner.
pub(super) async fn run(sessions: &[Arc<Session>], shares: Vec<QueueShare>, leftovers: Vec<Leftover>) {
    deliver_leftovers(leftovers).await;
    let Some(first) = sessions.first() else { return };
    let weights = shares.iter().map(|share| share.weight);
    let mut asker = Asker {
        common: Arc::clone(&first.common),
        shares: FairShare::new(sessions.iter().cloned().zip(weights)),
        paces: sessions.iter().map(|_| Pace::new()).collect(),
        fault_pause: FaultPause::new(),
    };
    while asker.common.jobs_left.load(Ordering::Relaxed) > 0 {
        asker.ask().await;
    }
}

/// What one answer brought.
enum Answered {
    /// This many jobs.
    Jobs(usize),
    Nothing,
}

type Answer = (usize, Instant, Result<ClaimAnswer, ApiError>);

struct Asker {
    common: Arc<Common>,
    shares: FairShare,
    paces: Vec<Pace>,
    fault_pause: FaultPause,
}

/// When a queue may be asked again.
struct Pace {
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Pace {
    const fn new() -> Self {
        Self { backoff: Backoff::new(), not_before: None }
    }

    fn is_due(&self) -> bool {
        self.not_before.is_none_or(|at| at <= Instant::now())
    }

    fn wait(&mut self) {
        self.not_before = Some(Instant::now() + self.backoff.delay());
    }
}

impl Asker {
    /// Asks the queues in turn, then waits until something changes.
    async fn ask(&mut self) {
        let mut freed = self.common.ledger.freed();
        let mut engine = self.common.is_engine_there.subscribe();
        freed.mark_unchanged();
        self.common.until_room().await;
        if !*engine.borrow_and_update() {
            // The channel is closed only when the worker ends.
            let _ = engine.changed().await;
            return;
        }
        let free = self.take_turns().await;
        if self.common.jobs_left.load(Ordering::Relaxed) == 0 {
            return;
        }
        if free.jobs == 0 {
            tokio::select! {
                _ = freed.changed() => (),
                () = self.common.is_unwell.notified() => self.fault_pause.until_well(&self.common).await,
            }
            return;
        }
        let common = Arc::clone(&self.common);
        // If this drops a claim request whose job is claimed already, the API cannot send the answer, so it puts the job back in the queue.
        let is_unwell = tokio::select! {
            biased;
            () = common.is_unwell.notified() => true,
            () = self.wait_for_jobs(free) => false,
            () = common.disks.until_problem() => false,
            _ = freed.changed() => false,
            _ = engine.changed() => false,
        };
        if is_unwell {
            self.fault_pause.until_well(&common).await;
        }
    }

    /// The free capacity, with at most as many jobs as the worker may still take.
    fn offer(&self) -> Free {
        let left = u32::try_from(self.common.jobs_left.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let free = self.common.ledger.free();
        Free { jobs: free.jobs.min(left), ..free }
    }

    /// Asks the queues in turn until no capacity is free or all queues are empty. Returns the capacity that is free then.
    async fn take_turns(&mut self) -> Free {
        let mut candidates: Vec<usize> = (0..self.paces.len()).filter(|index| self.paces[*index].is_due()).collect();
        if self.paces.len() == 1 {
            candidates.clear();
        }
        loop {
            let free = self.offer();
            let Some((index, jobs)) = self.shares.next(&candidates, free.jobs) else { return free };
            let session = &self.shares.turns[index].session;
            let request = ClaimRequest { wait: protocol::Duration(Duration::ZERO), ..request(session, Free { jobs, ..free }) };
            let asked = Instant::now();
            let answer = session.common.api.claim(&session.queue, &request).await;
            let is_full = matches!(self.resolve((index, asked, answer), false), Answered::Jobs(n) if n >= jobs as usize);
            if !is_full {
                candidates.retain(|other| *other != index);
            }
        }
    }

    /// Waits for a job of any queue.
    async fn wait_for_jobs(&mut self, free: Free) {
        let jobs = if self.paces.len() == 1 { free.jobs } else { 1 };
        let mut answers: FuturesUnordered<_> = (0..self.paces.len()).map(|index| self.question(index, jobs, free)).collect();
        while let Some(answer) = answers.next().await {
            let index = answer.0;
            match self.resolve(answer, true) {
                Answered::Nothing => answers.push(self.question(index, jobs, free)),
                Answered::Jobs(_) => break,
            }
        }
        // Also take the answers that have arrived in the same moment.
        while let Some(Some(answer)) = answers.next().now_or_never() {
            self.resolve(answer, true);
        }
    }

    /// Sends one claim request to a queue.
    fn question(&self, index: usize, jobs: u32, free: Free) -> impl Future<Output = Answer> + use<> {
        let session = Arc::clone(&self.shares.turns[index].session);
        let not_before = self.paces[index].not_before;
        async move {
            if let Some(at) = not_before {
                sleep_until(at).await;
            }
            let request = request(&session, Free { jobs, ..free });
            let asked = Instant::now();
            let answer = session.common.api.claim(&session.queue, &request).await;
            (index, asked, answer)
        }
    }

    /// Starts the jobs of an answer, and sets when the queue may be asked again.
    fn resolve(&mut self, (index, asked, answer): Answer, is_waited_for: bool) -> Answered {
        let session = Arc::clone(&self.shares.turns[index].session);
        let pace = &mut self.paces[index];
        match answer {
            Ok(answer) if answer.jobs.is_empty() => {
                session.common.api.status.cleared(Obstacle::Refusal, index);
                note_pause(&session, index, answer.is_paused);
                if is_waited_for && asked.elapsed() < PROMPT {
                    pace.wait();
                } else {
                    *pace = Pace::new();
                }
                Answered::Nothing
            }
            Ok(answer) => {
                session.common.api.status.cleared(Obstacle::Refusal, index);
                note_pause(&session, index, false);
                *pace = Pace::new();
                let n_jobs = answer.jobs.len();
                for claim in answer.jobs {
                    if admit(&session, claim) {
                        self.shares.charge(index);
                    }
                }
                Answered::Jobs(n_jobs)
            }
            Err(ApiError::Away(_)) => {
                pace.wait();
                Answered::Nothing
            }
            Err(error) => {
                let fix = if error.is_about_the_token() { "; set ASMAN_WORKER_TOKEN to the queue's worker token" } else { "" };
                let sentence = format!("the API refuses the claim: {error}{fix}");
                session.common.api.status.blocked(Obstacle::Refusal, index, &sentence);
                pace.not_before = Some(Instant::now() + REFUSED_PAUSE);
                Answered::Nothing
            }
        }
    }
}

/// Reports whether the queue is paused.
fn note_pause(session: &Session, index: usize, is_paused: bool) {
    if is_paused {
        session.common.api.status.blocked(Obstacle::Pause, index, "the queue's owner has paused it");
    } else {
        session.common.api.status.cleared(Obstacle::Pause, index);
    }
}

/// A claim request for the free capacity. With `free.jobs` 0 it only describes the worker.
pub(super) fn request(session: &Session, free: Free) -> ClaimRequest {
    let wait = if free.jobs == 0 { Duration::ZERO } else { limits::WAIT_MAX };
    ClaimRequest { worker: session.common.description.clone(), free, wait: protocol::Duration(wait) }
}

impl Common {
    /// Returns when the disk has room for a job.
    async fn until_room(&self) {
        while let Some(problem) = self.disks.problem() {
            self.api.status.blocked(Obstacle::Disk, 0, &problem);
            tokio::time::sleep(ROOM_EVERY).await;
        }
        self.api.status.cleared(Obstacle::Disk, 0);
    }
}

/// Starts a claimed job. Returns false when the worker cannot take the job or holds the claim already.
fn admit(session: &Arc<Session>, claim: Claim) -> bool {
    let job = ClaimedJob { job_id: claim.job_id.clone(), epoch: claim.epoch };
    let Some(held) = session.claims.add(job) else { return false };
    let parsed = ParsedDefinition::parse_stored(claim.definition.get());
    let needs = parsed.as_ref().map(Needs::from).unwrap_or_default();
    tracing::info!(job = %claim.job_id, epoch = claim.epoch, attempt = claim.attempt, "job claimed");
    let session = Arc::clone(session);
    let tasks = session.common.tasks.clone();
    let is_wanted =
        || session.common.jobs_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let Some(slot) = session.common.ledger.take(needs).filter(|_| is_wanted()) else {
        // The API gave more than was asked for: release the job at once, so that another worker gets it.
        tasks.spawn(async move { session.release(&held, None).await });
        return false;
    };
    session.common.api.stats.claims.add(1);
    tasks.spawn(work(session, Work { claim, parsed, slot, held, running: None }));
    true
}
