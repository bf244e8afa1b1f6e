//! Ends a worker that has nothing to do.

use std::sync::Arc;

use futures_util::future::select_all;
use tokio::time::sleep;

use super::Session;

/// Returns when no claim was held for the whole of `patience`; never without one. What is not delivered yet is held.
pub(super) async fn run(sessions: &[Arc<Session>], patience: Option<protocol::Duration>) {
    let Some(protocol::Duration(patience)) = patience else { return std::future::pending().await };
    let mut changes: Vec<_> = sessions.iter().map(|session| session.holds.changed()).collect();
    loop {
        changes.iter_mut().for_each(tokio::sync::watch::Receiver::mark_unchanged);
        let is_busy = sessions.iter().any(|session| !session.holds.is_empty());
        let change = select_all(changes.iter_mut().map(|changed| Box::pin(changed.changed())));
        tokio::select! {
            _ = change => (),
            () = sleep(patience), if !is_busy => return,
        }
    }
}
