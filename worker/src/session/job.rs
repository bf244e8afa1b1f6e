//! One claim from its start to its end: finished, released or dropped.

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use protocol::{Claim, FinishRequest, HeldJob, InvalidDefinition, ParsedDefinition, Step};
use tokio::task::JoinHandle;

use super::Session;
use super::remains::Remains;
use crate::capacity::Slot;
use crate::data_directory::{KeptClaim, Scratch};
use crate::ends::{self, Course};
use crate::holds::Hold;
use crate::log::{Kept, Log};
use crate::run::{RunError, Task, failed, timed_out};
use crate::spool::SpooledFinish;

/// A claim and what goes with it.
pub(super) struct Work {
    pub(super) claim: Claim,
    pub(super) parsed: Result<ParsedDefinition, InvalidDefinition>,
    pub(super) slot: Slot,
    pub(super) hold: Hold,
    /// Its container, which an earlier worker process started, and the log so far.
    pub(super) running: Option<(String, Option<Kept>)>,
}

/// Works one claim off. Its capacity is free again when the container has ended; the hold stays until the API has the finish.
pub(super) async fn work(session: Arc<Session>, work: Work) {
    let Work { claim, parsed, slot, hold, running } = work;
    let (running, kept) = running.map_or((None, None), |(id, kept)| (Some(id), kept));
    let path = session.data.scratch(&hold.job).log();
    let (log, uploader) = Log::open(Arc::clone(&session.api), session.queue.clone(), &hold, path, kept);
    let container = running.clone().map_or_else(OnceLock::new, OnceLock::from);
    let cache_in_use = session.care.job_caches.enter(session.queue.qid()).await;
    let folders = session.folders(&claim, &slot, &hold.job);
    let result = match (parsed, folders) {
        (Err(error), _) => Err(RunError::job(Step::Running, error.to_string())),
        (_, Err(error)) => Err(RunError::Host(format!("scratch folder: {error}"))),
        (Ok(parsed), Ok((scratch, cache))) => {
            let (claim, parsed, gpus, halt) = (&claim, &parsed, &slot.gpus[..], &*hold.halt);
            let log = log.clone();
            let host = &session.host;
            let task = Task { host, claim, parsed, gpus, scratch, cache, log, halt, container: &container };
            task.run(running.as_deref()).await
        }
    };
    // A failure does not tell whether the container still runs.
    let has_ended = result.is_ok();
    let result = close_log(result, claim.epoch, log, uploader).await;
    let remains = Remains { job: hold.job.clone(), container: container.into_inner(), has_ended, share: (slot, cache_in_use) };
    match result {
        Ok(finish) if !hold.halt.is_lost() => {
            hold.halt.close();
            let finish = SpooledFinish { queue: session.queue.clone(), job_id: claim.job_id, finish };
            let kept = session.keep(&finish).shared();
            let deliver = async {
                session.deliver(&finish, kept.clone()).await;
                drop(hold);
            };
            tokio::join!(session.clear(remains, kept.clone()), deliver);
        }
        // Another worker need not wait until this machine is tidy.
        result => {
            tokio::join!(session.clear(remains, std::future::ready(())), session.give_back(result.err(), hold));
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
    // It fails only if it panicked, which has been reported; the result counts.
    let _ = uploader.await;
    result
}

impl Session {
    fn folders(&self, claim: &Claim, slot: &Slot, job: &HeldJob) -> std::io::Result<(Scratch, std::path::PathBuf)> {
        let scratch = self.data.make_scratch(job)?;
        scratch.keep_claim(&KeptClaim { queue: self.queue.clone(), claim: claim.clone(), gpus: slot.gpus.clone() })?;
        // Strangers share nothing, not even with themselves.
        let is_untrusted = self.host.containers.as_ref().is_some_and(|containers| containers.isolation.is_untrusted());
        let cache = if is_untrusted { scratch.own_cache() } else { self.data.cache(self.queue.qid()) };
        Ok((scratch, cache?))
    }

    /// A job without a result: released, unless its claim is gone.
    async fn give_back(&self, error: Option<RunError>, hold: Hold) {
        let why = error.as_ref().and_then(|error| Some((error.code()?, error.to_string())));
        if let Some((code, cause)) = &why {
            let (job, fault) = (&hold.job.job_id, code.fault().as_str());
            tracing::error!(%job, %code, fault, %cause, "the job goes back to the queue");
            if matches!(ends::course(*code), Course::GiveBackAndRest | Course::GiveBackAndStop) {
                self.is_unwell.notify_one();
            }
        }
        if !hold.halt.is_lost() {
            self.release(&hold, why).await;
        }
    }
}
