//! A SOCKS proxy on this machine's loopback address, through which `git` reaches the network. It is necessary because git resolves names
//! and follows redirects itself. The proxy connects only to checked addresses (see [`Guarded::connect`]) and counts the received bytes.
//!
//! It lives as long as one sequence of git commands. Bounds: [`CONNECTIONS_MAX`] at a time, [`HANDSHAKE_TIMEOUT`], and the bytes given to
//! [`Tunnel::open`]. It supports only the address families and the one command that git uses (RFC 1928, CONNECT).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::network::Guarded;

const CONNECTIONS_MAX: usize = 16;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// An open tunnel. Dropping it closes all its connections.
#[derive(Debug)]
pub(super) struct Tunnel {
    port: u16,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    guarded: Guarded,
    /// Bytes that may still be received.
    left: AtomicU64,
    /// Why the last refused connection was refused.
    refusal: Mutex<Option<Refusal>>,
}

/// Why a connection was refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The worker does not permit the address.
    pub(super) is_forbidden: bool,
    pub(super) why: String,
}

impl Tunnel {
    pub(super) async fn open(guarded: Guarded, bytes_max: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { guarded, left: AtomicU64::new(bytes_max), refusal: Mutex::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, _task: AbortOnDropHandle::new(task) })
    }

    /// The value for `http.proxy`. The `h` makes the proxy resolve the name.
    pub(super) fn url(&self) -> String {
        format!("socks5h://127.0.0.1:{}", self.port)
    }

    /// Why a connection was refused, if one was.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.shared.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the allowed bytes are used up.
    pub(super) fn is_spent(&self) -> bool {
        self.shared.left.load(Ordering::Relaxed) == 0
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        if connections.len() < CONNECTIONS_MAX {
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                // Either side may close the connection early. Git then reports the error.
                let _ = serve(client, &shared).await;
            });
        }
    }
}

async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    let (host, port) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(&mut client)).await.map_err(timed_out)??;
    let server = match shared.guarded.connect(&host, port).await {
        Ok(server) => server,
        Err(error) => {
            let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
            let why = if is_forbidden { format!("its URL {error}") } else { error.to_string() };
            *shared.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(Refusal { is_forbidden, why });
            return client.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        }
    };
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    carry(client, server, shared).await
}

/// Reads the host and port that the client asks for.
async fn handshake(client: &mut TcpStream) -> io::Result<(String, u16)> {
    let mut hello = [0; 2];
    client.read_exact(&mut hello).await?;
    let mut methods = vec![0; usize::from(hello[1])];
    client.read_exact(&mut methods).await?;
    if hello[0] != 5 || !methods.contains(&0) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    client.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let host = match request {
        [5, 1, 0, 1] => Ipv4Addr::from(client.read_u32().await?).to_string(),
        [5, 1, 0, 4] => Ipv6Addr::from(client.read_u128().await?).to_string(),
        [5, 1, 0, 3] => {
            let mut name = vec![0; usize::from(client.read_u8().await?)];
            client.read_exact(&mut name).await?;
            String::from_utf8(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok((host, client.read_u16().await?))
}

async fn carry(mut client: TcpStream, mut server: TcpStream, shared: &Shared) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let back = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let n = from_server.read(&mut buffer).await?;
            let spend = |left: u64| Some(left.saturating_sub(n as u64));
            let before = shared.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).unwrap_or(0);
            if n == 0 || before <= n as u64 {
                return to_client.shutdown().await;
            }
            to_client.write_all(&buffer[..n]).await?;
        }
    };
    tokio::try_join!(there, back).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn through(tunnel: &Tunnel, port: u16) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", tunnel.port)).await?;
        stream.write_all(&[5, 1, 0, 5, 1, 0, 3, 9]).await?;
        stream.write_all(b"localhost").await?;
        stream.write_u16(port).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        if answer[3] == 0 { Ok(stream) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    #[tokio::test]
    async fn forbidden_addresses_are_refused_and_bytes_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.write_all(&[7; 100]).await;
            }
        });
        let api = "http://192.0.2.1".parse().unwrap();
        let closed = Tunnel::open(Guarded::new(&api, false).unwrap(), 1000).await.unwrap();
        assert!(through(&closed, port).await.is_err());
        assert!(closed.refusal().is_some_and(|refusal| refusal.is_forbidden && refusal.why.contains("not public")));
        let open = Tunnel::open(Guarded::new(&api, true).unwrap(), 150).await.unwrap();
        let mut received = Vec::new();
        through(&open, port).await.unwrap().read_to_end(&mut received).await.unwrap();
        assert_eq!(received, [7; 100]);
        assert!(!open.is_spent());
        received.clear();
        through(&open, port).await.unwrap().read_to_end(&mut received).await.unwrap();
        assert!(received.is_empty() && open.is_spent());
    }
}
