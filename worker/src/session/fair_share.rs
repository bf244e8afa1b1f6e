//! Whose turn it is: the share of each queue in one worker.
//!
//! Start-time fair queueing, counted in jobs. Each queue has a tag that moves on by 1/weight with each of its jobs; the lowest tag
//! is next. A queue that had nothing to do comes back at the present time: it has saved nothing up, and owes nothing.

use super::Session;
use std::sync::Arc;

/// One queue's turn.
pub(super) struct Lane {
    pub(super) session: Arc<Session>,
    weight: f64,
    /// Where its last job ends, in jobs of weight 1.
    tag: f64,
}

/// All queues of a worker.
pub(super) struct Lanes {
    pub(super) all: Vec<Lane>,
    /// Start of the job that was taken last.
    now: f64,
}

impl Lanes {
    pub(super) fn new(sessions: impl Iterator<Item = (Arc<Session>, u32)>) -> Self {
        let lane = |(session, weight)| Lane { session, weight: f64::from(weight), tag: 0.0 };
        Self { all: sessions.map(lane).collect(), now: 0.0 }
    }

    /// A job of this queue was taken.
    pub(super) fn charge(&mut self, lane: usize) {
        let Some(it) = self.all.get_mut(lane) else { return };
        let start = it.tag.max(self.now);
        it.tag = start + 1.0 / it.weight;
        self.now = start;
    }

    /// Which of these queues is next, and how many of `n_jobs` would be its own if each of them had enough.
    pub(super) fn next(&self, candidates: &[usize], n_jobs: u32) -> Option<(usize, u32)> {
        let tag = |lane: usize| self.all.get(lane).map_or(f64::INFINITY, |it| it.tag.max(self.now));
        let mut tags: Vec<(usize, f64)> = candidates.iter().map(|lane| (*lane, tag(*lane))).collect();
        let mut first = None;
        let mut n_its = 0;
        for _ in 0..n_jobs {
            let (lane, tag) = tags.iter_mut().min_by(|a, b| a.1.total_cmp(&b.1))?;
            *tag += self.all.get(*lane).map_or(f64::INFINITY, |it| 1.0 / it.weight);
            n_its += u32::from(*first.get_or_insert(*lane) == *lane);
        }
        first.map(|lane| (lane, n_its))
    }
}
