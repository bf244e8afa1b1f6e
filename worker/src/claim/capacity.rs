//! The ledger: the capacity that this worker offers, and how much of it its jobs use.
//!
//! A [`Slot`] is one job's share. Dropping it frees the share and wakes the claim loop. A job that states no memory takes none from the
//! ledger; its container is limited to the worker's memory instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{Free, ParsedDefinition};
use tokio::sync::watch;

use crate::engine::Gpus;

/// A free share smaller than this is a rounding error.
const CPUS_LEAST: f64 = 0.01;

/// The capacity that one job takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Needs {
    pub(crate) cpus: f64,
    pub(crate) gpus: u32,
    pub(crate) memory_bytes: u64,
}

impl From<&ParsedDefinition> for Needs {
    fn from(parsed: &ParsedDefinition) -> Self {
        Self { cpus: parsed.cpus, gpus: parsed.gpus, memory_bytes: parsed.memory_bytes }
    }
}

#[derive(Debug)]
struct LedgerState {
    cpus: f64,
    /// Free gpus, by their position in the worker's list.
    gpus: BTreeMap<usize, String>,
    memory_bytes: u64,
    jobs: u32,
}

/// The shares of one worker.
#[derive(Debug)]
pub(crate) struct Ledger {
    state: Mutex<LedgerState>,
    /// Most jobs at once.
    jobs: u32,
    /// Counts the shares that became free. Tasks that wait for capacity wait until this count changes.
    freed: watch::Sender<u64>,
}

