//! Counts of what a worker has done since its start. No count has a queue's name.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counts of one worker.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Claimed jobs that were started.
    pub(crate) claims: Count,
    /// Finishes that the API took, by their reason.
    pub(crate) succeeded: Count,
    pub(crate) failed: Count,
    pub(crate) timed_out: Count,
    /// Released claims.
    pub(crate) released: Count,
    /// Jobs that the API ended: cancelled, replaced, deleted.
    pub(crate) ended: Count,
    /// Lost claims, and finishes that the API refused.
    pub(crate) lost: Count,
    /// Bytes of log text that the API took.
    pub(crate) log_bytes: Count,
    /// Pulled images.
    pub(crate) pulls: Count,
    /// Calls to the API without a usable answer.
    pub(crate) api_errors: Count,
}
