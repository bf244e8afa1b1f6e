//! Which process group a run is, on disk, so that the next worker can end what a killed one left.

use std::io;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};

/// A process group and when its first process was started: the number alone may have become somebody else's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    group: Pid,
    /// Clock ticks since the machine's start, field 22 of proc(5)'s `stat`; none where there is no `/proc`.
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

    /// None: unreadable, or there is none.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let (group, started) = text.split_once(' ')?;
        Some(Self { group: Pid::from_raw(group.parse().ok()?)?, started: started.parse().ok() })
    }

    /// Kills the group if it is still the one that was recorded.
    pub(super) fn kill(&self) {
        if self.started.is_some() && started(self.group) == self.started {
            // Gone in between: nothing to do.
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}

fn started(group: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", group.as_raw_nonzero())).ok()?;
    // The second field is a name in parentheses that may hold anything; the third begins after the last of them.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_knows_its_process_from_a_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        let own = Record::of(rustix::process::getpid());
        assert!(own.started.is_some());
        own.write(&path).unwrap();
        assert_eq!(Record::read(&path), Some(own));
    }
}
