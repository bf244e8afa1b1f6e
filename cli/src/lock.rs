//! One embedded stack per data directory: a `flock` on `up.lock`, which also contains the owner's process id.
//!
//! The kernel releases the lock when its owner dies in any way. So a taken lock always belongs to a living process, and the
//! process id in the file is valid while the lock is taken. The id is valid only in the same process namespace, which is in the
//! second line: in a container, or on another machine, the same number means another process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;

use crate::data::DataDirectory;
use crate::failure::Failure;
use crate::program::how_to_stop;

const NAME: &str = "up.lock";
const BYTES_MAX: u64 = 256;
/// The pause between two attempts to take the lock. A check by [`lock_owner`] has the lock for a shorter time.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS_MAX: u32 = 10;

/// The lock is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// The owner of the lock of a data directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LockOwner {
    /// Nobody.
    Nobody,
    /// A process that has not written its id yet.
    Starting,
    /// A process in a container or on another machine, which cannot be named from here.
    Elsewhere,
    /// The process with this id.
    Process(Pid),
}

impl Lock {
    /// Takes the lock, or returns its owner.
    pub(crate) fn take(data: &DataDirectory) -> Result<Self, Failure> {
        let path = data.join(NAME);
        let failed = |error: &std::io::Error| Failure::io("lock", &path, error);
        let mut file = open(&path).map_err(|error| failed(&error))?;
        match take(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(data, &mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        let written = file.set_len(0).and_then(|()| write!(file, "{}\n{}\n", std::process::id(), namespace()));
        written.map_err(|error| failed(&error))?;
        Ok(Self { _file: file })
    }
}

/// Takes the lock. A caller of [`lock_owner`] may have it for a moment, so it tries several times.
fn take(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOOKS_MAX {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            taken => return taken,
        }
    }
    file.try_lock()
}

/// The process namespace: the kernel's boot id, and the namespace in it. Empty if the system does not report it.
fn namespace() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let inode = std::fs::metadata("/proc/self/ns/pid").map(|about| about.ino());
    inode.map_or_else(|_| String::new(), |inode| format!("{}-{inode}", boot.trim()))
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn taken(data: &DataDirectory, file: &mut File) -> Failure {
    let by = match read_owner(file) {
        LockOwner::Process(pid) => format!(" (process {})", pid.as_raw_nonzero()),
        _ => String::new(),
    };
    Failure::Failed(format!(
        "another asman is already running on {}{by}; stop it with `{}`, or give another --data-directory",
        data.root().display(),
        how_to_stop(data.root())
    ))
}

/// Reads the owner of a taken lock.
fn read_owner(file: &mut File) -> LockOwner {
    let mut text = String::new();
    // Both lines are short. Anything else in the file is not read.
    if file.rewind().and_then(|()| file.take(BYTES_MAX).read_to_string(&mut text)).is_err() {
        return LockOwner::Starting;
    }
    let mut lines = text.lines();
    let Some(pid) = lines.next().and_then(|line| Pid::from_raw(line.trim().parse().ok()?)) else { return LockOwner::Starting };
    let is_here = lines.next().is_none_or(|line| line.is_empty() || line == namespace());
    if is_here { LockOwner::Process(pid) } else { LockOwner::Elsewhere }
}

/// The owner of the data directory at `path`. A directory that does not exist has no owner.
pub(crate) fn lock_owner(path: &Path) -> Result<LockOwner, Failure> {
    let path = path.join(NAME);
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(LockOwner::Nobody),
        Err(error) => return Err(Failure::io("read", &path, &error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(LockOwner::Nobody),
        Err(TryLockError::WouldBlock) => Ok(read_owner(&mut file)),
        Err(TryLockError::Error(error)) => Err(Failure::io("read", &path, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_another_namespace_names_no_process_here() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: String| std::fs::write(folder.path().join(NAME), text).unwrap();
        write(String::new());
        let lock = open(&folder.path().join(NAME)).unwrap();
        lock.lock().unwrap();
        let process = LockOwner::Process(Pid::from_raw(4321).unwrap());
        assert_eq!(lock_owner(folder.path()).unwrap(), LockOwner::Starting);
        write(format!("4321\n{}\n", namespace()));
        assert_eq!(lock_owner(folder.path()).unwrap(), process);
        write("4321\n".to_owned());
        assert_eq!(lock_owner(folder.path()).unwrap(), process, "of an earlier version");
        write("4321\nelsewhere-1\n".to_owned());
        assert_eq!(lock_owner(folder.path()).unwrap(), LockOwner::Elsewhere);
        drop(lock);
        assert_eq!(lock_owner(folder.path()).unwrap(), LockOwner::Nobody);
    }
}
