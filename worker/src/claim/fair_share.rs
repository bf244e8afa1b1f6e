//! Fair share: which queue of a worker is next.
//!
//! This is start-time fair queueing, counted in jobs. Each queue has a tag that grows by 1/weight with each of its jobs, and the queue
//! with the lowest tag is next. A queue that was empty continues from the present time: it gets no extra jobs for the time that it
//! did not use.

use super::Session;
use std::sync::Arc;

/// The state of one queue.
pub(super) struct Turn {
    pub(super) session: Arc<Session>,
    weight: f64,
    /// The virtual time at which its last job ends, counted in jobs of weight 1.
    tag: f64,
}

/// The queues of a worker.
pub(super) struct FairShare {
    pub(super) turns: Vec<Turn>,
    /// The virtual time at which the job that was claimed last starts.
    now: f64,
}

impl FairShare {
    pub(super) fn new(sessions: impl Iterator<Item = (Arc<Session>, u32)>) -> Self {
        let turn = |(session, weight)| Turn { session, weight: f64::from(weight), tag: 0.0 };
        Self { turns: sessions.map(turn).collect(), now: 0.0 }
    }

    /// Counts a claimed job of this queue.
    pub(super) fn charge(&mut self, index: usize) {
        let Some(it) = self.turns.get_mut(index) else { return };
        let start = it.tag.max(self.now);
        it.tag = start + 1.0 / it.weight;
        self.now = start;
    }

    /// The queue that is next, and how many of `n_jobs` it would get if each of the candidates had enough jobs.
    pub(super) fn next(&self, candidates: &[usize], n_jobs: u32) -> Option<(usize, u32)> {
        let tag = |index: usize| self.turns.get(index).map_or(f64::INFINITY, |it| it.tag.max(self.now));
        let mut tags: Vec<(usize, f64)> = candidates.iter().map(|index| (*index, tag(*index))).collect();
        let mut first = None;
        let mut n_its = 0;
        for _ in 0..n_jobs {
            let (index, tag) = tags.iter_mut().min_by(|a, b| a.1.total_cmp(&b.1))?;
            *tag += self.turns.get(*index).map_or(f64::INFINITY, |it| 1.0 / it.weight);
            n_its += u32::from(*first.get_or_insert(*index) == *index);
        }
        first.map(|index| (index, n_its))
    }
}
