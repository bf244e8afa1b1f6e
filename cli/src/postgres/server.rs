//! The running server: our direct child in a separate process group, so that Ctrl-C at the terminal reaches this process first.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::account::{Account, lend};
use super::binaries::{self, Binaries};
use super::{cluster, orphan, socket};
use crate::data::DataDirectory;
use crate::failure::Failure;

const START_TIMEOUT: Duration = Duration::from_mins(1);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(30);
/// A larger log is deleted at the next start.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Small values for a laptop; a production database is given by `--database-url`.
const SETTINGS: [&str; 10] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "fsync=on",
    "shared_buffers=128MB",
    "max_wal_size=1GB",
    "autovacuum_naptime=10s",
    "log_min_duration_statement=-1",
    "logging_collector=off",
    "log_destination=stderr",
    "cluster_name=asman",
];

/// A started Postgres. [`Server::stop`] ends it; dropping it only asks it to stop.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// URL of the product's database.
    url: String,
    /// The folder of the socket. It is removed when the server has stopped.
    socket: PathBuf,
}

impl Server {
    /// Starts the server of `data`, whose lock the caller has, and waits until it answers.
    pub(crate) async fn start(data: &DataDirectory) -> Result<Self, Failure> {
        let binaries = binaries::find(Some(data))?;
        let account = Account::to_lend()?;
        let folder = cluster::ensure(data, &binaries, account.as_ref()).await?;
        let claim = orphan::stop(&folder).await?;
        let socket = socket::make_folder(data, account.as_ref())?;
        let log = data.join("postgres.log");
        claim.pass_on()?;
        let child = spawn(&binaries, &folder, &socket, &log, account.as_ref())?;
        drop(claim);
        let maintenance_url = socket::url(&socket, "postgres");
        let mut server = Self { child, url: socket::url(&socket, "asman"), socket };
        let client = server.wait_until_ready(&maintenance_url, &log).await?;
        create_database(&client).await?;
        Ok(server)
    }

    /// The URL of the product's database.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The command that opens that database.
    pub(crate) fn psql(&self) -> String {
        format!("psql -h {} -U asman asman", shell_words::quote(&self.socket.to_string_lossy()))
    }

    /// Waits until the server ends unexpectedly.
    pub(crate) async fn ended(&mut self) -> Failure {
        let status = self.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        Failure::Failed(format!("PostgreSQL ended unexpectedly ({status}); its log is postgres.log in the data directory"))
    }

    /// Stops the server and waits for its end. `hurry` stops it at once.
    pub(crate) async fn stop(mut self, hurry: &CancellationToken) -> Result<(), Failure> {
        self.signal(Signal::INT);
        let ended = tokio::select! {
            status = self.child.wait() => Some(status),
            () = tokio::time::sleep(STOP_TIMEOUT) => None,
            () = hurry.cancelled() => None,
        };
        let status = if let Some(status) = ended {
            status
        } else {
            self.signal(Signal::QUIT);
            self.child.wait().await
        };
        let _ = std::fs::remove_dir(&self.socket);
        status.map(drop).map_err(|error| Failure::Failed(format!("cannot wait for PostgreSQL: {error}")))
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    async fn wait_until_ready(&mut self, url: &str, log: &Path) -> Result<tokio_postgres::Client, Failure> {
        let connected = tokio::time::timeout(START_TIMEOUT, connect(url));
        tokio::select! {
            result = connected => result.map_err(|_| Failure::Failed(format!("PostgreSQL did not start in time; see {}", log.display()))),
            status = self.child.wait() => Err(did_not_start(status.ok(), log)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

fn spawn(binaries: &Binaries, folder: &Path, socket: &Path, log: &Path, account: Option<&Account>) -> Result<Child, Failure> {
    let log_file = open_log(log).map_err(|error| Failure::io("write", log, &error))?;
    let mut command = Command::new(binaries.folder.join("postgres"));
    command.arg("-D").arg(folder).args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
    // A list with quoted entries, so that the path may contain a comma.
    command.arg("-c").arg(format!("unix_socket_directories=\"{}\"", socket.display()));
    command.current_dir(folder.parent().unwrap_or(folder)).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);
    lend(account, &mut command);
    command.spawn().map_err(|error| Failure::Failed(format!("cannot start PostgreSQL: {error}")))
}

fn open_log(path: &Path) -> std::io::Result<std::fs::File> {
    if path.metadata().is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        std::fs::remove_file(path)?;
    }
    OpenOptions::new().append(true).create(true).open(path)
}

/// Tries until it succeeds. The caller sets the time limit.
async fn connect(url: &str) -> tokio_postgres::Client {
    loop {
        if let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await {
            tokio::spawn(connection);
            return client;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn create_database(client: &tokio_postgres::Client) -> Result<(), Failure> {
    match client.batch_execute(include_str!("create_database.sql")).await {
        Err(error) if error.code() != Some(&SqlState::DUPLICATE_DATABASE) => {
            Err(Failure::Failed(format!("cannot create the database: {error}")))
        }
        _ => Ok(()),
    }
}

fn did_not_start(status: Option<ExitStatus>, log: &Path) -> Failure {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let reason = text.lines().rev().find(|line| line.contains("FATAL") || line.contains("PANIC")).map(str::trim);
    let reason = reason.map(str::to_owned).or_else(|| status.map(|status| status.to_string())).unwrap_or_default();
    Failure::Failed(format!("PostgreSQL did not start: {reason}; see {}", PathBuf::from(log).display()))
}
