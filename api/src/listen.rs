//! The connection on which this process listens, and what happens when it is lost.
//!
//! Notifications are read at once and only set marks in memory: a listener that is not drained would block the server's clean-up
//! for all clients. Every [`PING`] the process notifies itself. If nothing came for [`SILENCE`], the connection counts as dead.
//! After every gap the process first listens, then reads everything again.

use std::time::Duration;

use sql::Db;
use tokio::time::Instant;

use crate::access::Policies;
use crate::dispatcher::Dispatcher;
use crate::hint::{self, Kinds};
use crate::hub::Hub;
use crate::notifier::Notifier;

const PING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(25);
/// How long this process waits for its own first notification.
const ECHO: Duration = Duration::from_secs(3);
/// A connection without an echo is replaced after this time.
const NO_ECHO_RETRY: Duration = Duration::from_mins(1);

/// The receivers of hints, and the sender.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) hub: Hub,
    pub(crate) policies: Policies,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) notifier: Notifier,
    pub(crate) db: Db,
}

/// Listens for ever. `poll` is how often all watched queues are read while there is no connection.
///
/// A connection is trusted once this process has received its own notification on it: a pooler accepts LISTEN and then gives the
/// connection to another client.
pub(crate) async fn listen(to: Listening, url: Option<String>, poll: Duration) {
    let mut is_said = false;
    let mut next_try = Instant::now();
    loop {
        if let Some(url) = url.as_deref().filter(|_| Instant::now() >= next_try) {
            match to.hear(url).await {
                Heard::End(cause) => tracing::warn!(cause, "notifications stopped; polling until they arrive again"),
                Heard::NoEcho => {
                    next_try = Instant::now() + NO_ECHO_RETRY;
                    if !is_said {
                        tracing::warn!(
                            "notifications do not arrive on this connection, as through a pooler in transaction mode; polling \
                             instead. Give a direct address with --listen-url"
                        );
                    }
                }
                Heard::Nothing(error) if !is_said => {
                    tracing::warn!(%error, "cannot listen for notifications; polling instead");
                }
                Heard::Nothing(_) => {}
            }
            is_said = true;
        }
        metrics::counter!("asman_listen_gaps_total").increment(1);
        to.resync();
        tokio::time::sleep(poll).await;
    }
}

/// How an attempt to listen ended.
enum Heard {
    Nothing(sql::Error),
    NoEcho,
    End(String),
}

impl Listening {
    fn resync(&self) {
        self.hub.resync();
        self.dispatcher.resync();
    }

    /// Connects, waits for the echo, and forwards hints until the connection ends.
    async fn hear(&self, url: &str) -> Heard {
        let mut listener = match Db::listen(url).await {
            Ok(listener) => listener,
            Err(error) => return Heard::Nothing(error),
        };
        if !self.has_echo(&mut listener).await {
            return Heard::NoEcho;
        }
        tracing::info!("notifications arrive");
        // Policies first, so that woken tasks use the new ones.
        self.policies.forget_all();
        self.resync();
        Heard::End(drain(&self.hub, &self.policies, &self.dispatcher, &self.notifier, &self.db, &mut listener).await)
    }

    /// Whether our own notification comes back. Other notifications that arrive meanwhile are dropped, because everything is
    /// read after the echo.
    async fn has_echo(&self, listener: &mut sqlx::postgres::PgListener) -> bool {
        let ping = self.notifier.ping();
        if self.db.notify(&ping).await.is_err() {
            return false;
        }
        let echo = async {
            while let Ok(Some(notification)) = listener.try_recv().await {
                if ping.iter().any(|ping| ping == notification.payload()) {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(ECHO, echo).await.unwrap_or(false)
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
                // A ping that cannot be sent counts as one that does not come back.
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
        // The old policy is forgotten first, so that woken tasks use the new one.
        if kinds.intersects(Kinds::POLICY) {
            policies.forget(qid).await;
        }
        if kinds.intersects(Kinds::CLAIMABLE) {
            dispatcher.hint(qid);
        }
        hub.hint(qid, kinds);
    }
}
