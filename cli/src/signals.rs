//! Counts Ctrl-C and SIGTERM: the first asks to stop, the second forces it.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Two tokens that the process's signals cancel one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// Cancelled by the first SIGINT, SIGTERM or SIGHUP.
    pub(crate) first: CancellationToken,
    /// Cancelled by the second.
    pub(crate) second: CancellationToken,
}

impl Signals {
    /// After this call these signals no longer kill the process.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let open = |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")));
        let streams = [open(SignalKind::interrupt())?, open(SignalKind::terminate())?, open(SignalKind::hangup())?];
        let signals = Self { first: CancellationToken::new(), second: CancellationToken::new() };
        let given = signals.clone();
        tokio::spawn(async move {
            let mut streams = streams;
            next(&mut streams).await;
            given.first.cancel();
            next(&mut streams).await;
            given.second.cancel();
        });
        Ok(signals)
    }
}

async fn next([interrupt, terminate, hangup]: &mut [Signal; 3]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
