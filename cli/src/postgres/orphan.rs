//! A server that outlived its `asman up` (killed with -9) is stopped before a new one starts.
//!
//! The caller holds the data directory's lock, so no living `asman` owns the server found here.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::failure::Failure;
use crate::say;

const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Stops the server on the database at `folder`, if one runs.
pub(crate) async fn stop(folder: &Path) -> Result<(), Failure> {
    let pid_file = folder.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&pid_file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| Pid::from_raw(line.trim().parse().ok()?));
    if let Some(pid) = pid.filter(|pid| is_server_on(*pid, folder)) {
        say::note("Stopping the PostgreSQL that an earlier asman left behind");
        return stop_process(pid, folder).await;
    }
    // The id may have passed to an unrelated process, at the sight of which PostgreSQL refuses to start.
    std::fs::remove_file(&pid_file).map_err(|error| Failure::io("remove", &pid_file, &error))
}

async fn stop_process(pid: Pid, folder: &Path) -> Result<(), Failure> {
    // Fast shutdown first; immediate shutdown, after which the next start recovers, when that takes too long.
    for signal in [Signal::INT, Signal::QUIT] {
        let _ = kill_process(pid, signal);
        if tokio::time::timeout(STOP_TIMEOUT, gone(pid, folder)).await.is_ok() {
            return Ok(());
        }
    }
    Err(Failure::Failed(format!("PostgreSQL process {} does not stop; kill it by hand", pid.as_raw_nonzero())))
}

async fn gone(pid: Pid, folder: &Path) {
    while test_kill_process(pid).is_ok() && is_server_on(pid, folder) {
        tokio::time::sleep(POLL).await;
    }
}

/// A Postgres server's working directory is its database. Without `/proc` the program's name must do.
fn is_server_on(pid: Pid, folder: &Path) -> bool {
    let pid = pid.as_raw_nonzero();
    if Path::new("/proc/self/cwd").exists() {
        return std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    }
    let listed = std::process::Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()]).output();
    listed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with("postgres"))
}
