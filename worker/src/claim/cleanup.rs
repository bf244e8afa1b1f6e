//! Removes what a job leaves on the machine: its container and its scratch folder.
//!
//! A container that has ended uses no cpu, memory or gpu. So its share becomes free before the engine has removed the container, and the
//! next job can start. At most [`REMOVALS_MAX`] shares are free in this way; further ended jobs keep their share until one of these
//! containers is removed. A container that may still run keeps its share until it is removed.
//!
//! The worker repeats a removal while the engine does not answer, and up to [`REFUSALS_MAX`] times when the engine refuses. The engine
//! refuses a removal while a process of this machine has files of the container open. A removal is part of its job's task, so the drain
//! waits for it. The next start finds the remaining containers by their label.

use std::path::PathBuf;

use protocol::ClaimedJob;

use super::Session;
use super::capacity::Slot;
use crate::backoff::Backoff;
use crate::disk::CacheInUse;
use crate::engine::{Engine, Fault};

/// Most ended containers whose share is free before they are removed.
pub(super) const REMOVALS_MAX: usize = 16;
const REFUSALS_MAX: u32 = 6;

/// What to remove after one job.
pub(super) struct Cleanup {
    pub(super) job: ClaimedJob,
    pub(super) container: Option<String>,
    /// The container has ended.
    pub(super) has_ended: bool,
    /// The job's share of the machine, and its use of the queue's cache.
    pub(super) share: (Slot, CacheInUse),
}

impl Session {
    /// Frees the share and removes everything. The removal waits for `kept`: until the finish is on disk, only the container shows how the
    /// job ended.
    pub(super) async fn clean_up(&self, cleanup: Cleanup, kept: impl Future<Output = ()>) {
        let Cleanup { job, container, has_ended, share } = cleanup;
        let mut share = Some(share);
        let mut room = None;
        if has_ended {
            // The semaphore is never closed.
            room = self.common.removals.acquire().await.ok();
            share = None;
        }
        kept.await;
        self.remove(&job, container.as_ref()).await;
        drop((share, room));
    }

    /// Removes the container and the scratch folder. The next start removes what could not be removed now.
    pub(super) async fn remove(&self, job: &ClaimedJob, container: Option<&String>) {
        if let Some(id) = container
            && let Err(fault) = self.remove_container(id).await
        {
            tracing::warn!(%fault, job = %job.job_id, "cannot remove a container; the next start of this worker removes it");
        }
        remove_scratch(&*self.common.host.engine, self.common.data.scratch(job).folder()).await;
    }

    /// Removes a container. Tries again until the worker ends or the engine has refused too often, because the container may still use its
    /// share of the machine.
    async fn remove_container(&self, id: &str) -> Result<(), Fault> {
        let mut backoff = Backoff::new();
        let mut n_refusals = 0;
        loop {
            let Err(fault) = self.common.host.engine.remove(id).await else { return Ok(()) };
            n_refusals += u32::from(matches!(fault, Fault::Refused { .. }));
            if n_refusals == REFUSALS_MAX || self.common.is_leaving.is_cancelled() {
                return Err(fault);
            }
            tokio::select! {
                () = backoff.wait() => (),
                () = self.common.is_leaving.cancelled() => (),
            }
        }
    }
}

/// Removes a scratch folder if that is possible.
pub(super) async fn remove_scratch(engine: &dyn Engine, folder: PathBuf) {
    if !engine.files().remove(folder.clone()).await {
        tracing::warn!(path = %folder.display(), "cannot remove a scratch folder; remove it with `sudo rm -r`");
    }
}
