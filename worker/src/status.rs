//! How the worker is: ready, draining, or waiting for something, in one sentence.
//!
//! Whoever finds an obstacle says so, and says when it is gone. Each change is logged once; what stands in the way first counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can keep a worker from taking jobs, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    /// No container can run.
    Engine,
    /// No container with what the worker offers can run.
    Machine,
    /// No answer from the API.
    Api,
    /// No room for a job's files.
    Disk,
    /// The API's answer is no, as for a wrong token.
    Refusal,
    /// The owner has paused the queue.
    Pause,
}

#[derive(Debug, Default)]
struct State {
    obstacles: BTreeMap<(Obstacle, usize), String>,
    is_draining: bool,
}

/// The worker's own view of itself.
#[derive(Debug, Default)]
pub(crate) struct Status {
    state: Mutex<State>,
}

/// A look at [`Status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Ready,
    Draining,
    /// With the sentence.
    Waiting(String),
}

impl Status {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is in the way of queue number `lane` (0 where it is in everybody's way). Whether that is news.
    pub(crate) fn blocked(&self, obstacle: Obstacle, lane: usize, sentence: &str) -> bool {
        let known = self.lock().obstacles.insert((obstacle, lane), sentence.to_owned());
        let is_news = known.is_none();
        if is_news {
            tracing::warn!("no new jobs: {sentence}");
        }
        is_news
    }

    /// It is gone.
    pub(crate) fn cleared(&self, obstacle: Obstacle, lane: usize) {
        let mut state = self.lock();
        if let Some(sentence) = state.obstacles.remove(&(obstacle, lane)) {
            let next = state.obstacles.values().next().cloned();
            drop(state);
            match next {
                None => tracing::info!("jobs are taken again; over is: {sentence}"),
                Some(next) => tracing::info!("over is: {sentence}; still: {next}"),
            }
        }
    }

    /// Why no job came that has nothing to do with there being none: the API's silence or its refusal.
    pub(crate) fn unheard(&self) -> Option<String> {
        let state = self.lock();
        let found = state.obstacles.iter().find(|((its, _), _)| matches!(its, Obstacle::Api | Obstacle::Refusal));
        found.map(|(_, sentence)| sentence.clone())
    }

    pub(crate) fn drains(&self) {
        self.lock().is_draining = true;
    }

    pub(crate) fn look(&self, n_lanes: usize) -> Look {
        let state = self.lock();
        if state.is_draining {
            return Look::Draining;
        }
        // A worker that still gets jobs of one queue does not wait.
        let of = |obstacle: Obstacle| state.obstacles.iter().filter(move |((its, _), _)| *its == obstacle);
        let whole = [Obstacle::Engine, Obstacle::Machine, Obstacle::Api, Obstacle::Disk]
            .into_iter()
            .find_map(|obstacle| of(obstacle).next());
        let lanes = || {
            let blocked: std::collections::BTreeSet<usize> =
                [Obstacle::Refusal, Obstacle::Pause].into_iter().flat_map(of).map(|((_, lane), _)| *lane).collect();
            let first = [Obstacle::Refusal, Obstacle::Pause].into_iter().find_map(|obstacle| of(obstacle).next());
            first.filter(|_| blocked.len() >= n_lanes)
        };
        whole.or_else(lanes).map_or(Look::Ready, |(_, sentence)| Look::Waiting(sentence.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_waits_only_when_none_of_its_queues_gives_jobs() {
        let status = Status::default();
        assert!(status.blocked(Obstacle::Refusal, 1, "the token is wrong"));
        assert!(!status.blocked(Obstacle::Refusal, 1, "the token is wrong"), "told once");
        assert_eq!(status.look(2), Look::Ready);
        status.blocked(Obstacle::Pause, 0, "the queue is paused");
        assert_eq!(status.look(2), Look::Waiting("the token is wrong".to_owned()));
        status.blocked(Obstacle::Engine, 0, "no engine");
        assert_eq!(status.look(2), Look::Waiting("no engine".to_owned()));
        status.cleared(Obstacle::Engine, 0);
        status.cleared(Obstacle::Refusal, 1);
        assert_eq!(status.look(2), Look::Ready);
        status.drains();
        assert_eq!(status.look(2), Look::Draining);
    }
}
