//! Informs the other processes, soon after a change, which queues changed.
//!
//! Changed queues are collected for [`COLLECT`] and sent as one notification, in a transaction of its own with
//! `synchronous_commit=off`: inside the writing transaction a notification would cost twelve times as much (1,023 against 12,270
//! transactions/s), because notifying commits take a database-wide lock. A lost notification costs only latency.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::Qid;
use sql::Db;
use tokio::sync::Notify;

use crate::hint::{self, Kinds};

/// How long changed queues are collected.
const COLLECT: Duration = Duration::from_millis(5);
/// Most queues that may wait for a notification; polling finds the others.
const PENDING_MAX: usize = 100_000;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Notifier {
    pending: Arc<Mutex<HashMap<Qid, Kinds>>>,
    wake: Arc<Notify>,
    /// The name of this process in notifications, so that it recognises its own.
    sender: Arc<str>,
}

impl Notifier {
    pub(crate) fn new() -> Self {
        let sender = uuid::Uuid::new_v4().simple().to_string()[..8].into();
        Self { pending: Arc::default(), wake: Arc::default(), sender }
    }

    /// The name of this process in notifications.
    pub(crate) fn sender(&self) -> &str {
        &self.sender
    }

    /// Records a change for the other processes.
    pub(crate) fn hint(&self, qid: Qid, kinds: Kinds) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() < PENDING_MAX {
            *pending.entry(qid).or_default() |= kinds;
        }
        drop(pending);
        self.wake.notify_one();
    }

    /// The number of queues of which the other processes were not notified yet.
    pub(crate) fn n_pending(&self) -> usize {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Sends until dropped.
    pub(crate) async fn run(self, db: Db) {
        loop {
            self.wake.notified().await;
            tokio::time::sleep(COLLECT).await;
            let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
            let hints: Vec<_> = pending.into_iter().collect();
            if hints.is_empty() {
                continue;
            }
            metrics::counter!("asman_notifications_sent_total").increment(1);
            if let Err(error) = db.notify(&hint::encode(&self.sender, &hints)).await {
                metrics::counter!("asman_notifications_failed_total").increment(1);
                tracing::debug!(%error, "a notification was not sent; the other processes will find the change by polling");
            }
        }
    }

    /// A notification without hints, to see whether it comes back.
    pub(crate) fn ping(&self) -> Vec<String> {
        vec![format!("{}:", self.sender)]
    }
}
