//! Waits between attempts: from 0.2 s, doubling up to 5 s. Each wait is shortened by up to half, so that workers do not all return at the
//! same time.
//!
//! No crate for retries is used, because most callers wait either for the delay or for another event, whichever comes first.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// The delays of one outage. Start a new `Backoff` after an attempt that succeeded.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next delay.
    pub(crate) fn delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        // Each `RandomState` has a new random seed: enough to spread delays, without another crate.
        let share = f64::from(u16::try_from(RandomState::new().hash_one(0) >> 48).unwrap_or(0)) / f64::from(u16::MAX);
        whole.mul_f64(1.0 - share / 2.0)
    }

    /// Waits the next delay.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.delay()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound_and_never_vanish() {
        let mut backoff = Backoff::new();
        let delays: Vec<_> = (0..10).map(|_| backoff.delay()).collect();
        assert!(delays[0] >= FIRST / 2 && delays[0] <= FIRST);
        assert!(delays[9] >= LONGEST / 2 && delays[9] <= LONGEST);
    }
}
