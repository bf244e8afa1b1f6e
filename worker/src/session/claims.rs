//! Asks for jobs while there is capacity, and starts a task for each.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Claim, ClaimRequest, Free, HeldJob, ParsedDefinition, limits};

use tokio::time::Instant;

use super::Session;
use super::delivery::Leftover;
use super::job::{Work, work};
use crate::api::ApiError;
use crate::backoff::Backoff;
use crate::capacity::Needs;

/// Between claims that the API refuses, as for a wrong token: somebody has to change something.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// Pause after a fault of this machine; it doubles up to the longest while faults follow each other.
const UNWELL_PAUSE: Duration = Duration::from_secs(2);
const UNWELL_PAUSE_MAX: Duration = Duration::from_mins(1);
/// After this long without a fault the machine counts as well.
const WELL_AFTER: Duration = Duration::from_mins(5);

/// Claims for ever; the caller drops it to stop. What earlier runs could not deliver goes first.
pub(super) async fn run(session: &Arc<Session>, leftovers: Vec<Leftover>) {
    session.deliver_leftovers(leftovers).await;
    let mut freed = session.ledger.freed();
    let mut backoff = Backoff::new();
    let mut health = Health { pause: UNWELL_PAUSE, faulted: None };
    let mut is_unknown = false;
    loop {
        session.care.until_room().await;
        freed.mark_unchanged();
        let free = session.ledger.free();
        if free.jobs == 0 && !is_unknown {
            tokio::select! {
                _ = freed.changed() => (),
                () = session.is_unknown.notified() => is_unknown = true,
            }
            continue;
        }
        let request = request(session, free);
        // A claim that is dropped half way is put back by the API, because nobody hears its answer.
        let answer = tokio::select! {
            biased;
            () = session.is_unwell.notified() => {
                health.until_well(session).await;
                continue;
            }
            answer = session.api.claim(&session.queue, &request) => answer,
            () = session.care.until_lack() => continue,
            () = session.is_unknown.notified() => { is_unknown = true; continue }
            _ = freed.changed() => continue,
        };
        match answer {
            Ok(answer) => {
                backoff = Backoff::new();
                is_unknown = false;
                answer.jobs.into_iter().for_each(|claim| admit(session, claim));
            }
            Err(ApiError::Away(_)) => backoff.wait().await,
            Err(error) => {
                let mend = if error.is_about_the_token() { "; set ASMAN_WORKER_TOKEN to the queue's worker token" } else { "" };
                tracing::error!(%error, "API refuses to give jobs; asking again in 30 s{mend}");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

/// A question for what is free. With no jobs wanted it only says who the worker is.
pub(super) fn request(session: &Session, free: Free) -> ClaimRequest {
    let wait = if free.jobs == 0 { Duration::ZERO } else { limits::WAIT_MAX };
    ClaimRequest { worker: session.description.clone(), free, wait: protocol::Duration(wait) }
}

/// Keeps a machine that fails jobs from claiming them in a circle.
struct Health {
    pause: Duration,
    faulted: Option<Instant>,
}

impl Health {
    /// Waits a while, and then until the engine answers: a claim that the next job would only release helps nobody.
    async fn until_well(&mut self, session: &Session) {
        if self.faulted.is_none_or(|at| at.elapsed() > WELL_AFTER) {
            self.pause = UNWELL_PAUSE;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(UNWELL_PAUSE_MAX);
        let mut backoff = Backoff::new();
        while let Err(fault) = session.host.executor.ping().await {
            tracing::warn!(%fault, "no claims while what runs jobs does not answer");
            backoff.wait().await;
        }
        self.faulted = Some(Instant::now());
    }
}

/// Starts a claimed job.
fn admit(session: &Arc<Session>, claim: Claim) {
    let job = HeldJob { job_id: claim.job_id.clone(), epoch: claim.epoch };
    let Some(hold) = session.holds.enter(job) else { return };
    let parsed = ParsedDefinition::parse(claim.definition.get());
    let needs = parsed.as_ref().map(Needs::from).unwrap_or_default();
    tracing::info!(job = %claim.job_id, epoch = claim.epoch, attempt = claim.attempt, "job claimed");
    let session = Arc::clone(session);
    let tasks = session.tasks.clone();
    match session.ledger.take(needs) {
        Some(slot) => tasks.spawn(work(session, Work { claim, parsed, slot, hold, running: None })),
        // More than was asked for: back at once, so that another worker gets it.
        None => tasks.spawn(async move { session.release(&hold).await }),
    };
}
