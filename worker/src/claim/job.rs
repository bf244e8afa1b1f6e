//! One claim from its start to its end: finished, released or revoked.

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use protocol::{Claim, ClaimedJob, FinishRequest, InvalidDefinition, ParsedDefinition, Step};
use tokio::task::JoinHandle;

use super::Session;
use super::capacity::Slot;
use super::claims::LiveClaim;
use super::cleanup::Cleanup;
use crate::data_directory::{KeptClaim, Scratch};
use crate::ends::{self, Course, RunError};
use crate::run::log::{KeptChunk, Log};
use crate::run::{Assignment, Task, failed, timed_out};
use crate::spool::SpooledFinish;

/// A claim and everything that its job needs.
pub(super) struct Work {
    pub(super) claim: Claim,
    pub(super) parsed: Result<ParsedDefinition, InvalidDefinition>,
    pub(super) slot: Slot,
    pub(super) held: LiveClaim,
    /// The container that an earlier worker process started, and the log until then.
    pub(super) running: Option<(String, Option<KeptChunk>)>,
}

/// Runs the job of one claim. The job's capacity becomes free when its container has ended. The claim stays held until the API has the
/// finish.
pub(super) async fn work(session: Arc<Session>, work: Work) {
    let Work { claim, parsed, slot, held, running } = work;
    let (running, kept) = running.map_or((None, None), |(id, kept)| (Some(id), kept));
    let path = session.common.data.scratch(&held.job).log();
    let (api, stop) = (Arc::clone(&session.common.api), Arc::clone(&held.stop));
    let (log, uploader) = Log::open(api, session.queue.clone(), held.job.clone(), stop, path, kept);
    let container = running.clone().map_or_else(OnceLock::new, OnceLock::from);
    let cache_in_use = session.common.disks.job_caches.enter(session.queue.qid()).await;
    let folders = session.folders(&claim, &slot, &held.job);
    let result = match (parsed, folders) {
        (Err(error), _) => Err(RunError::job(Step::Running, error.to_string())),
        (_, Err(error)) => Err(RunError::Host(format!("scratch folder: {error}"))),
        (Ok(parsed), Ok((scratch, cache))) => {
            let (claim, parsed, gpus, stop) = (&claim, &parsed, &slot.gpus[..], &*held.stop);
            let (log, cache) = (log.clone(), &cache);
            let assignment = Assignment { claim, parsed, gpus, scratch, cache, log, stop, container: &container };
            Task::new(&session.common.host, assignment).run(running.as_deref()).await
        }
    };
    // After a failure the container may still run.
    let has_ended = result.is_ok();
    let result = close_log(result, claim.epoch, log, uploader).await;
    let cleanup = Cleanup { job: held.job.clone(), container: container.into_inner(), has_ended, share: (slot, cache_in_use) };
    match result {
        Ok(finish) if !held.stop.is_revoked() => {
            held.stop.close();
            let finish = SpooledFinish { queue: session.queue.clone(), job_id: claim.job_id, finish };
            let kept = session.keep(&finish).shared();
            let deliver = async {
                session.deliver(&finish, kept.clone()).await;
                drop(held);
            };
            tokio::join!(session.clean_up(cleanup, kept.clone()), deliver);
        }
        // Release the claim before the cleanup is done, so that another worker can take the job.
        result => {
            tokio::join!(session.clean_up(cleanup, std::future::ready(())), session.release_failed(result.err(), held));
        }
    }
}

/// Turns a failure that ends the job into the request that finishes it, and returns when the API has the whole log.
async fn close_log(
    result: Result<FinishRequest, RunError>,
    epoch: i64,
    log: Log,
    uploader: JoinHandle<()>,
) -> Result<FinishRequest, RunError> {
    let result = match result {
        Err(RunError::Failed { code, step, status, message }) => {
            log.error(step, &message).await;
            match ends::course(code) {
                Course::End => Ok(failed(epoch, code, status, &message)),
                _ => Err(RunError::Failed { code, step, status, message }),
            }
        }
        Err(RunError::TimedOut { code, step, message }) => {
            log.error(step, &message).await;
            Ok(timed_out(epoch, code, &message))
        }
        other => other,
    };
    drop(log);
    // Joining fails only after a panic, which was reported already.
    let _ = uploader.await;
    result
}

impl Session {
    fn folders(&self, claim: &Claim, slot: &Slot, job: &ClaimedJob) -> std::io::Result<(Scratch, std::path::PathBuf)> {
        let scratch = self.common.data.make_scratch(job)?;
        scratch.keep_claim(&KeptClaim { queue: self.queue.clone(), claim: claim.clone(), gpus: slot.gpus.clone() })?;
        // Jobs of strangers share no folder, not even with jobs of the same stranger.
        let cache = if self.common.is_untrusted { scratch.own_cache() } else { self.common.data.cache(self.queue.qid()) };
        Ok((scratch, cache?))
    }

    /// Releases a job that has no result, unless its claim was revoked.
    async fn release_failed(&self, error: Option<RunError>, held: LiveClaim) {
        let why = error.as_ref().and_then(|error| Some((error.code()?, error.to_string())));
        if let Some((code, cause)) = &why {
            let (job, fault) = (&held.job.job_id, code.fault().as_str());
            tracing::error!(%job, %code, fault, %cause, "the job failed here and goes back to the queue");
            if matches!(ends::course(*code), Course::ReleaseAndRest | Course::ReleaseAndStop) {
                self.common.is_unwell.notify_one();
            }
        }
        if !held.stop.is_revoked() {
            self.release(&held, why).await;
        }
    }
}
