//! Routes the driver's TCP connections through our dialer, so that `sslmode`, certificates and keep-alives mean the same as in
//! libpq and in migrations.
//!
//! The driver connects to a socket of this process outside of the file system. Connections of other processes are refused.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use migrations::{Address, Dialer, Host};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::Result;

/// Pause after a connection could not be accepted for lack of a resource, such as file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts the driver's connections to one server for as long as it lives. Open connections continue after that.
#[derive(Debug)]
pub(crate) struct Relay {
    folder: PathBuf,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// A relay to a server of the address.
    pub(crate) fn new(address: &Address, host: &Host, port: u16) -> Result<Self> {
        let dialer = Arc::new(Dialer::new(address)?);
        let folder = format!("\0asman-{}", Uuid::new_v4());
        // Drivers add this to the folder of a socket.
        let name = format!("{}/.s.PGSQL.{port}", folder.trim_start_matches('\0'));
        let listener = SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name));
        let listener = listener.and_then(|listener| {
            listener.set_nonblocking(true)?;
            tokio::net::UnixListener::from_std(listener)
        });
        let listener = listener.map_err(sqlx::Error::Io)?;
        let host = host.clone();
        let accepting = tokio::spawn(async move { accept(&listener, &dialer, &host, port).await });
        Ok(Self { folder: PathBuf::from(folder), accepting })
    }

    /// The path that the driver uses as the folder of a server's socket.
    pub(crate) fn folder(&self) -> &PathBuf {
        &self.folder
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: &tokio::net::UnixListener, dialer: &Arc<Dialer>, host: &Host, port: u16) {
    let own = i32::try_from(std::process::id()).ok();
    loop {
        let Ok((driver, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if driver.peer_cred().ok().and_then(|peer| peer.pid()) == own {
            let (dialer, host) = (Arc::clone(dialer), host.clone());
            tokio::spawn(async move { dialer.serve(driver, &host, port).await });
        }
    }
}
