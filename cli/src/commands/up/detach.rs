//! `asman up --detach`: starts the same program in a separate session, with its output in `up.log`.
//!
//! The running stack writes its address to `up.json` when it is healthy. The waiting process reads that file.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Args;
use crate::args::Global;
use crate::data::DataDirectory;
use crate::failure::Failure;
use crate::lock::{Lock, LockOwner, lock_owner};
use crate::program::how_to_stop;
use crate::say;

/// The first start creates a database and migrates it.
const TIMEOUT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);
const ADDRESS: &str = "up.json";
const LOG: &str = "up.log";
/// Log lines that are shown after a failed start.
const LOG_LINES_SHOWN: usize = 20;

/// The addresses of a running stack.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Address {
    /// Its process.
    pub(super) pid: u32,
    /// Its API.
    pub(super) api: String,
    /// The command to open its private database, if it has one.
    pub(super) psql: Option<String>,
    /// Whether jobs of the queue `local` will run.
    pub(super) has_worker: bool,
}

impl Address {
    /// Whether it matches what another `up` would start.
    pub(super) fn is_as_asked(&self, args: &Args) -> bool {
        args.port == 0 || self.api.ends_with(&format!(":{}", args.port))
    }

    pub(super) fn sentence(&self) -> String {
        format!("Asman is up already: {}", self.api)
    }

    fn tell(&self, log: &Path, root: &Path, sentence: &str, global: &Global) {
        if global.json {
            return say::json(&json!({ "pid": self.pid, "api": self.api, "queue": "local", "log": log, "psql": self.psql }));
        }
        say::note(sentence);
        if let Some(psql) = &self.psql {
            say::note(&format!("  SQL       {psql}"));
        }
        say::note(&format!("  log       {}", log.display()));
        say::note(&format!("  stop      {}", how_to_stop(root)));
    }
}

/// The healthy stack that runs on the data directory at `root`.
pub(super) fn running(root: &Path) -> Result<Option<Address>, Failure> {
    let LockOwner::Process(pid) = lock_owner(root)? else { return Ok(None) };
    let address = read_address(root).filter(|address| i64::from(address.pid) == i64::from(pid.as_raw_nonzero().get()));
    Ok(address)
}

/// Fails if a healthy stack runs on the data directory at `root`. The error contains its address.
pub(super) fn refuse_second(root: &Path) -> Result<(), Failure> {
    let Some(running) = running(root)? else { return Ok(()) };
    Err(Failure::Failed(format!(
        "Asman is already running: {} (process {}); stop it with `{}`, or give another --data-directory",
        running.api,
        running.pid,
        how_to_stop(root)
    )))
}

/// Starts the background process and waits until it is healthy or has ended. If a matching stack runs already, its address is printed
/// and nothing is started.
pub(super) async fn start(args: &Args, data: &DataDirectory, global: &Global) -> Result<(), Failure> {
    if let Some(running) = running(data.root())?.filter(|running| running.is_as_asked(args)) {
        running.tell(&data.join(LOG), data.root(), &running.sentence(), global);
        return Ok(());
    }
    refuse_second(data.root())?;
    // Fails here if another process has the lock. The lock is released at once, so that the child can take it.
    drop(Lock::take(data)?);
    forget_address(data);
    let log = data.join(LOG);
    let mut child = spawn(args, data, &log)?;
    let Ok(ended) = tokio::time::timeout(TIMEOUT, wait(&mut child, data)).await else {
        return Err(Failure::Failed(format!("asman did not become healthy in time; see {}", log.display())));
    };
    let address = ended.map_err(|status| did_not_start(status, &log))?;
    address.tell(&log, data.root(), &format!("Asman is up in the background: {}", address.api), global);
    // The demo runs in this process, because the user sees its output.
    super::show_demo(args, data, &address).await;
    Ok(())
}

/// Leaves the terminal's session, so that closing the terminal does not end this process. This is allowed because a process that
/// `spawn` started is not the leader of a process group.
pub(super) fn leave_terminal() -> Result<(), Failure> {
    rustix::process::setsid().map(drop).map_err(|error| Failure::Failed(format!("cannot go to the background: {error}")))
}

/// Reports to the waiting process that the stack is healthy.
pub(super) fn write_address(data: &DataDirectory, address: &Address) -> Result<(), Failure> {
    let path = data.join(ADDRESS);
    let address = json!(address);
    let temporary = data.join("up.json.new");
    let written = std::fs::write(&temporary, address.to_string()).and_then(|()| std::fs::rename(&temporary, &path));
    written.map_err(|error| Failure::io("write", &path, &error))
}

fn read_address(root: &Path) -> Option<Address> {
    serde_json::from_slice(&std::fs::read(root.join(ADDRESS)).ok()?).ok()
}

/// Removes the address of a stack that has ended.
pub(super) fn forget_address(data: &DataDirectory) {
    let _ = std::fs::remove_file(data.join(ADDRESS));
}

fn spawn(args: &Args, data: &DataDirectory, log: &Path) -> Result<Child, Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("cannot start in the background: {error}"));
    let file = std::fs::File::create(log).map_err(|error| Failure::io("write", log, &error))?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["up", "--detached", "--port", &args.port.to_string()]);
    command.args(["--listen", &args.listen.to_string()]);
    for origin in &args.allow_origin {
        command.args(["--allow-origin", origin]);
    }
    if args.allow_private_webhooks {
        command.arg("--allow-private-webhooks");
    }
    command.arg("--data-directory").arg(data.root());
    // Not as an argument: every user of the machine can read arguments, and the URL may contain a password.
    if let Some(url) = &args.database_url {
        command.env("DATABASE_URL", url);
    }
    command.envs(args.s3.to_environment());
    if args.no_worker {
        command.arg("--no-worker");
    }
    let error_file = file.try_clone().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(file).stderr(error_file).spawn().map_err(failed)
}

async fn wait(child: &mut Child, data: &DataDirectory) -> Result<Address, Option<ExitStatus>> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Some(status));
        }
        if let Some(address) = read_address(data.root()).filter(|address| address.pid == child.id()) {
            return Ok(address);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn did_not_start(status: Option<ExitStatus>, log: &PathBuf) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
        say::note(line);
    }
    let sentence = format!("it did not start; see {}", log.display());
    match status.and_then(|status| status.code()) {
        Some(3) => Failure::Missing(sentence),
        Some(2) => Failure::BadInput(sentence),
        _ => Failure::Failed(sentence),
    }
}
