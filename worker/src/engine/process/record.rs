//! Records on disk which process group a run has, so that the next worker can kill the runs of a killed one.

use std::io;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};

/// A process group, and the start time of its first process: another process may get the same number later.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    group: Pid,
    /// Clock ticks since the machine's start: field 22 of `stat` in proc(5). None without `/proc`.
    started: Option<u64>,
}

impl Record {
    pub(super) fn of(group: Pid) -> Self {
        Self { group, started: started(group) }
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let started = self.started.map_or_else(String::new, |ticks| ticks.to_string());
        std::fs::write(path, format!("{} {started}", self.group.as_raw_nonzero()))
    }

    /// Returns None when there is no record or it cannot be read.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let (group, started) = text.split_once(' ')?;
        Some(Self { group: Pid::from_raw(group.parse().ok()?)?, started: started.parse().ok() })
    }

    /// Kills the group if it is still the recorded one.
    pub(super) fn kill(&self) {
        if self.started.is_some() && started(self.group) == self.started {
            // An error means that the group has ended in the meantime.
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}

fn started(group: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", group.as_raw_nonzero())).ok()?;
    // The second field is a name in parentheses that may contain anything. The third field begins after the last parenthesis.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_tells_its_process_from_a_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        let own = Record::of(rustix::process::getpid());
        assert!(own.started.is_some());
        own.write(&path).unwrap();
        assert_eq!(Record::read(&path), Some(own));
    }
}
