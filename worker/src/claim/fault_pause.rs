//! The pause after a fault of this machine, before it claims more jobs.

use std::time::Duration;

use tokio::time::Instant;

use super::{Common, engine};

/// Pause after a fault of this machine. It doubles with each further fault, up to the longest.
const UNWELL_PAUSE: Duration = Duration::from_secs(2);
const UNWELL_PAUSE_MAX: Duration = Duration::from_mins(1);
/// After this long without a fault the pause is short again.
const WELL_AFTER: Duration = Duration::from_mins(5);

/// The pause of a machine that fails jobs.
pub(super) struct FaultPause {
    pause: Duration,
    faulted: Option<Instant>,
    /// Jobs that had succeeded at the last fault.
    n_succeeded: u64,
}

impl FaultPause {
    pub(super) const fn new() -> Self {
        Self { pause: UNWELL_PAUSE, faulted: None, n_succeeded: 0 }
    }

    /// Waits for the pause, then until the engine answers, then until the engine can start the container that it could not start. Without
    /// this, the worker would claim jobs only to release them.
    pub(super) async fn until_well(&mut self, common: &Common) {
        // Jobs that fail must not stop a machine on which other jobs succeed.
        let n_succeeded = common.api.stats.succeeded.get();
        let works = std::mem::replace(&mut self.n_succeeded, n_succeeded) < n_succeeded;
        if works || self.faulted.is_none_or(|at| at.elapsed() > WELL_AFTER) {
            self.pause = UNWELL_PAUSE;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(UNWELL_PAUSE_MAX);
        engine::until_there(common).await;
        engine::until_it_runs(common).await;
        self.faulted = Some(Instant::now());
    }
}
