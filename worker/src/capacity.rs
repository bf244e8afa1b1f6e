//! The ledger of what this worker offers and what its jobs hold.
//!
//! A [`Slot`] is one job's share; dropping it gives the share back and wakes the claim loop. A job that states no memory takes none
//! from the ledger: its container is limited to the worker's memory instead.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::{Free, ParsedDefinition};
use tokio::sync::watch;

/// Shares smaller than this are rounding errors of adding and subtracting fractions.
const CPUS_LEAST: f64 = 0.01;

/// What one job takes.
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
struct State {
    cpus: f64,
    /// Indices that no job holds.
    gpus: BTreeSet<u32>,
    memory_bytes: u64,
    jobs: u32,
}

/// All shares of one worker.
#[derive(Debug)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// Most jobs at once.
    jobs: u32,
    /// Counts the shares given back: whoever waits for capacity waits for a change here.
    freed: watch::Sender<u64>,
}

impl Ledger {
    pub(crate) fn new(cpus: f64, gpus: u32, memory_bytes: u64, jobs: u32) -> Arc<Self> {
        let state = State { cpus, gpus: (0..gpus).collect(), memory_bytes, jobs };
        Arc::new(Self { state: Mutex::new(state), jobs, freed: watch::Sender::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What no job holds. `jobs` is 0 when nothing more can run.
    pub(crate) fn free(&self) -> Free {
        let state = self.lock();
        let jobs = if state.cpus < CPUS_LEAST { 0 } else { state.jobs };
        let gpus = u32::try_from(state.gpus.len()).unwrap_or(u32::MAX);
        Free { cpus: state.cpus.max(0.0), gpus, memory: state.memory_bytes, jobs: jobs.min(protocol::limits::CLAIM_JOBS_MAX) }
    }

    /// Jobs that hold a share now.
    pub(crate) fn n_taken(&self) -> u32 {
        self.jobs.saturating_sub(self.lock().jobs)
    }

    /// Takes a job's share, unless it does not fit.
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
        let gpus = (0..needs.gpus).map_while(|_| state.gpus.pop_first()).collect();
        Some(Slot { ledger: Arc::clone(self), needs, gpus })
    }

    /// Changes whenever a share comes back.
    pub(crate) fn freed(&self) -> watch::Receiver<u64> {
        self.freed.subscribe()
    }
}

/// One job's share.
#[derive(Debug)]
pub(crate) struct Slot {
    ledger: Arc<Ledger>,
    needs: Needs,
    /// Indices of the gpus that are this job's alone.
    pub(crate) gpus: Vec<u32>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.ledger.lock();
        state.jobs += 1;
        state.cpus += self.needs.cpus;
        state.memory_bytes += self.needs.memory_bytes;
        state.gpus.extend(self.gpus.drain(..));
        drop(state);
        self.ledger.freed.send_modify(|n| *n += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_once_and_comes_back() {
        let ledger = Ledger::new(2.0, 2, 100, 3);
        let needs = Needs { cpus: 1.0, gpus: 1, memory_bytes: 60 };
        let first = ledger.take(needs).unwrap();
        assert_eq!(first.gpus, [0]);
        assert!(ledger.take(needs).is_none(), "memory is short");
        let second = ledger.take(Needs { memory_bytes: 0, ..needs }).unwrap();
        assert_eq!(second.gpus, [1]);
        assert_eq!(ledger.free().jobs, 0, "no cpu is left");
        let mut freed = ledger.freed();
        drop(first);
        assert!(freed.has_changed().unwrap());
        freed.mark_unchanged();
        drop(second);
        assert_eq!(ledger.free(), Free { cpus: 2.0, gpus: 2, memory: 100, jobs: 3 });
    }

    #[test]
    fn fractions_add_up_to_the_whole() {
        let ledger = Ledger::new(1.0, 0, 0, 10);
        let needs = Needs { cpus: 0.1, ..Needs::default() };
        let slots: Vec<_> = (0..10).map_while(|_| ledger.take(needs)).collect();
        assert_eq!(slots.len(), 10);
        assert!(ledger.take(needs).is_none());
    }
}
