//! What one worker keeps on disk.
//!
//! `lock` (held while it runs), `id`, `spool/` (finishes the API has not taken), `jobs/<job>-<epoch>/` (scratch of running jobs),
//! `cache/<qid>/` (`/job-cache` of one queue), `content/<sha256>` (kept inputs) and `images.json` (images pulled for jobs). The
//! directory is 0700, so folders below that a container must write to can be open to any user.
//!
//! Blocking calls: they are short, and made at start or once per job.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::{Claim, HeldJob, Qid, QueueName, WorkerId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::executor::{LABEL_LOCK, LABEL_OWNER};
use crate::owner::Owner;
use crate::whole_file::{remove_unfinished, write_durably, write_whole};

/// Characters of a job id that name its files: enough to tell jobs apart by eye; the epoch makes the name unique.
const JOB_CHARS: usize = 16;

/// Longer than a look at the lock takes, and how often it is waited for.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS_MAX: u32 = 10;

/// An exclusively held data directory.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// Unlocked by the system when it is closed, also after a crash.
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory if it is not there and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::DataDirectory { path: path.to_owned(), source };
        // Private is this folder alone: its parents may be shared, as /var/lib/asman is with the private PostgreSQL.
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(failed)?;
        match take(&lock) {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(Error::DataDirectoryBusy(path)),
            Err(TryLockError::Error(source)) => return Err(Error::DataDirectory { path: lock_path, source }),
        }
        for folder in ["jobs", "spool", "cache"] {
            fs::create_dir_all(path.join(folder)).map_err(failed)?;
        }
        remove_unfinished(&path.join("spool"));
        Ok(Self { path, _lock: lock })
    }

    /// The worker id kept here; made at the first call.
    pub(crate) fn worker_id(&self) -> Result<WorkerId, Error> {
        let path = self.path.join("id");
        let failed = |source| Error::DataDirectory { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|error| failed(io::Error::other(error))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = uuid::Uuid::new_v4().to_string();
                write_durably(&path, id.as_bytes()).map_err(failed)?;
                id.parse().map_err(|error| failed(io::Error::other(error)))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Names this directory in container labels without revealing its path.
    pub(crate) fn label(&self) -> String {
        use std::os::unix::ffi::OsStrExt;
        hex::encode(&Sha256::digest(self.path.as_os_str().as_bytes())[..16])
    }

    /// Labels that let others tell whose an object of the engine is. The lock is held as long as the worker runs.
    pub(crate) fn owner_labels(&self) -> HashMap<String, String> {
        let lock = self.lock_file().to_string_lossy().into_owned();
        let owner = self.owner().map(|owner| (LABEL_OWNER.to_owned(), owner.to_string()));
        owner.into_iter().chain([(LABEL_LOCK.to_owned(), lock)]).collect()
    }

    /// This process as the one that holds the directory's lock.
    pub(crate) fn owner(&self) -> Option<Owner> {
        Owner::own(&self.lock_file())
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// `/job-cache` of a queue.
    pub(crate) fn cache(&self, qid: Qid) -> io::Result<PathBuf> {
        let path = self.path.join("cache").join(qid.to_string());
        make_open_folder(&path)?;
        Ok(path)
    }

    /// Where the scratch folder of a claim is.
    pub(crate) fn scratch(&self, job: &HeldJob) -> Scratch {
        Scratch { path: self.path.join("jobs").join(file_stem(job)) }
    }

    /// Makes the scratch folder of a claim.
    pub(crate) fn make_scratch(&self, job: &HeldJob) -> io::Result<Scratch> {
        let scratch = self.scratch(job);
        for folder in [scratch.inputs(), scratch.outputs(), scratch.configs()] {
            make_open_folder(&folder)?;
        }
        Ok(scratch)
    }

    /// What a crash left of earlier jobs, but those that go on.
    pub(crate) fn left_scratch(&self, going_on: &[HeldJob]) -> Vec<PathBuf> {
        let kept: Vec<_> = going_on.iter().map(file_stem).collect();
        let entries = fs::read_dir(self.path.join("jobs")).into_iter().flatten().flatten();
        let left = entries.filter(|entry| !kept.iter().any(|name| entry.file_name() == name.as_str()));
        left.map(|entry| entry.path()).collect()
    }

    /// Where the engine is shown a folder before jobs are; swept with what jobs leave.
    pub(crate) fn probe_folder(&self) -> io::Result<PathBuf> {
        let path = self.path.join("jobs").join(format!("probe-{}", uuid::Uuid::new_v4().simple()));
        make_open_folder(&path)?;
        Ok(path)
    }

    /// Which process groups run, for the executor of scripts.
    pub(crate) fn processes(&self) -> PathBuf {
        self.path.join("processes")
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Inputs that are kept.
    pub(crate) fn content_folder(&self) -> PathBuf {
        self.path.join("content")
    }

    /// The record of images that were pulled or built for jobs.
    pub(crate) fn images_file(&self) -> PathBuf {
        self.path.join("images.json")
    }

    /// The job caches, one folder for each queue.
    pub(crate) fn cache_folder(&self) -> PathBuf {
        self.path.join("cache")
    }

    pub(crate) fn spool_folder(&self) -> PathBuf {
        self.path.join("spool")
    }
}

/// Another worker that looks whether this one lives has the lock for a moment; see [`Owner::life`].
fn take(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOOKS_MAX {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            taken => return taken,
        }
    }
    lock.try_lock()
}

/// A claim and the share of the machine that its job holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeptClaim {
    pub(crate) queue: QueueName,
    pub(crate) claim: Claim,
    /// As the engine names them.
    pub(crate) gpus: Vec<String>,
}

/// One claim's scratch folder.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Becomes `/inputs`.
    pub(crate) fn inputs(&self) -> PathBuf {
        self.path.join("inputs")
    }

    /// Becomes `/outputs`.
    pub(crate) fn outputs(&self) -> PathBuf {
        self.path.join("outputs")
    }

    /// Holds the config files with absolute names, each mounted at its place.
    pub(crate) fn configs(&self) -> PathBuf {
        self.path.join("configs")
    }

    /// Keeps the last chunk of the log.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log.json")
    }

    /// Keeps the claim, for a worker that takes the job over. Without fsync: a crash of the machine ends the container too.
    pub(crate) fn keep_claim(&self, claim: &KeptClaim) -> io::Result<()> {
        write_whole(&self.path.join("claim.json"), &serde_json::to_vec(claim)?)
    }

    /// The claim that was kept here.
    pub(crate) fn kept_claim(&self) -> io::Result<KeptClaim> {
        Ok(serde_json::from_slice(&fs::read(self.path.join("claim.json"))?)?)
    }

    /// A `/job-cache` of the job alone.
    pub(crate) fn own_cache(&self) -> io::Result<PathBuf> {
        let path = self.path.join("cache");
        make_open_folder(&path)?;
        Ok(path)
    }

    /// Becomes `/run/secrets`.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// Becomes `/etc/resolv.conf`, where the engine's own does not serve.
    pub(crate) fn resolver_file(&self) -> PathBuf {
        self.path.join("resolv.conf")
    }

    /// Holds a build's context on its way.
    pub(crate) fn build(&self) -> PathBuf {
        self.path.join("build")
    }

    /// All of it.
    pub(crate) fn folder(&self) -> PathBuf {
        self.path.clone()
    }
}

/// A file name for a claim: plain characters only, since clients choose job ids.
pub(crate) fn file_stem(job: &HeldJob) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let id: String = job.job_id.as_str().chars().take(JOB_CHARS).map(plain).collect();
    // Ids that differ only after their first characters share no claim epoch, so the epoch makes the name unique.
    format!("{id}-{}", job.epoch)
}

/// A folder that a container's user, whoever that is, may write to. The data directory above it keeps others out.
fn make_open_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_at_a_time_and_the_id_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = DataDirectory::open(&path).unwrap();
        let id = first.worker_id().unwrap();
        assert!(matches!(DataDirectory::open(&path), Err(Error::DataDirectoryBusy(_))));
        drop(first);
        let second = DataDirectory::open(&path).unwrap();
        assert_eq!(second.worker_id().unwrap(), id);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_clients_job_id_cannot_name_a_path() {
        let job = HeldJob { job_id: "..weird id.".parse().unwrap(), epoch: 7 };
        assert_eq!(file_stem(&job), "--weird-id--7");
    }
}
