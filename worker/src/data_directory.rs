//! What one worker keeps on disk.
//!
//! It has the files `lock` (locked while the worker runs), `id` and `images.json` (images pulled for jobs), and the folders `spool/`
//! (finishes that the API has not taken), `jobs/<job>-<epoch>/` (scratch folders of running jobs), `cache/<qid>/` (`/job-cache` of one
//! queue) and `content/<sha256>` (kept inputs). The directory has mode 0700, so folders in it that a container must write to can be
//! open to any user.
//!
//! The calls block. They are short, and made at the start or once per job.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::{Claim, ClaimedJob, Qid, QueueName, WorkerId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic_file::{remove_unfinished, write_durably, write_whole};
use crate::error::Error;
use crate::labels::{LABEL_LOCK, LABEL_OWNER};
use crate::owner::Owner;

/// Characters of a job id in the names of its files: enough for people to tell jobs apart. The epoch makes the name unique.
const JOB_CHARS: usize = 16;

/// The worker waits this long, at most [`LOOKS_MAX`] times, while another worker checks the lock. A check takes less time than that.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS_MAX: u32 = 10;

/// A data directory that this process has locked.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// The system unlocks the file when it is closed, also after a crash.
    _lock: File,
}

impl DataDirectory {
    /// Creates the directory if it does not exist, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::DataDirectory { path: path.to_owned(), source };
        // Only this folder is private. Its parents may be shared: the private PostgreSQL also uses /var/lib/asman.
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

    /// The worker id in this directory. The first call generates it.
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

    /// Labels that tell other workers which worker owns an object of the engine. The lock file is locked while that worker runs.
    pub(crate) fn owner_labels(&self) -> HashMap<String, String> {
        let lock = self.lock_file().to_string_lossy().into_owned();
        let owner = self.owner().map(|owner| (LABEL_OWNER.to_owned(), owner.to_string()));
        owner.into_iter().chain([(LABEL_LOCK.to_owned(), lock)]).collect()
    }

    /// This process, which has the directory's lock.
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

    /// The scratch folder of a claim.
    pub(crate) fn scratch(&self, job: &ClaimedJob) -> Scratch {
        Scratch { path: self.path.join("jobs").join(file_stem(job)) }
    }

    /// Creates the scratch folder of a claim.
    pub(crate) fn make_scratch(&self, job: &ClaimedJob) -> io::Result<Scratch> {
        let scratch = self.scratch(job);
        for folder in [scratch.inputs(), scratch.outputs(), scratch.configs()] {
            make_open_folder(&folder)?;
        }
        Ok(scratch)
    }

    /// Scratch folders that a crash left, without those of jobs that continue.
    pub(crate) fn left_scratch(&self, going_on: &[ClaimedJob]) -> Vec<PathBuf> {
        let kept: Vec<_> = going_on.iter().map(file_stem).collect();
        let entries = fs::read_dir(self.path.join("jobs")).into_iter().flatten().flatten();
        let left = entries.filter(|entry| !kept.iter().any(|name| entry.file_name() == name.as_str()));
        left.map(|entry| entry.path()).collect()
    }

    /// The folder of the start-up probe. It is removed together with what jobs leave.
    pub(crate) fn probe_folder(&self) -> io::Result<PathBuf> {
        let path = self.path.join("jobs").join(format!("probe-{}", uuid::Uuid::new_v4().simple()));
        make_open_folder(&path)?;
        Ok(path)
    }

    /// Records of running process groups, for the engine of scripts.
    pub(crate) fn processes(&self) -> PathBuf {
        self.path.join("processes")
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The cache of inputs.
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

/// Locks the file. Tries several times, because another worker that checks whether this one lives locks the file for a moment; see
/// [`Owner::life`].
fn take(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOOKS_MAX {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            taken => return taken,
        }
    }
    lock.try_lock()
}

/// A claim, and the gpus that its job has.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeptClaim {
    pub(crate) queue: QueueName,
    pub(crate) claim: Claim,
    /// Gpus, as the engine names them.
    pub(crate) gpus: Vec<String>,
}

/// One claim's scratch folder.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// The job sees it as `/inputs`.
    pub(crate) fn inputs(&self) -> PathBuf {
        self.path.join("inputs")
    }

    /// The job sees it as `/outputs`.
    pub(crate) fn outputs(&self) -> PathBuf {
        self.path.join("outputs")
    }

    /// Config files with absolute names; each is mounted at its path.
    pub(crate) fn configs(&self) -> PathBuf {
        self.path.join("configs")
    }

    /// File for the last chunk of the log.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log.json")
    }

    /// Stores the claim for a worker that takes the job over. It needs no fsync, because a crash of the machine also ends the
    /// container.
    pub(crate) fn keep_claim(&self, claim: &KeptClaim) -> io::Result<()> {
        write_whole(&self.path.join("claim.json"), &serde_json::to_vec(claim)?)
    }

    /// Reads the stored claim.
    pub(crate) fn kept_claim(&self) -> io::Result<KeptClaim> {
        Ok(serde_json::from_slice(&fs::read(self.path.join("claim.json"))?)?)
    }

    /// A `/job-cache` for this job only.
    pub(crate) fn own_cache(&self) -> io::Result<PathBuf> {
        let path = self.path.join("cache");
        make_open_folder(&path)?;
        Ok(path)
    }

    /// The job sees it as `/run/secrets`.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// The job sees it as `/etc/resolv.conf`, if the engine's own file does not work for the job.
    pub(crate) fn resolver_file(&self) -> PathBuf {
        self.path.join("resolv.conf")
    }

    /// The build context before it is sent to the engine.
    pub(crate) fn build(&self) -> PathBuf {
        self.path.join("build")
    }

    /// The whole scratch folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.path.clone()
    }
}

/// A file name for a claim. It has plain characters only, because clients choose job ids.
pub(crate) fn file_stem(job: &ClaimedJob) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let id: String = job.job_id.as_str().chars().take(JOB_CHARS).map(plain).collect();
    // Two claims never have the same epoch, so the epoch makes the name unique.
    format!("{id}-{}", job.epoch)
}

/// Creates a folder that any user of a container may write to. The data directory above it keeps other users out.
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
        let job = ClaimedJob { job_id: "..weird id.".parse().unwrap(), epoch: 7 };
        assert_eq!(file_stem(&job), "--weird-id--7");
    }
}
