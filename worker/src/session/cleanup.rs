//! What a job leaves on the machine: its container and its scratch folder.
//!
//! A container that has ended holds no cpu, memory or gpu: its share is free before the engine has removed it, and the next job
//! starts meanwhile. Bound: [`REMOVALS_MAX`] shares are free that way at a time; further jobs keep theirs until a container is gone.
//! A container that may still run keeps its share until it is removed.
//!
//! A removal is tried again while the engine is away, and [`REFUSALS_MAX`] times when it refuses, as it does while something of
//! this machine still looks into the container's files. All removals are part of their job's task, for which the drain waits. What
//! stays is found by its label at the next start.

use std::path::PathBuf;

use protocol::HeldJob;

use super::Session;
use crate::backoff::Backoff;
use crate::capacity::Slot;
use crate::care::CacheInUse;
use crate::executor::{Docker, Fault};
use crate::shut;

/// Ended containers whose shares are given away already.
pub(super) const REMOVALS_MAX: usize = 16;
const REFUSALS_MAX: u32 = 6;

/// What one job leaves.
pub(super) struct Remains {
    pub(super) job: HeldJob,
    pub(super) container: Option<String>,
    /// Nothing of the container runs any more.
    pub(super) has_ended: bool,
    /// Of the machine, and of its queue's cache.
    pub(super) share: (Slot, CacheInUse),
}

impl Session {
    /// Removes all of it and gives the share back. Not before `kept` is over: a job whose finish is not on disk yet is only there.
    pub(super) async fn clear(&self, remains: Remains, kept: impl Future<Output = ()>) {
        let Remains { job, container, has_ended, share } = remains;
        let mut share = Some(share);
        let mut room = None;
        if has_ended {
            // Never closed.
            room = self.removals.acquire().await.ok();
            share = None;
        }
        kept.await;
        self.clean_up(&job, container.as_ref()).await;
        drop((share, room));
    }

    /// Removes the container and the scratch folder, whatever happened. What stays is swept at the next start.
    pub(super) async fn clean_up(&self, job: &HeldJob, container: Option<&String>) {
        if let Some(id) = container
            && let Err(fault) = self.remove_container(id).await
        {
            tracing::warn!(%fault, job = %job.job_id, "container stays until the next start");
        }
        let docker = self.host.containers.as_ref().map(|containers| &containers.docker);
        remove_scratch(docker, self.data.scratch(job).folder(), &self.host.data_label).await;
    }

    /// Tries again unless the worker leaves: until then the container may hold its share of the machine.
    async fn remove_container(&self, id: &str) -> Result<(), Fault> {
        let mut backoff = Backoff::new();
        let mut n_refusals = 0;
        loop {
            let Err(fault) = self.host.executor.remove(id).await else { return Ok(()) };
            n_refusals += u32::from(matches!(fault, Fault::Refused { .. }));
            if n_refusals == REFUSALS_MAX || self.is_leaving.is_cancelled() {
                return Err(fault);
            }
            tokio::select! {
                () = backoff.wait() => (),
                () = self.is_leaving.cancelled() => (),
            }
        }
    }
}

/// Best effort.
pub(super) async fn remove_scratch(docker: Option<&Docker>, folder: PathBuf, data_label: &str) {
    if !shut::remove(docker, folder.clone(), data_label).await {
        tracing::warn!(path = %folder.display(), "scratch folder stays; remove it by hand");
    }
}