impl Ledger {
    pub(crate) fn new(cpus: f64, gpus: &Gpus, memory_bytes: u64, jobs: u32) -> Arc<Self> {
        let state = LedgerState { cpus, gpus: gpus.devices().iter().cloned().enumerate().collect(), memory_bytes, jobs };
        Arc::new(Self { state: Mutex::new(state), jobs, freed: watch::Sender::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The free capacity. `jobs` is 0 when no more job can run.
    pub(crate) fn free(&self) -> Free {
        let state = self.lock();
        let jobs = if state.cpus < CPUS_LEAST { 0 } else { state.jobs };
        let gpus = u32::try_from(state.gpus.len()).unwrap_or(u32::MAX);
        Free { cpus: state.cpus.max(0.0), gpus, memory: state.memory_bytes, jobs: jobs.min(protocol::limits::CLAIM_JOBS_MAX) }
    }

    /// Number of jobs that have a share now.
    pub(crate) fn n_taken(&self) -> u32 {
        self.jobs.saturating_sub(self.lock().jobs)
    }

    /// Takes a job's share, if enough capacity is free.
    pub(crate) fn take(self: &Arc<Self>, needs: Needs) -> Option<Slot> {
        let mut state = self.lock();
        let fits = state.jobs > 0
            && needs.cpus <= state.cpus + CPUS_LEAST
            && needs.gpus as usize <= state.gpus.len()
            && needs.memory_bytes <= state.memory_bytes;
        if !fits {
            return None;
        }
        state.jobs -= 1;
        state.cpus -= needs.cpus;
        state.memory_bytes -= needs.memory_bytes;
        let taken: BTreeMap<_, _> = (0..needs.gpus).map_while(|_| state.gpus.pop_first()).collect();
        Some(self.slot(needs, 1, taken))
    }

    /// Takes the share of a job that runs already. This process may offer less than the process before it, so the share may get less memory
    /// than the job needs, and the free cpus may become negative.
    pub(crate) fn retake(self: &Arc<Self>, needs: Needs, gpus: &[String]) -> Slot {
        let mut state = self.lock();
        let jobs = state.jobs.min(1);
        let needs = Needs { memory_bytes: needs.memory_bytes.min(state.memory_bytes), ..needs };
        state.jobs -= jobs;
        state.cpus -= needs.cpus;
        state.memory_bytes -= needs.memory_bytes;
        let (taken, left) = std::mem::take(&mut state.gpus).into_iter().partition(|(_, name)| gpus.contains(name));
        state.gpus = left;
        self.slot(needs, jobs, taken)
    }

    fn slot(self: &Arc<Self>, needs: Needs, jobs: u32, taken: BTreeMap<usize, String>) -> Slot {
        let gpus = taken.values().cloned().collect();
        Slot { ledger: Arc::clone(self), needs, jobs, taken, gpus }
    }

    /// Changes when a share becomes free.
    pub(crate) fn freed(&self) -> watch::Receiver<u64> {
        self.freed.subscribe()
    }
}

/// One job's share.
#[derive(Debug)]
pub(crate) struct Slot {
    ledger: Arc<Ledger>,
    needs: Needs,
    /// One, or zero when the worker took the job over while it already had as many jobs as it may have.
    jobs: u32,
    /// See [`LedgerState::gpus`].
    taken: BTreeMap<usize, String>,
    /// The gpus of this job, as the engine names them. No other job has them.
    pub(crate) gpus: Vec<String>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.ledger.lock();
        state.jobs += self.jobs;
        state.cpus += self.needs.cpus;
        state.memory_bytes += self.needs.memory_bytes;
        state.gpus.append(&mut self.taken);
        drop(state);
        self.ledger.freed.send_modify(|n| *n += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_once_and_comes_back() {
        let ledger = Ledger::new(2.0, &Gpus::from(2), 100, 3);
        let needs = Needs { cpus: 1.0, gpus: 1, memory_bytes: 60 };
        let first = ledger.take(needs).unwrap();
        assert_eq!(first.gpus, ["0"]);
        assert!(ledger.take(needs).is_none(), "memory is short");
        let second = ledger.take(Needs { memory_bytes: 0, ..needs }).unwrap();
        assert_eq!(second.gpus, ["1"]);
        assert_eq!(ledger.free().jobs, 0, "all cpus are taken");
        let mut freed = ledger.freed();
        drop(first);
        assert!(freed.has_changed().unwrap());
        freed.mark_unchanged();
        drop(second);
        assert_eq!(ledger.free(), Free { cpus: 2.0, gpus: 2, memory: 100, jobs: 3 });
    }

    #[test]
    fn a_job_that_runs_already_is_never_without_a_share() {
        let ledger = Ledger::new(1.0, &"device=5".parse().unwrap(), 50, 1);
        let needs = Needs { cpus: 1.0, gpus: 1, memory_bytes: 60 };
        let slots = ["5", "6"].map(|gpu| ledger.retake(needs, &[gpu.to_owned()]));
        assert!(slots[0].gpus == ["5"] && slots[1].gpus.is_empty());
        assert_eq!(ledger.free(), Free { cpus: 0.0, gpus: 0, memory: 0, jobs: 0 });
        drop(slots);
        assert_eq!(ledger.free(), Free { cpus: 1.0, gpus: 1, memory: 50, jobs: 1 });
    }

    #[test]
    fn no_two_jobs_ever_share_a_gpu() {
        let ledger = Ledger::new(9.0, &"device=5,1,GPU-aa,3".parse().unwrap(), 0, 9);
        let needs = |gpus| Needs { cpus: 1.0, gpus, memory_bytes: 0 };
        let pair = ledger.take(needs(2)).unwrap();
        let single = ledger.take(needs(1)).unwrap();
        assert_eq!((&pair.gpus[..], &single.gpus[..]), (&["5".to_owned(), "1".to_owned()][..], &["GPU-aa".to_owned()][..]));
        assert!(ledger.take(needs(2)).is_none(), "only one gpu is free");
        let none = ledger.take(needs(0)).unwrap();
        assert!(none.gpus.is_empty() && ledger.free().gpus == 1);
        drop(pair);
        let three = ledger.take(needs(3)).unwrap();
        assert_eq!(three.gpus, ["5", "1", "3"], "in the worker's own order");
        assert!(!three.gpus.contains(&single.gpus[0]));
    }

    #[test]
    fn fractions_add_up_to_the_whole() {
        let ledger = Ledger::new(1.0, &Gpus::default(), 0, 10);
        let needs = Needs { cpus: 0.1, ..Needs::default() };
        let slots: Vec<_> = (0..10).map_while(|_| ledger.take(needs)).collect();
        assert_eq!(slots.len(), 10);
        assert!(ledger.take(needs).is_none());
    }
}
