//! Finishes and releases on their way to the API.
//!
//! A finish is written to disk while it is sent for the first time: until it is there or the API has it, its container stays, from
//! which a next start would make it again. Both are sent again until the API answers; when the worker leaves, once more and for at
//! most five seconds: the spool keeps a finish for the next start, and a release that was not heard is what the lease is for.

use std::sync::Arc;
use std::time::Duration;

use protocol::{EndCode, JobId, Reason, ReleaseRequest};

use super::Session;
use crate::api::ApiError;
use crate::backoff::Backoff;
use crate::holds::Hold;
use crate::spool::SpooledFinish;

const LAST_ATTEMPT: Duration = Duration::from_secs(5);

/// A finish of an earlier run, the queue's session or another's, and the hold that keeps it in the heartbeat. A queue that this
/// run does not serve has none: the finish is sent at once, long before the lease is over, or comes too late.
pub(super) type Leftover = (Arc<Session>, Option<Hold>, SpooledFinish);

/// Enters what earlier runs could not deliver, before the first heartbeat: one that leaves a claim out gives it up.
pub(super) fn leftovers(sessions: &[Arc<Session>]) -> Vec<Leftover> {
    let Some(first) = sessions.first() else { return Vec::new() };
    let enter = |finish: SpooledFinish| match sessions.iter().find(|session| session.queue == finish.queue) {
        Some(session) => Some((Arc::clone(session), Some(session.holds.enter(finish.job())?), finish)),
        None => Some((Arc::clone(first), None, finish)),
    };
    first.spool.list().into_iter().filter_map(enter).collect()
}

/// Sends each leftover once; those that did not get through go on beside the new jobs.
pub(super) async fn deliver_leftovers(leftovers: Vec<Leftover>) {
    for (session, hold, finish) in leftovers {
        match session.send(Letter::Finish(&finish)).await {
            Err(ApiError::Away(_)) => {
                let tasks = session.tasks.clone();
                tasks.spawn(async move {
                    session.deliver(&finish, std::future::ready(())).await;
                    drop(hold);
                });
            }
            answer => session.settle(&finish, &answer),
        }
    }
}

/// The last word about a claim.
#[derive(Clone, Copy)]
enum Letter<'a> {
    Finish(&'a SpooledFinish),
    Release(&'a JobId, &'a ReleaseRequest),
}

impl Session {
    /// Writes a finish to disk. A full disk does not keep it from being sent.
    pub(super) async fn keep(&self, finish: &SpooledFinish) {
        if let Err(error) = self.spool.keep(finish).await {
            tracing::error!(%error, job = %finish.job_id, "finish cannot be kept on disk; a crash now would lose it");
        }
    }

    /// Sends a finish until the API took or refused it, or the worker leaves. `kept` is over when it is on disk.
    pub(super) async fn deliver(&self, finish: &SpooledFinish, kept: impl Future<Output = ()>) {
        let (answer, ()) = tokio::join!(self.until_answered(Letter::Finish(finish)), kept);
        if let Some(answer) = answer {
            self.settle(finish, &answer);
        } else {
            tracing::warn!(job = %finish.job_id, "finish is kept for the next start");
        }
    }

    /// Sends a claim back to the queue. Without a reason it costs the job nothing.
    pub(super) async fn release(&self, hold: &Hold, why: Option<(EndCode, String)>) {
        let job = &hold.job.job_id;
        hold.halt.close();
        let (code, message) = why.unzip();
        let (fault, code) = (code.map(EndCode::fault), code.map(|code| code.as_str().to_owned()));
        let request = ReleaseRequest { epoch: hold.job.epoch, code, fault, message };
        match self.until_answered(Letter::Release(job, &request)).await {
            Some(Ok(())) => {
                self.api.stats.released.add(1);
                tracing::info!(%job, "job released");
            }
            Some(Err(error)) => tracing::warn!(%job, %error, "release refused"),
            None => tracing::warn!(%job, "release not sent; the lease ends the claim"),
        }
    }

    fn settle(&self, finish: &SpooledFinish, answer: &Result<(), ApiError>) {
        let job = &finish.job_id;
        match answer {
            Ok(()) => {
                let stats = &self.api.stats;
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
                self.api.stats.lost.add(1);
                tracing::warn!(%job, %error, "finish refused; this copy is dropped");
            }
        }
        self.spool.remove(&finish.job());
    }

    async fn send(&self, letter: Letter<'_>) -> Result<(), ApiError> {
        match letter {
            Letter::Finish(it) => self.api.finish(&it.queue, &it.job_id, &it.finish).await,
            Letter::Release(job, request) => self.api.release(&self.queue, job, request).await,
        }
    }

    /// Sends until there is an answer. None: the worker leaves and there was none.
    async fn until_answered(&self, letter: Letter<'_>) -> Option<Result<(), ApiError>> {
        let mut backoff = Backoff::new();
        loop {
            let is_last = self.is_leaving.is_cancelled();
            let answer = tokio::select! {
                answer = self.send(letter) => answer,
                () = self.overdue() => return None,
            };
            match answer {
                Err(ApiError::Away(_)) if is_last => return None,
                Err(ApiError::Away(_)) => (),
                answer => return Some(answer),
            }
            tokio::select! {
                () = backoff.wait() => (),
                () = self.is_leaving.cancelled() => (),
            }
        }
    }

    async fn overdue(&self) {
        self.is_leaving.cancelled().await;
        tokio::time::sleep(LAST_ATTEMPT).await;
    }
}
