//! The cache of inputs: `content/<sha256>` in the data directory.
//!
//! The worker stores only bytes that it hashed itself, under the hash that it computed. The hash that a client gives decides which file
//! the worker looks for, never what a file contains. Jobs get hard links (copies where the file system has none) below read-only mounts,
//! and the files have mode 0444. While a job fetches a hash, it has the [`Fetching`] of that hash, so that a second job waits for the
//! download instead of repeating it.
//!
//! Bounds: `--input-cache` bytes; the least recently used files are removed first. The next start removes unfinished downloads (`*.part`)
//! of a crash. The time of last use is the file's access time, so it survives a restart without an index.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

const PART: &str = "part";

#[derive(Clone, Copy, Debug)]
struct KeptFile {
    bytes: u64,
    used: SystemTime,
}

/// The cache of one data directory.
#[derive(Debug)]
pub(crate) struct Contents {
    folder: PathBuf,
    /// 0 when the cache is off.
    bytes_max: u64,
    entries: Mutex<HashMap<String, KeptFile>>,
    fetching: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// The right to fetch one hash.
#[derive(Debug)]
pub(crate) struct Fetching<'a> {
    contents: &'a Contents,
    /// `Some` until this is dropped.
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

/// An unfinished download. It is removed on drop, unless it was moved. After a crash the next start removes it.
#[derive(Debug)]
pub(crate) struct PartFile(PathBuf);

impl PartFile {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.guard = None;
        self.contents.fetching.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, lock| Arc::strong_count(lock) > 1);
    }
}

impl Contents {
    /// Reads the folder and removes files that do not belong there.
    pub(crate) fn open(folder: PathBuf, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut entries = HashMap::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() && protocol::is_sha256(&name) => {
                    entries.insert(name, KeptFile { bytes: metadata.len(), used: metadata.accessed()? });
                }
                // A file that cannot be removed is just not used.
                _ => drop(fs::remove_file(entry.path())),
            }
        }
        let contents = Self { folder, bytes_max, entries: Mutex::new(entries), fetching: Mutex::default() };
        contents.shrink_to(bytes_max);
        Ok(contents)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, KeptFile>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the cache is on.
    pub(crate) const fn is_on(&self) -> bool {
        self.bytes_max > 0
    }

    /// Waits until no other job fetches this hash.
    pub(crate) async fn fetching(&self, sha256: &str) -> Fetching<'_> {
        let lock = {
            let mut all = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(sha256.to_owned()).or_default())
        };
        Fetching { contents: self, guard: Some(lock.lock_owned().await) }
    }

    /// Puts kept content at `target`. Returns whether the cache had it.
    pub(crate) fn give(&self, sha256: &str, target: &Path) -> io::Result<bool> {
        // Keep the lock, so that the file is not removed in between.
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(sha256) else { return Ok(false) };
        let kept = self.folder.join(sha256);
        match link_or_copy(&kept, target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !kept.exists() => {
                // Somebody removed the file.
                entries.remove(sha256);
                return Ok(false);
            }
            other => other?,
        }
        entry.used = SystemTime::now();
        note_use(&kept, entry.used);
        Ok(true)
    }

    /// A new file to download to, on the file system of the cache.
    pub(crate) fn part(&self) -> PartFile {
        PartFile(self.folder.join(format!("{}.{PART}", uuid::Uuid::new_v4())))
    }

    /// Stores a download under its computed hash and puts it at `target`.
    pub(crate) fn keep(&self, part: &PartFile, sha256: &str, target: &Path) -> io::Result<()> {
        let part = part.path();
        let file = File::open(part)?;
        let bytes = file.metadata()?.len();
        fs::set_permissions(part, Permissions::from_mode(0o444))?;
        if bytes > self.bytes_max {
            return move_or_copy(part, target);
        }
        // Write the bytes to disk before the file gets its name, so that a crash does not leave a name without its bytes.
        file.sync_all()?;
        link_or_copy(part, target)?;
        fs::rename(part, self.folder.join(sha256))?;
        self.lock().insert(sha256.to_owned(), KeptFile { bytes, used: SystemTime::now() });
        self.shrink_to(self.bytes_max);
        Ok(())
    }

    /// Removes the least recently used files until at most this many bytes are left. Returns the number of bytes removed.
    pub(crate) fn shrink_to(&self, bytes: u64) -> u64 {
        let mut entries = self.lock();
        let mut total: u64 = entries.values().map(|entry| entry.bytes).sum();
        let mut dropped = 0;
        if total <= bytes {
            return 0;
        }
        let mut by_use: Vec<(SystemTime, String)> = entries.iter().map(|(name, entry)| (entry.used, name.clone())).collect();
        by_use.sort_unstable();
        for (_, name) in by_use {
            if total <= bytes {
                break;
            }
            match fs::remove_file(self.folder.join(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "cannot remove a kept input");
                    continue;
                }
                _ => (),
            }
            if let Some(entry) = entries.remove(&name) {
                total -= entry.bytes;
                dropped += entry.bytes;
            }
        }
        dropped
    }

    /// Bytes in the cache.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().values().map(|entry| entry.bytes).sum()
    }
}

