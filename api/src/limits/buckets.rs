//! Token buckets by key, one for each recent key, at most [`KEYS_MAX`].

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, RateLimiter};

use super::{Rate, limited};
use protocol::ErrorCode;

use crate::error::ApiError;

/// Most keys. While there are this many, the limit does not apply: refusing all new keys would help an attacker.
const KEYS_MAX: usize = 200_000;
/// Full buckets are removed after this many uses.
const CLEAN_EVERY: u32 = 1_024;

/// Token buckets by key.
pub(super) struct Buckets<K: Hash + Eq + Clone> {
    name: &'static str,
    code: ErrorCode,
    limiter: Option<DefaultKeyedRateLimiter<K>>,
    clock: DefaultClock,
    n_uses: AtomicU32,
}

impl<K: Hash + Eq + Clone> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    pub(super) fn new(name: &'static str, code: ErrorCode, rate: Rate) -> Self {
        let limiter = rate.quota().map(RateLimiter::keyed);
        Self { name, code, limiter, clock: DefaultClock::default(), n_uses: AtomicU32::new(0) }
    }

    /// Takes one token. If there is none, refuses with the time until the next one.
    pub(super) fn take(&self, key: &K, sentence: &'static str) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if self.n_uses.fetch_add(1, Ordering::Relaxed) % CLEAN_EVERY == CLEAN_EVERY - 1 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        if limiter.len() >= KEYS_MAX {
            return Ok(());
        }
        limiter
            .check_key(key)
            .map_err(|not_yet| limited(self.name, self.code, not_yet.wait_time_from(self.clock.now()), sentence))
    }
}
