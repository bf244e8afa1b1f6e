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

/// Serves until a signal comes, then lets the open requests end; a second signal ends it at once.
pub(crate) async fn run(mut args: Args) -> Result<(), Failure> {
    args.config.executable = own_program();
    if args.config.door.local && args.config.door.consent_file.is_none() {
        args.config.door.consent_file = Some(consent::file_in(&DataArgs::at(None).path()?));
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

/// What this process runs, and goes on to run when the file is replaced meanwhile.
pub(crate) fn own_program() -> Option<std::path::PathBuf> {
    let running = std::path::PathBuf::from("/proc/self/exe");
    if running.exists() { Some(running) } else { std::env::current_exe().ok() }
}

/// Takes the port, or names it when somebody else has it.
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
