//! One API process: from a socket and a database to an orderly end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use sql::{Db, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::app::{App, Signals};
use crate::background::Background;
use crate::blob::BlobStore;
use crate::config::Config;
use crate::guard::{Guard, GuardedClient};
use crate::hub::{Hub, Listening, listen};
use crate::notifier::Notifier;
use crate::{connections, local, maintenance, metrics, request, routes, webhook};

/// Connections that have not ended this long after the stop signal are cut.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Why a process cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is not there or not migrated.
    #[error(transparent)]
    Database(#[from] sql::Error),
    /// The blob directory or the object storage cannot be used.
    #[error("the files of /f have no place: {0}")]
    BlobStore(std::io::Error),
    /// The client for webhooks cannot be made.
    #[error("the client for webhooks cannot be made: {0}")]
    Client(reqwest::Error),
    /// A background task ended.
    #[error("{0} ended, which it should not; the log says why")]
    Broken(&'static str),
}

/// Serves until `shutdown`. Then readiness goes first, so that proxies send nothing more; after the configured moment sockets, streams
/// and long polls end, requests under way are waited for, and the pool closes last.
///
/// The caller owns the listener and the signal. The database must be migrated.
///
/// # Errors
/// [`Error::Broken`] when a background task ended: the process is not whole any more, and its service manager starts another.
pub async fn serve(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    metrics::install();
    let db = Db::open(&config.database_url, &Settings::default()).await?;
    db.check_ready().await?;
    let blobs = BlobStore::open(&config.s3, config.blob_directory.clone()).await.map_err(Error::BlobStore)?;
    let client = GuardedClient::new(Guard::new(config.allow_private_webhooks)).map_err(Error::Client)?;
    let (notifier, background, stop) = (Notifier::new(), Background::new(), CancellationToken::new());
    let hub = Hub::new(db.clone(), config.lease.0);
    let signals = Signals { leaving: shutdown.clone(), shutdown: stop.clone() };
    let app = Arc::new(App::new(&background, config, db.clone(), hub, notifier.clone(), blobs, signals));
    start_tasks(&background, &app, notifier);
    let sent = start_sender(&background, &app, client);

    let serving = connections::serve(listener, router_of(&app), app.config.patience.0, stop.clone());
    let broken = end_in_order(&background, serving, &shutdown, app.config.stop_delay.0, &stop).await;
    // It takes nothing more once it is told to stop; what it has begun it may end.
    if tokio::time::timeout(DRAIN_MAX, sent).await.is_err() {
        tracing::warn!("webhooks under way are left to their next try");
    }
    let _ = tokio::time::timeout(DRAIN_MAX, app.dispatcher.stop()).await;
    background.stop().await;
    db.close().await;
    broken.map_or(Ok(()), |name| Err(Error::Broken(name)))
}

fn router_of(app: &Arc<App>) -> Router {
    let router = routes::router(Arc::clone(app)).layer(RequestBodyTimeoutLayer::new(app.config.patience.0));
    let door = local::Door { settings: app.config.door.clone(), consents: Arc::clone(&app.consents) };
    let is_local = door.settings.local;
    let router = if is_local { router.layer(axum::middleware::from_fn_with_state(door, local::guard)) } else { router };
    let leaving = axum::middleware::from_fn_with_state(app.leaving.clone(), connections::close_when_leaving);
    router.layer(leaving).layer(axum::middleware::from_fn(request::observe))
}

/// Serves until the signal or until a background task ends, whose name it gives; then lets the connections end.
async fn end_in_order(
    background: &Background,
    serving: impl Future<Output = ()>,
    shutdown: &CancellationToken,
    delay: Duration,
    stop: &CancellationToken,
) -> Option<&'static str> {
    tokio::pin!(serving);
    let broken = tokio::select! {
        () = &mut serving => return None,
        () = shutdown.cancelled() => None,
        name = background.broken() => Some(name),
    };
    match broken {
        Some(name) => tracing::error!("{name} ended, which it should not; the process stops"),
        None => drop(tokio::time::timeout(delay, &mut serving).await),
    }
    stop.cancel();
    if tokio::time::timeout(DRAIN_MAX, &mut serving).await.is_err() {
        tracing::warn!("connections that did not end in time are cut");
    }
    broken
}

/// Starts the sender of webhooks. What it gives is over when the sender has ended what it had begun.
fn start_sender(background: &Background, app: &Arc<App>, client: GuardedClient) -> tokio::sync::oneshot::Receiver<()> {
    let (done, sent) = tokio::sync::oneshot::channel();
    let sender = webhook::send(background.clone(), Arc::clone(app), client);
    background.start("the sender of webhooks", async {
        sender.await;
        let _ = done.send(());
    });
    sent
}

fn start_tasks(background: &Background, app: &Arc<App>, notifier: Notifier) {
    let (db, config) = (app.db.clone(), &app.config);
    background.start("the feed of sockets", app.hub.clone().run_feeds());
    background.start("the notifier", notifier.clone().run(db.clone()));
    let (hub, policies, dispatcher) = (app.hub.clone(), app.policies.clone(), app.dispatcher.clone());
    let listening = Listening { hub, policies, dispatcher, notifier, db: db.clone() };
    let listening = listen(listening, listen_url(&db, config), config.poll.0);
    background.start("the listener", listening);
    background.start("the sweep", maintenance::sweep(Arc::clone(app)));
    background.start("the supersession", maintenance::supersede(Arc::clone(app)));
    background.start("the maintenance", maintenance::maintain(Arc::clone(app)));
    background.start("the measuring", maintenance::measure(Arc::clone(app)));
}

/// Where to listen, if anywhere: LISTEN through a pooler in transaction mode would be left on somebody else's connection.
fn listen_url(db: &Db, config: &Config) -> Option<String> {
    if !config.notifications {
        return None;
    }
    if config.listen_url.is_none() && db.is_pooled() {
        tracing::warn!(
            "no LISTEN through a pooler in transaction mode, so changes by other processes are polled for; give a direct address with --listen-url"
        );
        return None;
    }
    Some(config.listen_url.clone().unwrap_or_else(|| config.database_url.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_background_task_that_ends_takes_the_process_with_it() {
        let background = Background::new();
        let (shutdown, stop) = (CancellationToken::new(), CancellationToken::new());
        background.start("the sweep", async { panic!("as a fault of ours would") });
        let broken = end_in_order(&background, stop.clone().cancelled_owned(), &shutdown, Duration::ZERO, &stop).await;
        assert_eq!(broken, Some("the sweep"));
        assert!(stop.is_cancelled() && !shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn after_the_signal_it_goes_on_serving_for_the_configured_moment() {
        let background = Background::new();
        let (shutdown, stop) = (CancellationToken::new(), CancellationToken::new());
        background.start("the sweep", std::future::pending());
        shutdown.cancel();
        let (start, delay) = (tokio::time::Instant::now(), Duration::from_millis(50));
        let serving = stop.clone().cancelled_owned();
        assert_eq!(end_in_order(&background, serving, &shutdown, delay, &stop).await, None);
        assert!(start.elapsed() >= delay);
    }
}
