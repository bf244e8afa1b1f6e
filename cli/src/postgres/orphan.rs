//! A server that outlived its `asman up` (killed with -9) is stopped before a new one starts.
//!
//! The caller has the data directory's lock, so no living `asman` owns the server found here. A server whose process cannot be
//! seen, for example in a container, still has an inherited lock ([`Claim`]): two servers on one database would destroy it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::failure::Failure;
use crate::say;

const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// The child processes of a stopped server have the lock for a moment longer.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// The lock of a database. A server inherits it and has it as long as any of its processes lives.
#[derive(Debug)]
pub(crate) struct Claim {
    file: File,
}

impl Claim {
    /// Takes the lock as soon as the last process of a stopped server has released it.
    async fn take(folder: &Path) -> Result<Self, Failure> {
        let path = folder.with_extension("lock");
        let failed = |error: &std::io::Error| Failure::io("lock", &path, error);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|error| failed(&error))?;
        let deadline = tokio::time::Instant::now() + LOCK_TIMEOUT;
        let mut locked = file.try_lock();
        while matches!(locked, Err(TryLockError::WouldBlock)) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(Failure::Failed(format!(
                "a PostgreSQL that cannot be seen from here uses {}, possibly in a container; stop it there",
                folder.display()
            ))),
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        }
    }

    /// Passes the lock to the next process that is started.
    pub(crate) fn pass_on(&self) -> Result<(), Failure> {
        let passed = rustix::io::fcntl_setfd(&self.file, rustix::io::FdFlags::empty());
        passed.map_err(|error| Failure::Failed(format!("cannot pass on the lock of the database: {error}")))
    }
}

/// Stops the server on the database at `folder`, if one runs, and takes the lock for the next one.
pub(crate) async fn stop(folder: &Path) -> Result<Claim, Failure> {
    stop_visible(folder).await?;
    let claim = Claim::take(folder).await?;
    let pid_file = folder.join("postmaster.pid");
    match std::fs::remove_file(&pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::io("remove", &pid_file, &error)),
        _ => Ok(claim),
    }
}

async fn stop_visible(folder: &Path) -> Result<(), Failure> {
    let pid_file = folder.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&pid_file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| Pid::from_raw(line.trim().parse().ok()?));
    if let Some(pid) = pid.filter(|pid| is_server_on(*pid, folder)) {
        say::note("Stopping the PostgreSQL that an earlier asman left behind");
        return stop_process(pid, folder).await;
    }
    // The id in the file may now belong to an unrelated process, and PostgreSQL would then refuse to start. So the caller deletes the
    // file when no process uses the database.
    Ok(())
}

async fn stop_process(pid: Pid, folder: &Path) -> Result<(), Failure> {
    // SIGINT asks for a fast shutdown. If that takes too long, SIGQUIT forces an immediate one, after which the next start recovers.
    for signal in [Signal::INT, Signal::QUIT] {
        let _ = kill_process(pid, signal);
        if tokio::time::timeout(STOP_TIMEOUT, gone(pid, folder)).await.is_ok() {
            return Ok(());
        }
    }
    Err(Failure::Failed(format!("PostgreSQL process {} does not stop; kill it yourself", pid.as_raw_nonzero())))
}

async fn gone(pid: Pid, folder: &Path) {
    while test_kill_process(pid).is_ok() && is_server_on(pid, folder) {
        tokio::time::sleep(POLL).await;
    }
}

/// A Postgres server's working directory is its database. Without `/proc` the program's name is checked.
fn is_server_on(pid: Pid, folder: &Path) -> bool {
    let pid = pid.as_raw_nonzero();
    if Path::new("/proc/self/cwd").exists() {
        return std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    }
    let listed = std::process::Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()]).output();
    listed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with("postgres"))
}
