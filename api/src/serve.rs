//! One API process: from a socket and a database to an orderly end.

use std::sync::Arc;
use std::time::Duration;

use sql::{Db, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::app::App;
use crate::blob::BlobStore;
use crate::config::Config;
use crate::guard::{Guard, GuardedClient};
use crate::hub::{Hub, listen};
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
}

/// Serves until `shutdown`, then ends sockets, streams and long polls and waits for requests under way.
///
/// The caller owns the listener and the signal. The database must be migrated.
pub async fn serve(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    metrics::install();
    let db = Db::new(&config.database_url, &Settings::default())?;
    db.check_ready().await?;
    let blobs = BlobStore::open(&config.s3, config.blob_directory.clone()).await.map_err(Error::BlobStore)?;
    let client = GuardedClient::new(Guard::new(config.allow_private_webhooks)).map_err(Error::Client)?;
    let notifier = Notifier::new();
    let hub = Hub::new(db.clone(), config.lease.0);
    let app = Arc::new(App::new(config, db.clone(), hub, notifier.clone(), blobs, shutdown.clone()));
    let mut tasks = start_tasks(&app, notifier);
    let sender = tokio::spawn(webhook::send(Arc::clone(&app), client));

    let patience = app.config.patience.0;
    let router = routes::router(Arc::clone(&app)).layer(RequestBodyTimeoutLayer::new(patience));
    let door = app.config.door.clone();
    let router = if door.local { router.layer(axum::middleware::from_fn_with_state(door, local::guard)) } else { router };
    let router = router.layer(axum::middleware::from_fn(request::observe));
    tokio::select! {
        () = connections::serve(listener, router, patience, shutdown.clone()) => {}
        () = hard_end(shutdown) => {}
    }
    // It takes nothing more once it is told to stop; what it has begun it may end.
    if tokio::time::timeout(DRAIN_MAX, sender).await.is_err() {
        tracing::warn!("webhooks under way are left to their next try");
    }
    tasks.shutdown().await;
    db.close().await;
    Ok(())
}

fn start_tasks(app: &Arc<App>, notifier: Notifier) -> JoinSet<()> {
    let (db, config) = (app.db.clone(), &app.config);
    let listen_url = config.notifications.then(|| config.listen_url.clone().unwrap_or_else(|| config.database_url.clone()));
    let mut tasks = JoinSet::new();
    tasks.spawn(app.hub.clone().run_feeds());
    tasks.spawn(notifier.clone().run(db.clone()));
    tasks.spawn(listen(app.hub.clone(), app.policies.clone(), app.dispatcher.clone(), notifier, db, listen_url, config.poll.0));
    tasks.spawn(maintenance::sweep(Arc::clone(app)));
    tasks.spawn(maintenance::supersede(Arc::clone(app)));
    tasks.spawn(maintenance::maintain(Arc::clone(app)));
    tasks.spawn(maintenance::measure(Arc::clone(app)));
    tasks
}

async fn hard_end(shutdown: CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
    tracing::warn!("connections that did not end in time are cut");
}
