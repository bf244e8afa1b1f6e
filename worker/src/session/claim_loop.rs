//! Asks for jobs while there is capacity, and starts a task for each.
//!
//! One ledger, several queues: what is offered must not be promised twice. So queues are asked one after the other, without
//! waiting, each for as many jobs as are its share, until all of them are empty. Only then are they asked to wait, all at once and
//! for one job each: the first answer ends the waiting of the others, and the turns begin anew with what is left. Two answers that
//! cross may still exceed what is free; the API takes the second job back, and nobody counts an attempt.
//!
//! A single queue needs no turns: it is asked to wait for as many jobs as there is room.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use protocol::{Claim, ClaimAnswer, ClaimRequest, Free, HeldJob, ParsedDefinition, limits};
use tokio::time::{Instant, sleep_until};

use super::delivery::{Leftover, deliver_leftovers};
use super::job::{Work, work};
use super::lanes::Lanes;
use super::{Common, Session, engine};
use crate::api::ApiError;
use crate::backoff::Backoff;
use crate::capacity::Needs;
use crate::queues::QueueShare;
use crate::status::Obstacle;

/// Between claims that the API refuses, as for a wrong token: somebody has to change something.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// An empty answer that comes sooner is none that was waited for.
const PROMPT: Duration = Duration::from_millis(100);
/// Between two questions whether the disk has room again.
const ROOM_EVERY: Duration = Duration::from_secs(1);
/// Pause after a fault of this machine; it doubles up to the longest while faults follow each other.
const UNWELL_PAUSE: Duration = Duration::from_secs(2);
const UNWELL_PAUSE_MAX: Duration = Duration::from_mins(1);
/// After this long without a fault the machine counts as well.
const WELL_AFTER: Duration = Duration::from_mins(5);

/// Claims until as many jobs are taken as the worker may take; the caller drops it to stop sooner. What earlier runs could not
/// deliver goes first.
pub(super) async fn run(sessions: &[Arc<Session>], shares: Vec<QueueShare>, leftovers: Vec<Leftover>) {
    deliver_leftovers(leftovers).await;
    let Some(first) = sessions.first() else { return };
    let weights = shares.iter().map(|share| share.weight);
    let mut asker = Asker {
        common: Arc::clone(&first.common),
        lanes: Lanes::new(sessions.iter().cloned().zip(weights)),
        paces: sessions.iter().map(|_| Pace::new()).collect(),
        health: Health { pause: UNWELL_PAUSE, faulted: None, n_succeeded: 0 },
    };
    while asker.common.jobs_left.load(Ordering::Relaxed) > 0 {
        asker.ask().await;
    }
}

/// What one answer came to.
enum Outcome {
    /// So many jobs.
    Jobs(usize),
    Nothing,
}

type Answer = (usize, Instant, Result<ClaimAnswer, ApiError>);

struct Asker {
    common: Arc<Common>,
    lanes: Lanes,
    paces: Vec<Pace>,
    health: Health,
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
    /// Takes turns, then waits until something changes.
    async fn ask(&mut self) {
        let mut freed = self.common.ledger.freed();
        let mut engine = self.common.is_engine_there.subscribe();
        freed.mark_unchanged();
        self.common.until_room().await;
        if !*engine.borrow_and_update() {
            // Closed only when the worker ends.
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
                () = self.common.is_unwell.notified() => self.health.until_well(&self.common).await,
            }
            return;
        }
        let common = Arc::clone(&self.common);
        // A claim that is dropped half way is put back by the API, because nobody hears its answer.
        let is_unwell = tokio::select! {
            biased;
            () = common.is_unwell.notified() => true,
            () = self.wait_for_jobs(free) => false,
            () = common.care.until_lack() => false,
            _ = freed.changed() => false,
            _ = engine.changed() => false,
        };
        if is_unwell {
            self.health.until_well(&common).await;
        }
    }

    /// What is free, and at most as many jobs as may still be taken.
    fn offer(&self) -> Free {
        let left = u32::try_from(self.common.jobs_left.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let free = self.common.ledger.free();
        Free { jobs: free.jobs.min(left), ..free }
    }

    /// Asks the queues in turn until nothing is free or all are empty. What is free then.
    async fn take_turns(&mut self) -> Free {
        let mut candidates: Vec<usize> = (0..self.paces.len()).filter(|lane| self.paces[*lane].is_due()).collect();
        if self.paces.len() == 1 {
            candidates.clear();
        }
        loop {
            let free = self.offer();
            let Some((lane, jobs)) = self.lanes.next(&candidates, free.jobs) else { return free };
            let session = &self.lanes.all[lane].session;
            let request = ClaimRequest { wait: protocol::Duration(Duration::ZERO), ..request(session, Free { jobs, ..free }) };
            let asked = Instant::now();
            let answer = session.api.claim(&session.queue, &request).await;
            let is_full = matches!(self.settle((lane, asked, answer), false), Outcome::Jobs(n) if n >= jobs as usize);
            if !is_full {
                candidates.retain(|other| *other != lane);
            }
        }
    }

    /// Waits for a job of any queue.
    async fn wait_for_jobs(&mut self, free: Free) {
        let jobs = if self.paces.len() == 1 { free.jobs } else { 1 };
        let mut answers: FuturesUnordered<_> = (0..self.paces.len()).map(|lane| self.question(lane, jobs, free)).collect();
        while let Some(answer) = answers.next().await {
            let lane = answer.0;
            match self.settle(answer, true) {
                Outcome::Nothing => answers.push(self.question(lane, jobs, free)),
                Outcome::Jobs(_) => break,
            }
        }
        // Those that have come in the same moment are heard as well.
        while let Some(Some(answer)) = answers.next().now_or_never() {
            self.settle(answer, true);
        }
    }

    fn question(&self, lane: usize, jobs: u32, free: Free) -> impl Future<Output = Answer> + use<> {
        let session = Arc::clone(&self.lanes.all[lane].session);
        let not_before = self.paces[lane].not_before;
        async move {
            if let Some(at) = not_before {
                sleep_until(at).await;
            }
            let request = request(&session, Free { jobs, ..free });
            let asked = Instant::now();
            let answer = session.api.claim(&session.queue, &request).await;
            (lane, asked, answer)
        }
    }

    /// Starts what was given, and notes when the queue is to be asked again.
    fn settle(&mut self, (lane, asked, answer): Answer, is_waited_for: bool) -> Outcome {
        let session = Arc::clone(&self.lanes.all[lane].session);
        let pace = &mut self.paces[lane];
        match answer {
            Ok(answer) if answer.jobs.is_empty() => {
                session.api.status.cleared(Obstacle::Refusal, lane);
                note_pause(&session, lane, answer.is_paused);
                if is_waited_for && asked.elapsed() < PROMPT {
                    pace.wait();
                } else {
                    *pace = Pace::new();
                }
                Outcome::Nothing
            }
            Ok(answer) => {
                session.api.status.cleared(Obstacle::Refusal, lane);
                note_pause(&session, lane, false);
                *pace = Pace::new();
                let n_jobs = answer.jobs.len();
                for claim in answer.jobs {
                    if admit(&session, claim) {
                        self.lanes.charge(lane);
                    }
                }
                Outcome::Jobs(n_jobs)
            }
            Err(ApiError::Away(_)) => {
                pace.wait();
                Outcome::Nothing
            }
            Err(error) => {
                let mend = if error.is_about_the_token() { "; set ASMAN_WORKER_TOKEN to the queue's worker token" } else { "" };
                let sentence = format!("the API refuses to give jobs: {error}{mend}");
                session.api.status.blocked(Obstacle::Refusal, lane, &sentence);
                pace.not_before = Some(Instant::now() + REFUSED_PAUSE);
                Outcome::Nothing
            }
        }
    }
}

