//! Tells the API that the worker lives and which claims it holds, and learns which claims have ended.
//!
//! A heartbeat is a long poll: the API answers at once when a job must end, else after one period. When the set of held claims changes,
//! the worker drops a waiting heartbeat and sends one with the new set.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Free, HeartbeatAnswer, HeartbeatRequest};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Session;
use super::claim_loop::request;
use crate::backoff::Backoff;
use crate::spool::SpooledFinish;

/// Changes within this time are sent in one heartbeat.
const GATHER: Duration = Duration::from_millis(50);

/// Longest wait for the introduction. If the API does not answer, the worker introduces itself with its first claim instead.
const INTRODUCTION_MAX: Duration = Duration::from_secs(2);

/// Longest wait for the last heartbeat: the worker ends even when the API does not answer.
const LAST_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends heartbeats for ever; the caller aborts it.
pub(super) async fn run(session: Arc<Session>) {
    // The worker introduces itself before its first heartbeat. The API answers the heartbeat of a worker that it does not know with
    // `unknown`. The worker would then drop its first claim request, and with it a job that it had just got.
    introduce(&session).await;
    let mut changed = session.claims.changed();
    let mut backoff = Backoff::new();
    loop {
        changed.mark_unchanged();
        let request = HeartbeatRequest {
            worker_id: session.common.description.id.clone(),
            jobs: session.claims.list(),
            wait: protocol::Duration(session.common.heartbeat_every),
            is_leaving: false,
        };
        let sent = Instant::now();
        let answer = tokio::select! {
            biased;
            answer = session.common.api.heartbeat(&session.queue, &request) => answer,
            _ = changed.changed() => {
                sleep(GATHER).await;
                continue;
            }
        };
        let Ok(answer) = answer else {
            // `Api` has logged the error. The worker asks again even after a refusal, because policies change.
            backoff.wait().await;
            continue;
        };
        backoff = Backoff::new();
        let has_news = apply(&session, &answer);
        if answer.is_unknown {
            introduce(&session).await;
        }
        // If the API answers without waiting, the worker waits here.
        let next = if has_news { sent + GATHER } else { sent + session.common.heartbeat_every };
        tokio::select! {
            () = sleep_until(next) => (),
            _ = changed.changed() => sleep(GATHER).await,
        }
    }
}

/// Describes the worker to the API without asking for jobs.
async fn introduce(session: &Session) {
    let introduction = request(session, Free { jobs: 0, ..session.common.ledger.free() });
    let _ = timeout(INTRODUCTION_MAX, session.common.api.claim(&session.queue, &introduction)).await;
}

/// Sends the last heartbeat. Call it when every job has ended and no other heartbeat is under way, since a later heartbeat would introduce
/// the worker again. After the last heartbeat, the API counts the worker as gone, and queues the jobs again whose claim answer the worker
/// did not read. Without it, both happen when the lease runs out. It names the claims whose finish is kept for the next start, so these
/// claims stay.
pub(super) async fn last(sessions: &[Arc<Session>]) {
    let kept = sessions.first().map(|session| session.common.spool.list()).unwrap_or_default();
    let kept_of =
        &|session: &Session| kept.iter().filter(|finish| finish.queue == session.queue).map(SpooledFinish::job).collect();
    let beats = sessions.iter().map(|session| async move {
        let request = HeartbeatRequest {
            worker_id: session.common.description.id.clone(),
            jobs: kept_of(session),
            wait: protocol::Duration(Duration::ZERO),
            is_leaving: true,
        };
        let is_heard =
            matches!(timeout(LAST_HEARTBEAT_TIMEOUT, session.common.api.heartbeat(&session.queue, &request)).await, Ok(Ok(_)));
        if !is_heard {
            tracing::debug!("the last heartbeat did not reach the API; it counts the worker as gone when the lease runs out");
        }
    });
    futures_util::future::join_all(beats).await;
}

/// Stops the jobs whose claims have ended. Returns whether the answer had any news.
fn apply(session: &Session, answer: &HeartbeatAnswer) -> bool {
    for ended in &answer.end {
        let held = protocol::ClaimedJob { job_id: ended.job_id.clone(), epoch: ended.epoch };
        if session.claims.revoke(&held) {
            session.common.api.stats.ended.add(1);
            tracing::debug!(job = %ended.job_id, reason = ended.reason.as_str(), "the API ended the job");
        }
    }
    for unknown in &answer.unknown {
        if session.claims.revoke(unknown) {
            session.common.api.stats.lost.add(1);
            tracing::warn!(job = %unknown.job_id, epoch = unknown.epoch, "claim lost: the API does not know it any more");
        }
    }
    !(answer.end.is_empty() && answer.unknown.is_empty() && !answer.is_unknown)
}
