//! Tells a job to end early.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Tells one job to end early, and records whether its claim was revoked.
#[derive(Debug, Default)]
pub(crate) struct StopSignal {
    token: CancellationToken,
    is_revoked: AtomicBool,
    is_closing: AtomicBool,
}

impl StopSignal {
    /// The API has ended the claim: the job stops, and the worker sends nothing more about it. Returns false when the claim was
    /// revoked before.
    pub(crate) fn revoke(&self) -> bool {
        self.token.cancel();
        !self.is_revoked.swap(true, Ordering::SeqCst)
    }

    /// The worker ends: the job stops, and the worker releases its claim.
    pub(crate) fn request(&self) {
        self.token.cancel();
    }

    /// The worker is sending its last message about the claim. The answer to that message shows whether the message came in time.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    /// Whether the worker is sending its last message about the claim.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    /// Returns when the job must stop.
    pub(crate) async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether the job must stop.
    pub(crate) fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Whether the API has ended the claim.
    pub(crate) fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::SeqCst)
    }
}
