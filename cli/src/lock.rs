//! One embedded stack per data directory: a `flock` on `up.lock`, which also names its holder.
//!
//! The kernel frees the lock when the holder dies, however it dies, so a lock that is held always has a living
//! process behind it and the process id in the file can be trusted exactly as long.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::process::Pid;

use crate::data::DataDirectory;
use crate::failure::Failure;
use crate::program::how_to_stop;

const NAME: &str = "up.lock";

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Who holds the lock of a data directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Nobody,
    /// A process that has not written its id yet.
    Starting,
    /// This process.
    Process(Pid),
}

impl Lock {
    /// Takes the lock, or says who holds it.
    pub(crate) fn take(data: &DataDirectory) -> Result<Self, Failure> {
        let path = data.join(NAME);
        let failed = |error: &std::io::Error| Failure::io("lock", &path, error);
        let mut file = open(&path).map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(data, &mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| failed(&error))?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn taken(data: &DataDirectory, file: &mut File) -> Failure {
    let by = read_pid(file).map(|pid| format!(" (process {})", pid.as_raw_nonzero())).unwrap_or_default();
    Failure::Failed(format!(
        "an asman is already running on {}{by}; stop it with `{}`, or give another --data-directory",
        data.root().display(),
        how_to_stop(data.root())
    ))
}

fn read_pid(file: &mut File) -> Option<Pid> {
    let mut text = String::new();
    file.rewind().ok()?;
    // A process id is short; whatever else lies there is not read.
    file.take(32).read_to_string(&mut text).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

/// Who runs on the data directory at `path`. A directory that does not exist has no holder.
pub(crate) fn holder(path: &Path) -> Result<Holder, Failure> {
    let path = path.join(NAME);
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Holder::Nobody),
        Err(error) => return Err(Failure::io("read", &path, &error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Holder::Nobody),
        Err(TryLockError::WouldBlock) => Ok(read_pid(&mut file).map_or(Holder::Starting, Holder::Process)),
        Err(TryLockError::Error(error)) => Err(Failure::io("read", &path, &error)),
    }
}
