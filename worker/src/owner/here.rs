//! The surroundings of this process: machine, namespaces, user.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::Life;

/// This process and its surroundings.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    pub(super) uid: u32,
    pub(super) boot: String,
    pub(super) mounts: u64,
    pub(super) process: Process,
}

/// One process. No two processes have the same number and start time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Namespaces in which the number and the start time are valid.
    pub(super) namespace: String,
    pub(super) pid: i32,
    /// Clock ticks from the machine's start to the process's start.
    pub(super) started: u64,
}

impl Here {
    /// Returns None when the system does not provide these facts, for example without `/proc` or with the `/proc` of another namespace.
    pub(crate) fn look() -> Option<Self> {
        let pid = i32::try_from(std::process::id()).ok()?;
        if fs::read_link("/proc/self").ok()?.to_str() != Some(&pid.to_string()) {
            return None;
        }
        let namespace = |name: &str| fs::metadata(format!("/proc/self/ns/{name}")).map(|about| about.ino());
        // Kernels before 5.6 have no time namespaces.
        let namespaces = format!("{}-{}", namespace("pid").ok()?, namespace("time").unwrap_or(0));
        let started = started(pid)?;
        Some(Self {
            uid: rustix::process::geteuid().as_raw(),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().replace('-', ""),
            mounts: namespace("mnt").ok()?,
            process: Process { namespace: namespaces, pid, started },
        })
    }

    /// Whether a process of this kernel is alive.
    pub(super) fn life_of(&self, process: &Process) -> Life {
        if process.namespace != self.process.namespace {
            return Life::Unknown;
        }
        let Some(pid) = Pid::from_raw(process.pid) else { return Life::Unknown };
        // This also works for processes that `/proc` hides from this user.
        if test_kill_process(pid) == Err(Errno::SRCH) {
            return Life::Dead;
        }
        match started(process.pid) {
            Some(started) if started == process.started => Life::Alive,
            Some(_) => Life::Dead,
            None => Life::Unknown,
        }
    }
}

/// Reads the 22nd field of `stat`. The second field, the program's name, may contain anything.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19)?.parse().ok()
}
