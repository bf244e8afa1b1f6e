//! How a worker is told to end.

use tokio_util::sync::CancellationToken;

/// Two signals, of which the second ends the worker faster. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// The worker claims no more jobs. Running jobs may finish until the drain timeout, then they are released.
    pub drain: CancellationToken,
    /// The worker stops its containers at once and releases their claims.
    pub stop: CancellationToken,
}

impl Shutdown {
    /// Two signals that are not given yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Completes when either signal is given.
    pub(crate) async fn begun(&self) {
        tokio::select! {
            () = self.drain.cancelled() => (),
            () = self.stop.cancelled() => (),
        }
    }
}
