//! Ends a worker that has nothing to do.

use std::sync::Arc;

use futures_util::future::select_all;
use tokio::time::sleep;

use super::Session;

/// Returns when the worker has held no claim for the whole `timeout`. Without a timeout, never returns. A claim whose finish is not
/// delivered counts as held.
pub(super) async fn run(sessions: &[Arc<Session>], timeout: Option<protocol::Duration>) {
    let Some(protocol::Duration(timeout)) = timeout else { return std::future::pending().await };
    let mut changes: Vec<_> = sessions.iter().map(|session| session.claims.changed()).collect();
    loop {
        changes.iter_mut().for_each(tokio::sync::watch::Receiver::mark_unchanged);
        let is_busy = sessions.iter().any(|session| !session.claims.is_empty());
        let change = select_all(changes.iter_mut().map(|changed| Box::pin(changed.changed())));
        tokio::select! {
            _ = change => (),
            () = sleep(timeout), if !is_busy => return,
        }
    }
}
