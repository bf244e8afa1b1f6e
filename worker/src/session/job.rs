//! One claim from its start to its end: finished, released or dropped.

use std::sync::{Arc, OnceLock};

use protocol::{Claim, FinishRequest, HeldJob, InvalidDefinition, ParsedDefinition, Step};
use tokio::task::JoinHandle;

use super::Session;
use crate::backoff::Backoff;
use crate::capacity::Slot;
use crate::data_directory::{KeptClaim, Scratch};
use crate::executor::Fault;
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

/// Works one claim off. Its capacity is free again when the container is gone; the hold stays until the API has the finish.
pub(super) async fn work(session: Arc<Session>, work: Work) {
    let Work { claim, parsed, slot, hold, running } = work;
    let (running, kept) = running.map_or((None, None), |(id, kept)| (Some(id), kept));
    let path = session.data.scratch(&hold.job).log();
    let (log, uploader) = Log::open(Arc::clone(&session.api), session.queue.clone(), &hold, path, kept);
    let container = running.clone().map_or_else(OnceLock::new, OnceLock::from);
    let cache_in_use = session.care.job_caches.enter(session.queue.qid()).await;
    let folders = session.folders(&claim, &slot, &hold.job);
    let result = match (parsed, folders) {
        (Err(error), _) => Err(RunError::Job { step: Step::Running, status: 400, message: error.to_string() }),
        (_, Err(error)) => Err(RunError::Host(format!("scratch folder: {error}"))),
        (Ok(parsed), Ok((scratch, cache))) => {
            let (claim, parsed, gpus, halt) = (&claim, &parsed, &slot.gpus[..], &*hold.halt);
            let log = log.clone();
            let host = &session.host;
            let task = Task { host, claim, parsed, gpus, scratch, cache, log, halt, container: &container };
            task.run(running.as_deref()).await
        }
    };
    let result = close_log(result, claim.epoch, log, uploader).await;
    let clean_up = async {
        session.clean_up(&hold.job, container.get()).await;
        drop((slot, cache_in_use));
    };
    match result {
        Ok(finish) if !hold.halt.is_lost() => {
            let finish = SpooledFinish { queue: session.queue.clone(), job_id: claim.job_id, finish };
            session.keep(&finish).await;
            tokio::join!(clean_up, session.deliver(&finish));
        }
        // Another worker need not wait until this machine is tidy.
        result => {
            tokio::join!(clean_up, session.give_back(result.err(), &hold));
        }
    }
}

/// Turns a job's own fault into the request that finishes it, and returns when the API has the whole log.
async fn close_log(
    result: Result<FinishRequest, RunError>,
    epoch: i64,
    log: Log,
    uploader: JoinHandle<()>,
) -> Result<FinishRequest, RunError> {
    let result = match result {
        Err(RunError::Job { step, status, message }) => {
            log.error(step, &message).await;
            Ok(failed(epoch, status, &message))
        }
        Err(RunError::TimedOut { step, message }) => {
            log.error(step, &message).await;
            Ok(timed_out(epoch, &message))
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

    /// Removes the container and the scratch folder, whatever happened. What stays is swept at the next start.
    pub(super) async fn clean_up(&self, job: &HeldJob, container: Option<&String>) {
        if let Some(id) = container
            && let Err(fault) = self.remove_container(id).await
        {
            tracing::warn!(%fault, job = %job.job_id, "container stays until the next start");
        }
        let scratch = self.data.scratch(job);
        // Joining fails only when the runtime ends.
        let _ = tokio::task::spawn_blocking(move || scratch.remove()).await;
    }

    /// Tries while the engine is away, unless the worker leaves: until then the container may hold its share of the machine.
    async fn remove_container(&self, id: &str) -> Result<(), Fault> {
        let mut backoff = Backoff::new();
        loop {
            match self.host.executor.remove(id).await {
                Err(Fault::Host(_)) if !self.is_leaving.is_cancelled() => (),
                result => return result,
            }
            tokio::select! {
                () = backoff.wait() => (),
                () = self.is_leaving.cancelled() => (),
            }
        }
    }

    /// A job without a result: released, unless its claim is gone.
    async fn give_back(&self, error: Option<RunError>, hold: &Hold) {
        if let Some(RunError::Host(cause)) = &error {
            tracing::error!(%cause, job = %hold.job.job_id, "this machine failed a job; it goes back to the queue");
            self.is_unwell.notify_one();
        }
        if !hold.halt.is_lost() {
            self.release(hold).await;
        }
    }
}