/// Never overwrites a file: two names may be the same on a file system that ignores case.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => Err(error),
        // The target is on another file system, the file has too many links, or the file system has no links.
        Err(_) => copy(from, to),
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = File::create_new(to)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    target.set_permissions(Permissions::from_mode(0o444))
}

/// Moves a file to a path that must not exist yet.
pub(crate) fn move_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    link_or_copy(from, to)?;
    fs::remove_file(from)
}

/// Sets the access time. If this fails, the worker takes the last use for earlier than it was, but only after a restart.
fn note_use(path: &Path, at: SystemTime) {
    let _ = File::open(path).and_then(|file| file.set_times(FileTimes::new().set_accessed(at)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn keep(contents: &Contents, bytes: &[u8], target: &Path) -> String {
        let part = contents.part();
        fs::write(part.path(), bytes).unwrap();
        let sha256 = protocol::sha256_hex(bytes);
        contents.keep(&part, &sha256, target).unwrap();
        sha256
    }

    #[test]
    fn the_least_recently_used_file_is_removed_first_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let contents = Contents::open(at("content"), 10).unwrap();
        let hashes = [b"aaaa", b"bbbb"].map(|bytes| keep(&contents, bytes, &at(str::from_utf8(bytes).unwrap())));
        let old = FileTimes::new().set_accessed(SystemTime::now() - Duration::from_hours(1));
        File::open(at("content").join(&hashes[1])).unwrap().set_times(old).unwrap();
        assert!(contents.give(&hashes[0], &at("again")).unwrap());
        drop(contents);
        let contents = Contents::open(at("content"), 10).unwrap();
        keep(&contents, b"cccc", &at("cccc"));
        assert_eq!(contents.bytes(), 8);
        assert!(contents.give(&hashes[0], &at("third")).unwrap());
        assert!(!contents.give(&hashes[1], &at("none")).unwrap());
        assert_eq!(fs::read(at("bbbb")).unwrap(), b"bbbb", "a job keeps what it was given");
    }

    #[test]
    fn what_is_larger_than_the_cache_is_given_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let contents = Contents::open(folder.path().join("content"), 3).unwrap();
        keep(&contents, b"four", &folder.path().join("a"));
        assert_eq!((contents.bytes(), fs::read_dir(folder.path().join("content")).unwrap().count()), (0, 0));
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"four");
    }

    #[test]
    fn a_start_removes_foreign_files_and_a_lost_file_is_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let content = folder.path().join("content");
        fs::create_dir(&content).unwrap();
        for name in ["0.part", "readme", &"A".repeat(64)] {
            fs::write(content.join(name), "x").unwrap();
        }
        let contents = Contents::open(content.clone(), 10).unwrap();
        assert_eq!(fs::read_dir(&content).unwrap().count(), 0);
        let hash = keep(&contents, b"lost", &folder.path().join("a"));
        assert_eq!(fs::metadata(content.join(&hash)).unwrap().permissions().mode() & 0o777, 0o444);
        fs::remove_file(content.join(&hash)).unwrap();
        assert!(!contents.give(&hash, &folder.path().join("b")).unwrap());
    }

    #[test]
    fn no_file_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let contents = Contents::open(folder.path().join("content"), 10).unwrap();
        let hash = keep(&contents, b"one", &folder.path().join("a"));
        assert_eq!(contents.give(&hash, &folder.path().join("a")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(copy(&folder.path().join("a"), &folder.path().join("a")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
