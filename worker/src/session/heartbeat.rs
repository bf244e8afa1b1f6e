//! Says that the worker lives, names every claim it holds, and hears which of them ended.
//!
//! A long poll: the API answers at once when a job must end, else after one period. When the set of holds changes, a pending one
//! is dropped and the new set sent.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Free, HeartbeatAnswer, HeartbeatRequest};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Session;
use super::claims::request;
use crate::backoff::Backoff;
use crate::spool::SpooledFinish;

/// Changes that come closer together travel in one heartbeat.
const GATHER: Duration = Duration::from_millis(50);

/// Longest wait for the introduction. An API that is away hears of the worker with its first claim instead.
const INTRODUCTION_MAX: Duration = Duration::from_secs(2);

/// Longest wait for the farewell: an API that is away must not keep a worker from its end.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Beats for ever; the caller aborts it.
pub(super) async fn run(session: Arc<Session>) {
    // Introduced first: a heartbeat of a worker that the API does not know would make it drop its first question for jobs, and
    // with it a job that was just given to it.
    introduce(&session).await;
    let mut changed = session.holds.changed();
    let mut backoff = Backoff::new();
    loop {
        changed.mark_unchanged();
        let request = HeartbeatRequest {
            worker_id: session.description.id.clone(),
            jobs: session.holds.list(),
            wait: protocol::Duration(session.heartbeat_every),
            is_leaving: false,
        };
        let sent = Instant::now();
        let answer = tokio::select! {
            biased;
            answer = session.api.heartbeat(&session.queue, &request) => answer,
            _ = changed.changed() => {
                sleep(GATHER).await;
                continue;
            }
        };
        let Ok(answer) = answer else {
            // Logged where calls are made. A refusal too is asked again: policies change.
            backoff.wait().await;
            continue;
        };
        backoff = Backoff::new();
        let has_news = apply(&session, &answer);
        if answer.is_unknown {
            introduce(&session).await;
        }
        // An API that does not wait is not asked in a circle.
        let next = if has_news { sent + GATHER } else { sent + session.heartbeat_every };
        tokio::select! {
            () = sleep_until(next) => (),
            _ = changed.changed() => sleep(GATHER).await,
        }
    }
}

/// Describes the worker to the API without asking for jobs.
async fn introduce(session: &Session) {
    let introduction = request(session, Free { jobs: 0, ..session.ledger.free() });
    let _ = timeout(INTRODUCTION_MAX, session.api.claim(&session.queue, &introduction)).await;
}

/// One more beat when every job has ended and no other beat is under way, since the next one would introduce the worker anew. The
/// API counts the worker as gone from then on, and a claim whose answer was on its way when the worker stopped asking goes back to
/// its queue: both now and not when the lease is over. A claim whose finish is kept for the next start is named, and lives on.
pub(super) async fn last(sessions: &[Arc<Session>]) {
    let kept = sessions.first().map(|session| session.spool.list()).unwrap_or_default();
    let kept_of =
        &|session: &Session| kept.iter().filter(|finish| finish.queue == session.queue).map(SpooledFinish::job).collect();
    let beats = sessions.iter().map(|session| async move {
        let request = HeartbeatRequest {
            worker_id: session.description.id.clone(),
            jobs: kept_of(session),
            wait: protocol::Duration(Duration::ZERO),
            is_leaving: true,
        };
        let is_heard = matches!(timeout(FAREWELL_MAX, session.api.heartbeat(&session.queue, &request)).await, Ok(Ok(_)));
        if !is_heard {
            tracing::debug!("the API did not hear that the worker ends; it learns it when the lease is over");
        }
    });
    futures_util::future::join_all(beats).await;
}

/// Ends what must end. Whether there was anything.
fn apply(session: &Session, answer: &HeartbeatAnswer) -> bool {
    for ended in &answer.end {
        let held = protocol::HeldJob { job_id: ended.job_id.clone(), epoch: ended.epoch };
        if session.holds.lose(&held) {
            session.api.stats.ended.add(1);
            tracing::debug!(job = %ended.job_id, reason = ended.reason.as_str(), "the API has ended the job");
        }
    }
    for unknown in &answer.unknown {
        if session.holds.lose(unknown) {
            session.api.stats.lost.add(1);
            tracing::warn!(job = %unknown.job_id, epoch = unknown.epoch, "claim lost");
        }
    }
    !(answer.end.is_empty() && answer.unknown.is_empty() && !answer.is_unknown)
}
