//! Which worker owns an object of the engine or of the packet filter, and whether that worker is dead.
//!
//! A worker that starts finds networks, sandboxes and rules of other workers. It may remove them only if it is certain that their worker is
//! dead. None of the following proves this: a lock file that it cannot see, a process of another namespace, an engine that does not know a
//! network, another machine. So every object has the text of an [`Owner`], with the facts that can be checked: the lock file counts only if
//! it is the same file (device and inode) on the same kernel (boot id), and the process counts only in the same process namespace.
//!
//! Invariant: [`Owner::life`] is [`Life::Dead`] only when the same findings are impossible for a live worker.

mod here;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(crate) use here::Here;
use here::Process;

/// Number of fields of the text form. They are separated by commas, and the path is the last one.
const N_FIELDS: usize = 9;
/// Most bytes of the text: it must fit into the comment of a rule, which the kernel limits to 255.
const TEXT_MAX: usize = 230;

/// The worker that made an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    uid: u32,
    /// Boot id of the kernel. Another id means another machine, or this machine before a restart.
    boot: String,
    /// Namespace in which `path` names the lock file.
    mounts: u64,
    process: Process,
    device: u64,
    inode: u64,
    /// Path of the lock file. None when the text cannot contain it.
    path: Option<PathBuf>,
}

/// Whether a worker is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It runs.
    Alive,
    /// It certainly does not run any more.
    Dead,
    /// This process cannot tell.
    Unknown,
}

/// How long an object is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// As long as the process that made it.
    WithItsProcess,
    /// Longer: the next process of the same data directory takes it over.
    WithItsDataDirectory,
}

/// The result of a check of the lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    Held,
    Free,
    /// The path leads to another file or to none, and its owner would see the same.
    Gone,
    Unseen,
}

impl Owner {
    /// This process, with its lock file. None when the system does not identify this process.
    pub(crate) fn own(lock: &Path) -> Option<Self> {
        let here = Here::look()?;
        let about = std::fs::metadata(lock).ok()?;
        let text = lock.to_str().filter(|text| text.bytes().all(is_plain));
        let owner = Self {
            uid: here.uid,
            boot: here.boot,
            mounts: here.mounts,
            process: here.process,
            device: about.dev(),
            inode: about.ino(),
            path: text.map(PathBuf::from),
        };
        Some(if owner.to_string().len() > TEXT_MAX { Self { path: None, ..owner } } else { owner })
    }

    /// Reads the text that [`Display`](std::fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.splitn(N_FIELDS, ',').collect();
        let [uid, boot, mounts, namespace, pid, started, device, inode, path] = fields[..] else { return None };
        Some(Self {
            uid: uid.parse().ok()?,
            boot: boot.to_owned(),
            mounts: mounts.parse().ok()?,
            process: Process { namespace: namespace.to_owned(), pid: pid.parse().ok()?, started: started.parse().ok()? },
            device: device.parse().ok()?,
            inode: inode.parse().ok()?,
            path: (!path.is_empty()).then(|| PathBuf::from(path)),
        })
    }

    /// Whether the worker is alive, as far as this process can tell.
    pub(crate) fn life(&self, lasts: Lasts, here: Option<&Here>) -> Life {
        let Some(here) = here.filter(|here| here.boot == self.boot) else { return Life::Unknown };
        let process = here.life_of(&self.process);
        match (self.lock(here), lasts) {
            (Lock::Held, _) => Life::Alive,
            (Lock::Free, _) => Life::Dead,
            // Another process may have taken the object over.
            (Lock::Unseen, Lasts::WithItsDataDirectory) if process == Life::Dead => Life::Unknown,
            (Lock::Gone | Lock::Unseen, _) => process,
        }
    }

    /// Whether this user may remove the objects of that worker. A user may remove the objects of its own workers. Root may remove the
    /// objects of all users of its machine.
    pub(crate) fn is_in_reach(&self, here: Option<&Here>) -> bool {
        here.is_some_and(|here| here.uid == self.uid || (here.uid == 0 && here.boot == self.boot))
    }

    fn lock(&self, here: &Here) -> Lock {
        let Some(path) = &self.path else { return Lock::Unseen };
        // Do not wait, in case the file has become a pipe.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
        let is_same_view = here.mounts == self.mounts;
        match opened {
            Ok(file) if self.is_of(&file) => ask(&file),
            Ok(_) if is_same_view => Lock::Gone,
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_same_view => Lock::Gone,
            _ => Lock::Unseen,
        }
    }

    fn is_of(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|about| (about.dev(), about.ino()) == (self.device, self.inode))
    }
}

/// Takes a shared lock and releases it at once. A worker that locks the file for good tries several times for this reason.
fn ask(file: &File) -> Lock {
    match file.try_lock_shared() {
        Ok(()) => Lock::Free,
        Err(TryLockError::WouldBlock) => Lock::Held,
        Err(TryLockError::Error(_)) => Lock::Unseen,
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { uid, boot, mounts, process, device, inode, path } = self;
        let Process { namespace, pid, started } = process;
        let path = path.as_deref().unwrap_or(Path::new("")).display();
        write!(f, "{uid},{boot},{mounts},{namespace},{pid},{started},{device},{inode},{path}")
    }
}

/// Whether a rule's comment can contain a byte unchanged.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+@:".contains(&byte)
}

#[cfg(test)]
mod tests;
