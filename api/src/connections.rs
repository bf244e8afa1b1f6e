//! Accepts connections, limits their number and their time, and ends them in order.
//!
//! A client that does not send the whole head of a request within the timeout is disconnected, and so is a client that keeps a
//! connection idle for as long. At most [`CONNECTIONS_MAX`] connections are open. Further ones wait to be accepted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Most open connections of one process.
const CONNECTIONS_MAX: usize = 20_000;
/// How long a connection may still send its last request after the listener has closed: longer than a packet takes through a data
/// centre.
const LAST_REQUEST_MAX: Duration = Duration::from_millis(250);
/// Most connections that are taken from the kernel when the listener closes. Linux keeps at most 4,096 (`net.core.somaxconn`).
const BACKLOG_MAX: usize = 4_096;
/// Pause after an accept failed for lack of a resource, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `shutdown`, and then until the requests in progress are answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, timeout: Duration, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let start = |connections: &mut JoinSet<()>, stream, address, place| {
        let router = router.clone().layer(axum::Extension(ConnectInfo(address)));
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            serve_one(stream, router, timeout, shutdown).await;
            drop(place);
        });
    };
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        let Some((stream, address, place)) = accepted else { break };
        start(&mut connections, stream, address, place);
    }
    for (stream, address) in backlog(listener) {
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { break };
        start(&mut connections, stream, address, place);
    }
    while connections.join_next().await.is_some() {}
}

/// Returns the connections that wait in the kernel, and closes the listener. Without this, closing would reset them, and a POST would
/// be lost, because a proxy does not send it a second time.
fn backlog(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    // The runtime may not know about a connection yet, but the socket does.
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted = std::iter::from_fn(|| listener.accept().ok()).take(BACKLOG_MAX);
    let served = accepted.filter_map(|(stream, address)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, address))
    });
    served.collect()
}

/// The next connection and its permit. It is never `None` while the process lives.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return Some((stream, address, place)),
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

/// Before the process stops, every answer closes its connection. Otherwise a proxy could send the next request on the
/// connection at the moment when this process closes it.
pub(crate) async fn close_when_leaving(State(leaving): State<CancellationToken>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if leaving.is_cancelled() {
        response.headers_mut().entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
    }
    response
}

async fn serve_one(stream: TcpStream, router: Router, timeout: Duration, shutdown: CancellationToken) {
    // Small answers are sent at once. A socket that refuses this option is served anyway.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(timeout);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        // A broken connection is not an error of this process.
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => {}
    }
    // Requests in transit are still read: a graceful shutdown closes a connection at once if nothing was read from it.
    if tokio::time::timeout(LAST_REQUEST_MAX, connection.as_mut()).await.is_ok() {
        return;
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
