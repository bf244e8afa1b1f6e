//! The claims that this worker holds.
//!
//! A [`HeldClaim`] lives from the claim until the API has taken the finish, or until the claim was released or revoked. Every heartbeat
//! names all held claims, because the API queues a job again when a heartbeat leaves its claim out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::HeldJob;
use tokio::sync::watch;

use crate::run::StopSignal;

/// All claims that one worker holds in one queue.
#[derive(Debug)]
pub(crate) struct Claims {
    held: Mutex<HashMap<HeldJob, Arc<StopSignal>>>,
    /// Counts changes of the set. On a change, a waiting heartbeat is dropped and sent again with the new set.
    changed: watch::Sender<u64>,
}

impl Claims {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), changed: watch::Sender::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HeldJob, Arc<StopSignal>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a claim. Returns None when it is held already, as when the API repeats an answer.
    pub(crate) fn add(self: &Arc<Self>, job: HeldJob) -> Option<HeldClaim> {
        let stop = Arc::new(StopSignal::default());
        let mut held = self.lock();
        if held.contains_key(&job) {
            return None;
        }
        held.insert(job.clone(), Arc::clone(&stop));
        drop(held);
        self.changed.send_modify(|n| *n += 1);
        Some(HeldClaim { claims: Arc::clone(self), job, stop })
    }

    /// All held claims, as a heartbeat names them. Revoked claims are left out: otherwise the API would answer every heartbeat at
    /// once while the worker stops their containers.
    pub(crate) fn list(&self) -> Vec<HeldJob> {
        self.lock().iter().filter(|(_, stop)| !stop.is_revoked()).map(|(job, _)| job.clone()).collect()
    }

    /// The API has ended a claim. Returns whether it was held until now and the worker was not about to end it itself.
    pub(crate) fn revoke(&self, job: &HeldJob) -> bool {
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

    /// Changes when the set of held claims changes.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// One held claim. Dropping it takes it out of the heartbeat.
#[derive(Debug)]
pub(crate) struct HeldClaim {
    claims: Arc<Claims>,
    pub(crate) job: HeldJob,
    pub(crate) stop: Arc<StopSignal>,
}

impl Drop for HeldClaim {
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
        let [kept, released] = [1, 2].map(|epoch| HeldJob { job_id: "a".parse().unwrap(), epoch });
        let held = [&kept, &released].map(|job| claims.add(job.clone()).unwrap());
        held[1].stop.close();
        assert_eq!(claims.list().len(), 2, "the heartbeat names a claim until the API has heard of its release");
        assert!(claims.revoke(&kept) && !claims.revoke(&kept), "a claim is revoked once");
        assert!(!claims.revoke(&released) && claims.list().is_empty());
    }
}
