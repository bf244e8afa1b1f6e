//! Sends finishes and releases to the API.
//!
//! The worker writes a finish to disk while it sends it for the first time. Until the finish is on disk or the API has it, the container
//! stays, because the next start could read the finish from it again. The worker sends finishes and releases again until the API
//! answers. When the worker ends, it tries once more for at most five seconds. Then the spool keeps a finish for the next start, and
//! the lease ends a claim whose release did not arrive.

use std::sync::Arc;
use std::time::Duration;

use protocol::{EndCode, JobId, Reason, ReleaseRequest};

use super::Session;
use super::claims::LiveClaim;
use crate::answer::ApiError;
use crate::backoff::Backoff;
use crate::spool::SpooledFinish;

const LAST_ATTEMPT: Duration = Duration::from_secs(5);

/// A finish of an earlier run with its queue's session, and the held claim that keeps it in the heartbeat. For a queue that this run
/// does not serve, the session is another queue's and there is no held claim: the finish is sent at once, before the lease runs out.
pub(super) type Leftover = (Arc<Session>, Option<LiveClaim>, SpooledFinish);

/// Adds the claims of finishes that earlier runs could not deliver. Call it before the first heartbeat, because the API ends a claim that a
/// heartbeat leaves out.
pub(super) fn leftovers(sessions: &[Arc<Session>]) -> Vec<Leftover> {
    let Some(first) = sessions.first() else { return Vec::new() };
    let leftover = |finish: SpooledFinish| match sessions.iter().find(|session| session.queue == finish.queue) {
        Some(session) => Some((Arc::clone(session), Some(session.claims.add(finish.job())?), finish)),
        None => Some((Arc::clone(first), None, finish)),
    };
    first.common.spool.list().into_iter().filter_map(leftover).collect()
}

/// Sends each leftover once. Those that failed are sent again while new jobs run.
pub(super) async fn deliver_leftovers(leftovers: Vec<Leftover>) {
    for (session, held, finish) in leftovers {
        match session.send(LastMessage::Finish(&finish)).await {
            Err(ApiError::Away(_)) => {
                let tasks = session.common.tasks.clone();
                tasks.spawn(async move {
                    session.deliver(&finish, std::future::ready(())).await;
                    drop(held);
                });
            }
            answer => session.resolve(&finish, &answer),
        }
    }
}

/// The last message about a claim.
#[derive(Clone, Copy)]
enum LastMessage<'a> {
    Finish(&'a SpooledFinish),
    Release(&'a JobId, &'a ReleaseRequest),
}

impl Session {
    /// Writes a finish to disk. The finish is sent even when the disk is full.
    pub(super) async fn keep(&self, finish: &SpooledFinish) {
        if let Err(error) = self.common.spool.keep(finish).await {
            tracing::error!(%error, job = %finish.job_id, "cannot write the finish to disk; a crash before it is sent would lose it");
        }
    }

    /// Sends a finish until the API took or refused it, or the worker ends. `kept` completes when the finish is on disk.
    pub(super) async fn deliver(&self, finish: &SpooledFinish, kept: impl Future<Output = ()>) {
        let (answer, ()) = tokio::join!(self.until_answered(LastMessage::Finish(finish)), kept);
        if let Some(answer) = answer {
            self.resolve(finish, &answer);
        } else {
            tracing::warn!(job = %finish.job_id, "finish not sent; the next start of this worker sends it");
        }
    }

    /// Releases a claim. Without a reason the release has no penalty for the job.
    pub(super) async fn release(&self, held: &LiveClaim, why: Option<(EndCode, String)>) {
        let job = &held.job.job_id;
        held.stop.close();
        let (code, message) = why.unzip();
        let (fault, code) = (code.map(EndCode::fault), code.map(|code| code.as_str().to_owned()));
        let request = ReleaseRequest { epoch: held.job.epoch, code, fault, message };
        match self.until_answered(LastMessage::Release(job, &request)).await {
            Some(Ok(())) => {
                self.common.api.stats.released.add(1);
                tracing::info!(%job, "job released");
            }
            Some(Err(error)) => tracing::warn!(%job, %error, "the API refused the release"),
            None => tracing::warn!(%job, "release not sent; the claim ends with its lease"),
        }
    }

    /// Records the answer to a finish and removes the finish from the spool.
    fn resolve(&self, finish: &SpooledFinish, answer: &Result<(), ApiError>) {
        let job = &finish.job_id;
        match answer {
            Ok(()) => {
                let stats = &self.common.api.stats;
                let count = match finish.finish.reason {
                    Reason::Success => &stats.succeeded,
                    Reason::TimedOut => &stats.timed_out,
                    _ => &stats.failed,
                };
                count.add(1);
                let (reason, exit_code) = (finish.finish.reason.as_str(), finish.finish.result.status_code);
                tracing::info!(%job, reason, exit_code, "job finished");
            }
            Err(error) => {
                self.common.api.stats.lost.add(1);
                tracing::warn!(%job, %error, "the API refused the finish; the worker drops it");
            }
        }
        self.common.spool.remove(&finish.job());
    }

    async fn send(&self, message: LastMessage<'_>) -> Result<(), ApiError> {
        match message {
            LastMessage::Finish(it) => self.common.api.finish(&it.queue, &it.job_id, &it.finish).await,
            LastMessage::Release(job, request) => self.common.api.release(&self.queue, job, request).await,
        }
    }

    /// Sends until there is an answer. Returns None when the worker ends before that.
    async fn until_answered(&self, message: LastMessage<'_>) -> Option<Result<(), ApiError>> {
        let mut backoff = Backoff::new();
        loop {
            let is_last = self.common.is_leaving.is_cancelled();
            let answer = tokio::select! {
                answer = self.send(message) => answer,
                () = self.overdue() => return None,
            };
            match answer {
                Err(ApiError::Away(_)) if is_last => return None,
                Err(ApiError::Away(_)) => (),
                answer => return Some(answer),
            }
            tokio::select! {
                () = backoff.wait() => (),
                () = self.common.is_leaving.cancelled() => (),
            }
        }
    }

    async fn overdue(&self) {
        self.common.is_leaving.cancelled().await;
        tokio::time::sleep(LAST_ATTEMPT).await;
    }
}
