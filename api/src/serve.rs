//! One API process: from a socket and a database to an orderly end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use egress::Guard;
use sql::{Db, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::app::{App, Signals};
use crate::background::Background;
use crate::blob::BlobStore;
use crate::config::Config;
use crate::guard::GuardedClient;
use crate::hub::Hub;
use crate::listen::{Listening, listen};
use crate::notifier::Notifier;
use crate::{connections, local, maintenance, metrics, request, routes, webhook};

/// Connections that have not ended this long after the stop signal are cut.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Why a process cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not answer or is not migrated.
    #[error(transparent)]
    Database(#[from] sql::Error),
    /// The blob directory or the object storage cannot be used.
    #[error("the blob directory or the object storage cannot be used: {0}")]
    BlobStore(std::io::Error),
    /// The client for webhooks cannot be made.
    #[error("the client for webhooks cannot be made: {0}")]
    Client(reqwest::Error),
    /// A background task ended.
    #[error("{0} ended unexpectedly; the log says why")]
    Broken(&'static str),
}

/// Serves until `shutdown`. Then `/readyz` fails first, so that proxies stop sending requests. After the configured delay
/// sockets, streams and long polls end, requests in progress are finished, and the pool closes last.
///
/// The caller owns the listener and the signal. The database must be migrated.
///
/// # Errors
/// [`Error::Broken`] when a background task ended: the process does not work fully any more, and its service manager should
/// restart it.
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

    let serving = connections::serve(listener, router_of(&app), app.config.request_timeout.0, stop.clone());
    let broken = end_in_order(&background, serving, &shutdown, app.config.stop_delay.0, &stop).await;
    // After the stop signal the sender of webhooks begins nothing new, but may finish what it has begun.
    if tokio::time::timeout(DRAIN_MAX, sent).await.is_err() {
        tracing::warn!("webhooks in progress are left to their next try");
    }
    let _ = tokio::time::timeout(DRAIN_MAX, app.dispatcher.stop()).await;
    background.stop().await;
    db.close().await;
    broken.map_or(Ok(()), |name| Err(Error::Broken(name)))
}

fn router_of(app: &Arc<App>) -> Router {
    let router = routes::router(Arc::clone(app)).layer(RequestBodyTimeoutLayer::new(app.config.request_timeout.0));
    let local = local::LocalGuard { settings: app.config.local_access.clone(), consents: Arc::clone(&app.consents) };
    let is_local = local.settings.local;
    let router = if is_local { router.layer(axum::middleware::from_fn_with_state(local, local::guard)) } else { router };
    let leaving = axum::middleware::from_fn_with_state(app.leaving.clone(), connections::close_when_leaving);
    router.layer(leaving).layer(axum::middleware::from_fn(request::observe))
}

/// Serves until the signal or until a background task ends, whose name it returns. Then it waits for the connections to end.
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
        Some(name) => tracing::error!("{name} ended unexpectedly; the process stops"),
        None => drop(tokio::time::timeout(delay, &mut serving).await),
    }
    stop.cancel();
    if tokio::time::timeout(DRAIN_MAX, &mut serving).await.is_err() {
        tracing::warn!("connections that did not end in time are closed");
    }
    broken
}

/// Starts the sender of webhooks. The returned future ends when the sender has finished what it had begun.
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

/// The address for LISTEN, if there is one: through a pooler in transaction mode LISTEN would affect other clients' connections.
fn listen_url(db: &Db, config: &Config) -> Option<String> {
    if !config.notifications {
        return None;
    }
    if config.listen_url.is_none() && db.is_pooled() {
        tracing::warn!(
            "LISTEN does not work through a pooler in transaction mode, so this process polls for changes by other processes; give a direct address with --listen-url"
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
        background.start("the sweep", async { panic!("as a bug in this program would") });
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
