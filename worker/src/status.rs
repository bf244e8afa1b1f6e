//! The worker's state: ready, draining, or waiting, with the reason in one sentence.
//!
//! The code that finds an obstacle reports it, and reports when it is gone. Each change is logged once. The gravest obstacle is the reason.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can keep a worker from claiming jobs, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    /// The engine does not answer, or no container can run.
    Engine,
    /// No container with the limits and gpus that the worker offers can run.
    Machine,
    /// The API does not answer.
    Api,
    /// The disk has no room for a job's files.
    Disk,
    /// The API refuses claims, as for a wrong token.
    Refusal,
    /// The owner has paused the queue.
    Pause,
}

#[derive(Debug, Default)]
struct StatusState {
    obstacles: BTreeMap<(Obstacle, usize), String>,
    is_draining: bool,
}

/// The worker's state.
#[derive(Debug, Default)]
pub(crate) struct Status {
    state: Mutex<StatusState>,
}

/// What [`Status`] reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Ready,
    Draining,
    /// The worker waits, for the reason in this sentence.
    Waiting(String),
}

impl Status {
    fn lock(&self) -> MutexGuard<'_, StatusState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports an obstacle for queue number `queue`, or 0 for an obstacle of all queues. Returns whether it is new.
    pub(crate) fn blocked(&self, obstacle: Obstacle, queue: usize, sentence: &str) -> bool {
        let known = self.lock().obstacles.insert((obstacle, queue), sentence.to_owned());
        let is_news = known.is_none();
        if is_news {
            tracing::warn!("the worker claims no jobs: {sentence}");
        }
        is_news
    }

    /// Reports that an obstacle is gone.
    pub(crate) fn cleared(&self, obstacle: Obstacle, queue: usize) {
        let mut state = self.lock();
        if let Some(sentence) = state.obstacles.remove(&(obstacle, queue)) {
            let next = state.obstacles.values().next().cloned();
            drop(state);
            match next {
                None => tracing::info!("the worker claims jobs again; this is over: {sentence}"),
                Some(next) => tracing::info!("this is over: {sentence}; the worker still claims no jobs: {next}"),
            }
        }
    }

    /// Why no job came although there may be jobs: the API does not answer or refuses.
    pub(crate) fn unheard(&self) -> Option<String> {
        let state = self.lock();
        let found = state.obstacles.iter().find(|((its, _), _)| matches!(its, Obstacle::Api | Obstacle::Refusal));
        found.map(|(_, sentence)| sentence.clone())
    }

    pub(crate) fn drains(&self) {
        self.lock().is_draining = true;
    }

    pub(crate) fn look(&self, n_queues: usize) -> Look {
        let state = self.lock();
        if state.is_draining {
            return Look::Draining;
        }
        // A worker that still gets jobs of one queue is not waiting.
        let of = |obstacle: Obstacle| state.obstacles.iter().filter(move |((its, _), _)| *its == obstacle);
        let whole = [Obstacle::Engine, Obstacle::Machine, Obstacle::Api, Obstacle::Disk]
            .into_iter()
            .find_map(|obstacle| of(obstacle).next());
        let queues = || {
            let blocked: std::collections::BTreeSet<usize> =
                [Obstacle::Refusal, Obstacle::Pause].into_iter().flat_map(of).map(|((_, queue), _)| *queue).collect();
            let first = [Obstacle::Refusal, Obstacle::Pause].into_iter().find_map(|obstacle| of(obstacle).next());
            first.filter(|_| blocked.len() >= n_queues)
        };
        whole.or_else(queues).map_or(Look::Ready, |(_, sentence)| Look::Waiting(sentence.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_waits_only_when_none_of_its_queues_gives_jobs() {
        let status = Status::default();
        assert!(status.blocked(Obstacle::Refusal, 1, "the token is wrong"));
        assert!(!status.blocked(Obstacle::Refusal, 1, "the token is wrong"), "an obstacle is logged once");
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
