//! The one connection of this process that listens, and what happens when it is lost.
//!
//! Notifications are taken off the connection at once and only set marks in memory: a listener that is not drained would hold
//! back the server's clean-up for everybody. Every [`PING`] the process notifies itself; when nothing came for [`SILENCE`], the
//! connection is taken for dead. After every gap: listen first, then look at everything anew.

use std::time::Duration;

use sql::Db;
use tokio::time::Instant;

use super::Hub;
use crate::access::Policies;
use crate::dispatcher::Dispatcher;
use crate::hint::{self, Kinds};
use crate::notifier::Notifier;

const PING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(25);

/// Listens for ever. `poll` is how often everything watched is looked at while there is no connection.
pub(crate) async fn listen(
    hub: Hub,
    policies: Policies,
    dispatcher: Dispatcher,
    notifier: Notifier,
    db: Db,
    url: Option<String>,
    poll: Duration,
) {
    let mut is_said = false;
    loop {
        if let Some(url) = &url {
            match Db::listen(url).await {
                Ok(mut listener) => {
                    if is_said {
                        tracing::info!("notifications arrive again");
                    }
                    // Policies first, so that whoever is woken judges by the new ones.
                    policies.forget_all();
                    hub.resync();
                    dispatcher.resync();
                    let end = drain(&hub, &policies, &dispatcher, &notifier, &db, &mut listener).await;
                    tracing::warn!(cause = end, "notifications stopped; polling until they are back");
                    is_said = true;
                }
                Err(error) if !is_said => {
                    tracing::warn!(%error, "notifications cannot be listened for; polling instead");
                    is_said = true;
                }
                Err(_) => {}
            }
        }
        metrics::counter!("asman_listen_gaps_total").increment(1);
        hub.resync();
        dispatcher.resync();
        tokio::time::sleep(poll).await;
    }
}

async fn drain(
    hub: &Hub,
    policies: &Policies,
    dispatcher: &Dispatcher,
    notifier: &Notifier,
    db: &Db,
    listener: &mut sqlx::postgres::PgListener,
) -> String {
    let mut last = Instant::now();
    let mut pinged = None;
    let mut ping = tokio::time::interval(PING);
    loop {
        tokio::select! {
            received = listener.try_recv() => match received {
                Ok(Some(notification)) => {
                    last = Instant::now();
                    if notifier.ping().iter().any(|ping| ping == notification.payload()) {
                        note_lag(pinged.take());
                    } else {
                        pass_on(hub, policies, dispatcher, notifier, notification.payload()).await;
                    }
                }
                Ok(None) => return "the connection was lost".to_owned(),
                Err(error) => return error.to_string(),
            },
            _ = ping.tick() => {
                if last.elapsed() > SILENCE {
                    return "the connection is silent".to_owned();
                }
                pinged = Some(Instant::now());
                // A ping that fails is a ping that does not come back.
                let _ = db.notify(&notifier.ping()).await;
            }
        }
    }
}

fn note_lag(pinged: Option<Instant>) {
    if let Some(pinged) = pinged {
        metrics::histogram!("asman_notify_lag_seconds").record(pinged.elapsed().as_secs_f64());
    }
}

async fn pass_on(hub: &Hub, policies: &Policies, dispatcher: &Dispatcher, notifier: &Notifier, payload: &str) {
    let (sender, hints) = hint::decode(payload);
    if sender == notifier.sender() {
        return;
    }
    metrics::counter!("asman_notifications_received_total").increment(1);
    for (qid, kinds) in hints {
        // First, so that whoever is woken judges by the new one.
        if kinds.has(Kinds::POLICY) {
            policies.forget(qid).await;
        }
        if kinds.has(Kinds::CLAIMABLE) {
            dispatcher.hint(qid);
        }
        hub.hint(qid, kinds);
    }
}
