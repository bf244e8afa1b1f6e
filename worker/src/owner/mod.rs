//! Whose an object of the engine or of the packet filter is, and whether its worker is dead.
//!
//! A worker that starts finds networks, sandboxes and rules of others. It may remove those of a worker that is dead, and has to be
//! certain of it: a lock file that cannot be seen, a process of another namespace, an engine that does not know a network, another machine:
//! none of these proves anything. So every object carries an [`Owner`], by which whoever meets it can tell what it can know:
//! the lock file counts only when it is the same file (device and inode) on the same kernel (boot id), the process only in the same
//! process namespace.
//!
//! Invariant: [`Owner::life`] is [`Life::Dead`] only when a live worker could not look the same.

mod here;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(crate) use here::Here;
use here::Process;

/// Fields of the text form, in this order, separated by commas; the path is the last one.
const N_FIELDS: usize = 9;
/// The text must fit into the comment of a rule, which the kernel bounds at 255.
const TEXT_MAX: usize = 230;

/// What its worker said of itself when an object was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    uid: u32,
    /// Of the kernel: another one is another machine, or this one before it was started anew.
    boot: String,
    /// Namespace in which `path` names the lock file.
    mounts: u64,
    process: Process,
    device: u64,
    inode: u64,
    /// Of the lock file. None: too long or too odd for the text.
    path: Option<PathBuf>,
}

/// What is known of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It runs.
    Alive,
    /// It does not run any more, for certain.
    Dead,
    /// It cannot be seen from here.
    Unknown,
}

/// Which process an object goes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// The one that made it.
    WithItsProcess,
    /// The next one of the same data directory takes it over as it is.
    WithItsDataDirectory,
}

/// What a look at the lock file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    Held,
    Free,
    /// The path is looked up as its owner does, and another file or none is there.
    Gone,
    Unseen,
}

impl Owner {
    /// This process, with the lock file that it holds. None: the system does not tell who this process is.
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

    /// Whether the worker lives, as far as it can be told from here.
    pub(crate) fn life(&self, lasts: Lasts, here: Option<&Here>) -> Life {
        let Some(here) = here.filter(|here| here.boot == self.boot) else { return Life::Unknown };
        let process = here.life_of(&self.process);
        match (self.lock(here), lasts) {
            (Lock::Held, _) => Life::Alive,
            (Lock::Free, _) => Life::Dead,
            // The process that made it need not be the one that has it now.
            (Lock::Unseen, Lasts::WithItsDataDirectory) if process == Life::Dead => Life::Unknown,
            (Lock::Gone | Lock::Unseen, _) => process,
        }
    }

    /// Whether its objects are this user's to remove: root cares for all of its machine.
    pub(crate) fn is_in_reach(&self, here: Option<&Here>) -> bool {
        here.is_some_and(|here| here.uid == self.uid || (here.uid == 0 && here.boot == self.boot))
    }

    fn lock(&self, here: &Here) -> Lock {
        let Some(path) = &self.path else { return Lock::Unseen };
        // Without waiting, should it be a pipe by now.
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

/// A shared lock that is given back at once; whoever takes the lock for good tries for a moment.
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

/// What stands in a rule's comment as it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+@:".contains(&byte)
}

#[cfg(test)]
mod tests;
