//! The claims that this worker believes it holds.
//!
//! A [`Hold`] lives from the claim until the API has taken the finish (or the claim was lost or released): every heartbeat names
//! all of them, because a claim that a heartbeat leaves out is queued again. [`Halt`] is how a hold's job is told to end early.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::HeldJob;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Tells one job to end before its time, and whether its claim is gone.
#[derive(Debug, Default)]
pub(crate) struct Halt {
    token: CancellationToken,
    is_lost: AtomicBool,
    is_closing: AtomicBool,
}

impl Halt {
    /// The claim is gone: the job ends and nothing is sent for it any more. Whether that is news.
    pub(crate) fn lose(&self) -> bool {
        self.token.cancel();
        !self.is_lost.swap(true, Ordering::SeqCst)
    }

    /// The worker leaves: the job ends and its claim is released.
    pub(crate) fn leave(&self) {
        self.token.cancel();
    }

    /// The last word about the claim is on its way: the answer to that word tells whether it was heard in time.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn halted(&self) {
        self.token.cancelled().await;
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.token.is_cancelled()
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }
}

/// All holds of one worker.
#[derive(Debug)]
pub(crate) struct Holds {
    held: Mutex<HashMap<HeldJob, Arc<Halt>>>,
    /// Counts changes of the set: a pending heartbeat is sent anew with the new set.
    changed: watch::Sender<u64>,
}

impl Holds {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), changed: watch::Sender::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HeldJob, Arc<Halt>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a claim; nothing when it is held already, as when the API repeats an answer.
    pub(crate) fn enter(self: &Arc<Self>, job: HeldJob) -> Option<Hold> {
        let halt = Arc::new(Halt::default());
        let mut held = self.lock();
        if held.contains_key(&job) {
            return None;
        }
        held.insert(job.clone(), Arc::clone(&halt));
        drop(held);
        self.changed.send_modify(|n| *n += 1);
        Some(Hold { holds: Arc::clone(self), job, halt })
    }

    /// All held claims, as a heartbeat names them. A lost one is named no more: the answer about it would come at once, again and
    /// again, while its container is stopped.
    pub(crate) fn list(&self) -> Vec<HeldJob> {
        self.lock().iter().filter(|(_, halt)| !halt.is_lost()).map(|(job, _)| job.clone()).collect()
    }

    /// The claim is gone by the API's word. Whether it was held until now, and not about to be given up by ourselves.
    pub(crate) fn lose(&self, job: &HeldJob) -> bool {
        self.lock().get(job).is_some_and(|halt| halt.lose() && !halt.is_closing.load(Ordering::SeqCst))
    }

    /// Tells every job to end.
    pub(crate) fn leave_all(&self) {
        self.lock().values().for_each(|halt| halt.leave());
    }

    /// Whether nothing is held, not even a lost claim whose container is being stopped.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Changes whenever the set does.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// One held claim. Dropping it takes it out of the heartbeat.
#[derive(Debug)]
pub(crate) struct Hold {
    holds: Arc<Holds>,
    pub(crate) job: HeldJob,
    pub(crate) halt: Arc<Halt>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.lock().remove(&self.job);
        self.holds.changed.send_modify(|n| *n += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_is_given_back_is_not_lost() {
        let holds = Holds::new();
        let [kept, given_back] = [1, 2].map(|epoch| HeldJob { job_id: "a".parse().unwrap(), epoch });
        let hold = [&kept, &given_back].map(|job| holds.enter(job.clone()).unwrap());
        hold[1].halt.close();
        assert_eq!(holds.list().len(), 2, "named until the API has heard of it");
        assert!(holds.lose(&kept) && !holds.lose(&kept), "news once");
        assert!(!holds.lose(&given_back) && holds.list().is_empty());
    }
}
