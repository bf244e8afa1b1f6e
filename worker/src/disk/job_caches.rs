//! The `/job-cache` of each queue: `cache/<qid>/` in the data directory, bounded.
//!
//! The worker measures a cache after jobs of its queue have ended, and changes it only while no job of the queue runs: a job that starts
//! in that time waits. It removes the least recently used files (read or written) until a fifth of the bound is free. It empties a cache
//! of more than [`FILES_MAX`] files completely, because sorting so many would take memory without bound.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::Qid;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

const FILES_MAX: usize = 200_000;

#[derive(Debug)]
struct Queue {
    /// Jobs lock it for reading; the removal of files locks it for writing.
    jobs: Arc<RwLock<()>>,
    /// A job has run since the last measurement.
    is_changed: AtomicBool,
}

/// All job caches of one data directory.
#[derive(Debug)]
pub(crate) struct JobCaches {
    folder: PathBuf,
    bytes_max: u64,
    queues: Mutex<HashMap<String, Arc<Queue>>>,
}

/// One job's use of its queue's cache.
#[derive(Debug)]
pub(crate) struct CacheInUse {
    queue: Arc<Queue>,
    _jobs: OwnedRwLockReadGuard<()>,
}

impl Drop for CacheInUse {
    fn drop(&mut self) {
        self.queue.is_changed.store(true, Ordering::Relaxed);
    }
}

impl JobCaches {
    pub(super) fn new(folder: PathBuf, bytes_max: u64) -> Self {
        Self { folder, bytes_max, queues: Mutex::default() }
    }

    /// A queue that is seen for the first time counts as changed: an earlier process may have left files.
    fn queue(&self, name: &str) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Queue { jobs: Arc::default(), is_changed: AtomicBool::new(true) });
        Arc::clone(queues.entry(name.to_owned()).or_insert_with(new))
    }

    /// Protects a queue's cache while a job runs.
    pub(crate) async fn enter(&self, qid: Qid) -> CacheInUse {
        let queue = self.queue(&qid.to_string());
        let jobs = Arc::clone(&queue.jobs).read_owned().await;
        CacheInUse { queue, _jobs: jobs }
    }

    /// Brings caches that have grown above the bound back below it.
    pub(super) async fn tidy(&self) {
        let bytes_max = self.bytes_max;
        self.each(false, move |path| trim(path, bytes_max, bytes_max / 5 * 4)).await;
    }

    /// Removes about this many bytes. Returns how many it removed.
    pub(super) async fn shed(&self, bytes: u64) -> u64 {
        let mut freed = 0;
        for name in self.names() {
            if freed >= bytes {
                break;
            }
            let wanted = bytes - freed;
            let shed = move |path: &Path| trim(path, 0, measure(path).saturating_sub(wanted));
            freed += self.on(&name, true, shed).await;
        }
        freed
    }

    async fn each(&self, is_forced: bool, work: impl Fn(&Path) -> u64 + Clone + Send + 'static) {
        for name in self.names() {
            self.on(&name, is_forced, work.clone()).await;
        }
    }

    /// Runs `work` on a cache if no job uses it and, unless `is_forced`, if it has changed.
    async fn on(&self, name: &str, is_forced: bool, work: impl FnOnce(&Path) -> u64 + Send + 'static) -> u64 {
        let queue = self.queue(name);
        let Ok(alone) = Arc::clone(&queue.jobs).try_write_owned() else { return 0 };
        if !queue.is_changed.swap(false, Ordering::Relaxed) && !is_forced {
            return 0;
        }
        let path = self.folder.join(name);
        let freed = tokio::task::spawn_blocking(move || work(&path)).await.unwrap_or(0);
        drop(alone);
        if freed > 0 {
            tracing::info!(freed_mib = freed >> 20, "the worker removed the least recently used files of a job cache");
        }
        freed
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

/// Files in a folder. A link counts as a file and is never followed.
fn files(folder: &Path) -> impl Iterator<Item = (PathBuf, fs::Metadata)> {
    let entries = walkdir::WalkDir::new(folder).min_depth(1).follow_links(false).same_file_system(true).into_iter().flatten();
    let files = entries.filter(|entry| !entry.file_type().is_dir());
    files.filter_map(|entry| Some((entry.path().to_owned(), entry.metadata().ok()?)))
}

/// Bytes on disk.
fn measure(folder: &Path) -> u64 {
    files(folder).map(|(_, metadata)| metadata.blocks() * 512).sum()
}

/// When there are more than `above` bytes, removes files until `to` bytes are left. Returns how many bytes it removed.
fn trim(folder: &Path, above: u64, to: u64) -> u64 {
    let mut total = 0;
    let mut by_use = Vec::new();
    for (path, metadata) in files(folder) {
        let bytes = metadata.blocks() * 512;
        total += bytes;
        if by_use.len() <= FILES_MAX {
            by_use.push((metadata.atime().max(metadata.mtime()), path, bytes));
        }
    }
    if total <= above {
        return 0;
    }
    if by_use.len() > FILES_MAX {
        return empty(folder).map_or(0, |()| total);
    }
    by_use.sort_unstable();
    let mut left = total;
    for (_, path, bytes) in by_use {
        if left <= to {
            break;
        }
        match fs::remove_file(&path) {
            Ok(()) => left -= bytes,
            Err(error) => tracing::warn!(%error, "cannot remove a file of a job cache"),
        }
    }
    remove_empty_folders(folder);
    total - left
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if fs::symlink_metadata(&path)?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }?;
    }
    Ok(())
}

fn remove_empty_folders(folder: &Path) {
    let entries = walkdir::WalkDir::new(folder).min_depth(1).contents_first(true).follow_links(false).into_iter().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_dir()) {
        // This fails for a folder that is not empty, which then stays.
        let _ = fs::remove_dir(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, FileTimes};
    use std::time::{Duration, SystemTime};

    fn write(path: &Path, bytes: usize, hours_ago: u64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![1; bytes]).unwrap();
        let at = SystemTime::now() - Duration::from_hours(hours_ago);
        File::open(path).unwrap().set_times(FileTimes::new().set_accessed(at).set_modified(at)).unwrap();
    }

    #[tokio::test]
    async fn the_least_recently_used_files_go_when_no_job_runs() {
        let folder = tempfile::tempdir().unwrap();
        let qid = "q".parse::<protocol::QueueName>().unwrap().qid();
        let at = |name: &str| folder.path().join(qid.to_string()).join(name);
        for (name, hours) in [("old/er/a", 3), ("b", 2), ("c", 1)] {
            write(&at(name), 40 * 1024, hours);
        }
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        let caches = JobCaches::new(folder.path().to_owned(), 100 * 1024);
        let job = caches.enter(qid).await;
        caches.tidy().await;
        assert!(at("old/er/a").exists(), "a job runs");
        drop(job);
        caches.tidy().await;
        assert!(!at("old").exists() && at("b").exists() && at("c").exists() && Path::new("/etc/passwd").exists());
        assert!(caches.shed(1).await > 0);
        assert!(!at("b").exists() && at("c").exists());
    }
}
