//! How a worker is told to end.

use tokio_util::sync::CancellationToken;

/// Two signals, the second harder than the first. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// No new claims; running jobs finish until the drain timeout, then they are released.
    pub drain: CancellationToken,
    /// Now: containers are stopped and their claims released.
    pub stop: CancellationToken,
}

impl Shutdown {
    /// Neither signal given.
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
