//! The live claims of this worker.
//!
//! A [`LiveClaim`] lives from the claim until the API has taken the finish, or until the claim was released or revoked. Every heartbeat
//! names all live claims, because the API queues a job again when a heartbeat leaves its claim out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::ClaimedJob;
use tokio::sync::watch;

use crate::run::StopSignal;

/// All live claims of one worker in one queue.
#[derive(Debug)]
pub(crate) struct Claims {
    live: Mutex<HashMap<ClaimedJob, Arc<StopSignal>>>,
    /// Counts changes of the set. On a change, a waiting heartbeat is dropped and sent again with the new set.
    changed: watch::Sender<u64>,
}

impl Claims {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { live: Mutex::default(), changed: watch::Sender::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClaimedJob, Arc<StopSignal>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a claim. Returns None when the worker holds it already, for example because the API repeated an answer.
    pub(crate) fn add(self: &Arc<Self>, job: ClaimedJob) -> Option<LiveClaim> {
        let stop = Arc::new(StopSignal::default());
        let mut live = self.lock();
        if live.contains_key(&job) {
            return None;
        }
        live.insert(job.clone(), Arc::clone(&stop));
        drop(live);
        self.changed.send_modify(|n| *n += 1);
        Some(LiveClaim { claims: Arc::clone(self), job, stop })
    }

    /// All live claims, as a heartbeat names them. Revoked claims are left out: otherwise the API would answer every heartbeat at
    /// once while the worker stops their containers.
    pub(crate) fn list(&self) -> Vec<ClaimedJob> {
        self.lock().iter().filter(|(_, stop)| !stop.is_revoked()).map(|(job, _)| job.clone()).collect()
    }

    /// Revokes a claim that the API has ended. Returns true when the claim was live until now and the worker was not about to end it
    /// itself.
    pub(crate) fn revoke(&self, job: &ClaimedJob) -> bool {
        self.lock().get(job).is_some_and(|stop| stop.revoke() && !stop.is_closing())
    }

    /// Tells every job to stop.
    pub(crate) fn stop_all(&self) {
        self.lock().values().for_each(|stop| stop.request());
    }

    /// Whether no claim is left, not even a revoked one whose container is being stopped.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Changes when the set of live claims changes.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// One live claim. Dropping it takes it out of the heartbeat.
#[derive(Debug)]
pub(crate) struct LiveClaim {
    claims: Arc<Claims>,
    pub(crate) job: ClaimedJob,
    pub(crate) stop: Arc<StopSignal>,
}

impl Drop for LiveClaim {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.job);
        self.claims.changed.send_modify(|n| *n += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_claim_does_not_count_as_revoked() {
        let claims = Claims::new();
        let [kept, released] = [1, 2].map(|epoch| ClaimedJob { job_id: "a".parse().unwrap(), epoch });
        let held = [&kept, &released].map(|job| claims.add(job.clone()).unwrap());
        held[1].stop.close();
        assert_eq!(claims.list().len(), 2, "the heartbeat names a claim until the API has heard of its release");
        assert!(claims.revoke(&kept) && !claims.revoke(&kept), "a claim is revoked once");
        assert!(!claims.revoke(&released) && claims.list().is_empty());
    }
}