/// A paused queue gives nothing, and says so.
fn note_pause(session: &Session, lane: usize, is_paused: bool) {
    if is_paused {
        session.api.status.blocked(Obstacle::Pause, lane, "the queue is paused by its owner");
    } else {
        session.api.status.cleared(Obstacle::Pause, lane);
    }
}

/// A question for what is free. With no jobs wanted it only says who the worker is.
pub(super) fn request(session: &Session, free: Free) -> ClaimRequest {
    let wait = if free.jobs == 0 { Duration::ZERO } else { limits::WAIT_MAX };
    ClaimRequest { worker: session.description.clone(), free, wait: protocol::Duration(wait) }
}

impl Common {
    /// Returns when the disk has room for a job.
    async fn until_room(&self) {
        while let Some(lack) = self.care.lack() {
            self.api.status.blocked(Obstacle::Disk, 0, &lack);
            tokio::time::sleep(ROOM_EVERY).await;
        }
        self.api.status.cleared(Obstacle::Disk, 0);
    }
}

/// Keeps a machine that fails jobs from claiming them in a circle.
struct Health {
    pause: Duration,
    faulted: Option<Instant>,
    /// Jobs that had succeeded then.
    n_succeeded: u64,
}

impl Health {
    /// Waits a while, and then until the engine answers and starts what it could not start: a claim that the next job would only
    /// release helps nobody.
    async fn until_well(&mut self, common: &Common) {
        // A machine on which other jobs succeed is not to be stopped by jobs that do not.
        let n_succeeded = common.api.stats.succeeded.get();
        let works = std::mem::replace(&mut self.n_succeeded, n_succeeded) < n_succeeded;
        if works || self.faulted.is_none_or(|at| at.elapsed() > WELL_AFTER) {
            self.pause = UNWELL_PAUSE;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(UNWELL_PAUSE_MAX);
        engine::until_there(common).await;
        engine::until_it_runs(common).await;
        self.faulted = Some(Instant::now());
    }
}

/// Starts a claimed job. False when there is no room for it, or it is here already.
fn admit(session: &Arc<Session>, claim: Claim) -> bool {
    let job = HeldJob { job_id: claim.job_id.clone(), epoch: claim.epoch };
    let Some(hold) = session.holds.enter(job) else { return false };
    let parsed = ParsedDefinition::parse_stored(claim.definition.get());
    let needs = parsed.as_ref().map(Needs::from).unwrap_or_default();
    tracing::info!(job = %claim.job_id, epoch = claim.epoch, attempt = claim.attempt, "job claimed");
    let session = Arc::clone(session);
    let tasks = session.tasks.clone();
    let is_wanted = || session.jobs_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let Some(slot) = session.ledger.take(needs).filter(|_| is_wanted()) else {
        // More than was asked for: back at once, so that another worker gets it.
        tasks.spawn(async move { session.release(&hold, None).await });
        return false;
    };
    session.api.stats.claims.add(1);
    tasks.spawn(work(session, Work { claim, parsed, slot, hold, running: None }));
    true
}
