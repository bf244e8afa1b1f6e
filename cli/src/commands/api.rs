//! `asman api`: serve on a database that is already migrated.

use crate::commands::consent;
use crate::data::DataArgs;
use crate::failure::Failure;
use crate::signals::Signals;

/// What `asman api` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  asman db migrate && asman api --listen 0.0.0.0:8000 --blob-directory /srv/asman/blobs")]
pub(crate) struct Args {
    #[command(flatten)]
    config: api::Config,
}

/// Serves until a signal comes, then finishes the open requests. A second signal ends it at once.
pub(crate) async fn run(mut args: Args) -> Result<(), Failure> {
    args.config.executable = own_program();
    if args.config.local_access.local && args.config.local_access.consent_file.is_none() {
        args.config.local_access.consent_file = Some(consent::file_in(&DataArgs::at(None).path()?));
    }
    let signals = Signals::listen()?;
    let listener = bind(args.config.listen).await?;
    tokio::select! {
        result = api::serve(listener, args.config, signals.first.clone()) => {
            result.map_err(|error| Failure::Failed(error.to_string()))
        }
        () = signals.second.cancelled() => Err(Failure::Interrupted),
    }
}

/// The program of this process, which stays the same when the file is replaced.
pub(crate) fn own_program() -> Option<std::path::PathBuf> {
    let running = std::path::PathBuf::from("/proc/self/exe");
    if running.exists() { Some(running) } else { std::env::current_exe().ok() }
}

/// Opens the port, or names it in the error when another process uses it.
pub(crate) async fn bind(address: std::net::SocketAddr) -> Result<tokio::net::TcpListener, Failure> {
    tokio::net::TcpListener::bind(address).await.map_err(|error| {
        Failure::Failed(match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("port {} is in use; give another one (--port for up, --listen for api)", address.port())
            }
            _ => format!("cannot listen on {address}: {error}"),
        })
    })
}
