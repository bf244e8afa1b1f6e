//! One API process: from a socket and a database to an orderly end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use sql::{Db, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_http::trace::TraceLayer;

use crate::app::App;
use crate::blob::BlobStore;
use crate::config::Config;
use crate::hub::{Hub, listen};
use crate::notifier::Notifier;
use crate::{maintenance, metrics, routes};

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
    /// The listener failed.
    #[error("serving failed: {0}")]
    Serve(std::io::Error),
}

/// Serves until `shutdown`, then ends sockets, streams and long polls and waits for requests under way.
///
/// The caller owns the listener and the signal. The database must be migrated.
pub async fn serve(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    metrics::install();
    let db = Db::new(&config.database_url, &Settings::default())?;
    db.check_ready().await?;
    let blobs = BlobStore::open(&config.s3, config.blob_directory.clone()).await.map_err(Error::BlobStore)?;
    let notifier = Notifier::new();
    let hub = Hub::new(db.clone(), config.lease.0);
    let app = Arc::new(App::new(config, db.clone(), hub, notifier.clone(), blobs, shutdown.clone()));
    let mut tasks = start_tasks(&app, notifier);

    let router = routes::router(Arc::clone(&app)).layer(trace_layer());
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let outcome = tokio::select! {
        outcome = served => outcome.map_err(Error::Serve),
        () = hard_end(shutdown) => Ok(()),
    };
    tasks.shutdown().await;
    db.close().await;
    outcome
}

fn start_tasks(app: &Arc<App>, notifier: Notifier) -> JoinSet<()> {
    let (db, config) = (app.db.clone(), &app.config);
    let listen_url = config.notifications.then(|| config.listen_url.clone().unwrap_or_else(|| config.database_url.clone()));
    let mut tasks = JoinSet::new();
    tasks.spawn(app.hub.clone().run_feeds());
    tasks.spawn(notifier.clone().run(db.clone()));
    tasks.spawn(listen(app.hub.clone(), app.dispatcher.clone(), notifier, db, listen_url, config.poll.0));
    tasks.spawn(maintenance::sweep(Arc::clone(app)));
    tasks.spawn(maintenance::supersede(Arc::clone(app)));
    tasks.spawn(maintenance::maintain(Arc::clone(app)));
    tasks
}

async fn hard_end(shutdown: CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
    tracing::warn!("connections that did not end in time are cut");
}

/// Spans name the route, never the URL: it holds the queue's name.
fn trace_layer()
-> TraceLayer<tower_http::classify::SharedClassifier<tower_http::classify::ServerErrorsAsFailures>, fn(&Request) -> tracing::Span>
{
    fn span(request: &Request) -> tracing::Span {
        let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
        tracing::info_span!("request", method = %request.method(), route)
    }
    TraceLayer::new_for_http().make_span_with(span as fn(&Request) -> tracing::Span)
}
