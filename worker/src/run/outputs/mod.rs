//! Files that a job left in `/outputs`: walked without following links, hashed, stored.
//!
//! Called when the container has ended, so nothing changes under the walk. Only regular files count; links, pipes and devices are
//! skipped with one log line each, because following them would hand out this machine's files or hang. Up to 200 bytes travel in
//! the result, larger files are streamed to the API's store under their SHA-256.
//! Bounds: 10,000 files, 100 GiB in all (a sparse file counts by its length), 1 MiB inline in all, a result under 7 MiB, 4 transfers at a time, 100 log lines about skipped files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use protocol::limits::{BLOB_BYTES_MAX, INLINE_BYTES_MAX, OUTPUTS_MAX, RESULT_BYTES_MAX};
use protocol::{DataRef, DataRefType, Step, check_input_path};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::{RunError, Task};

mod upload;

const TRANSFERS_MAX: usize = 4;
const INLINE_TOTAL_MAX: u64 = 1024 * 1024;
/// Leaves room for the rest of the finish request.
const LISTED_BYTES_MAX: usize = RESULT_BYTES_MAX - 1024 * 1024;
/// Rough size of one entry of the result beside its name.
const ENTRY_BYTES: usize = 256;
const SKIPPED_LINES_MAX: usize = 100;
/// Holes cost a job nothing, but reading them costs us.
const TOTAL_BYTES_MAX: u64 = 100 * 1024 * 1024 * 1024;

/// A regular file to hand back.
struct Found {
    name: String,
    path: PathBuf,
    size: u64,
}

/// What the walk saw.
#[derive(Default)]
struct Walk {
    files: Vec<Found>,
    /// Bytes that the entries so far take in the result.
    listed_bytes: usize,
    /// Bytes of all files so far.
    total_bytes: u64,
    /// One sentence each.
    skipped: Vec<String>,
}

/// Stores all outputs and gives their references by name.
pub(super) async fn collect(task: &Task<'_>) -> Result<BTreeMap<String, DataRef>, RunError> {
    let folder = task.scratch.outputs();
    let walked = tokio::task::spawn_blocking(move || walk(&folder)).await;
    let walked = walked.map_err(|error| RunError::Host(format!("reading outputs: {error}")))?;
    for line in walked.skipped.iter().take(SKIPPED_LINES_MAX) {
        task.log.error(Step::Running, line).await;
    }
    let mut inline_left = INLINE_TOTAL_MAX;
    let mut stores = Vec::new();
    for file in walked.files {
        let is_small = file.size <= inline_left.min(INLINE_BYTES_MAX as u64);
        if is_small {
            inline_left -= file.size;
        }
        stores.push(store(task, file, is_small).boxed());
    }
    stream::iter(stores).buffer_unordered(TRANSFERS_MAX).try_filter_map(|entry| async { Ok(entry) }).try_collect().await
}

/// One output's entry; none when the file cannot be read, which the log then says.
async fn store(task: &Task<'_>, file: Found, is_small: bool) -> Result<Option<(String, DataRef)>, RunError> {
    let path = file.path.clone();
    let read = move || if is_small { inline(&path) } else { hash(&path) };
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| RunError::Host(error.to_string()))?;
    let reference = match read {
        Ok(reference) => reference,
        Err(error) if let Some(why) = loss(&error) => {
            task.log.error(Step::Running, format!("output {:?} was skipped: {why}", file.name)).await;
            return Ok(None);
        }
        Err(error) => return Err(RunError::Host(format!("reading an output: {error}"))),
    };
    if let Some(sha256) = &reference.hash {
        upload::put(task, &file, sha256).await?;
    }
    Ok(Some((file.name, reference)))
}

/// Why one file is left out and the others are not. Anything else is a fault of this machine.
fn loss(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some("the worker may not read it; make it readable for all"),
        io::ErrorKind::NotFound => Some("it has vanished"),
        // What opening a link says without following it, and what `open` says of other kinds.
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Some("it is no longer a regular file"),
        io::ErrorKind::InvalidInput => Some("it is no longer a regular file"),
        _ => None,
    }
}

fn inline(path: &Path) -> io::Result<DataRef> {
    let mut bytes = Vec::new();
    open(path)?.take(INLINE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(DataRef { value: STANDARD.encode(bytes).into(), kind: Some(DataRefType::Base64), hash: None })
}

fn hash(path: &Path) -> io::Result<DataRef> {
    let mut hash = Sha256::new();
    io::copy(&mut open(path)?, &mut hash)?;
    let sha256 = hex::encode(hash.finalize());
    Ok(DataRef { value: sha256.clone().into(), kind: Some(DataRefType::Key), hash: Some(sha256) })
}

/// Opens a file that the walk saw, unless it has become something else.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn walk(folder: &Path) -> Walk {
    let mut walk = Walk::default();
    let entries = walkdir::WalkDir::new(folder).min_depth(1).follow_links(false).same_file_system(true).sort_by_file_name();
    for entry in entries {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => (),
            Ok(entry) => walk.see(folder, &entry),
            Err(error) => {
                let path = error.path().and_then(|path| path.strip_prefix(folder).ok()).unwrap_or(Path::new(""));
                let cause = error.io_error().map_or_else(|| "it cannot be read".to_owned(), ToString::to_string);
                walk.skipped.push(format!("output {:?} was skipped: {cause}", path.to_string_lossy()));
            }
        }
        if walk.files.len() == OUTPUTS_MAX || walk.listed_bytes > LISTED_BYTES_MAX {
            walk.skipped.insert(0, format!("more outputs than fit in a result: only the first {} are kept", walk.files.len()));
            break;
        }
    }
    walk
}

impl Walk {
    /// Takes a regular file with a plain name; says why not otherwise.
    fn see(&mut self, folder: &Path, entry: &walkdir::DirEntry) {
        let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        match judge(relative, entry) {
            Ok(found) if self.total_bytes.saturating_add(found.size) > TOTAL_BYTES_MAX => {
                self.skipped.push(format!("output {:?} was skipped: the outputs are larger than 100 GiB in all", found.name));
            }
            Ok(found) => {
                self.total_bytes += found.size;
                self.listed_bytes += ENTRY_BYTES + 2 * found.name.len();
                self.files.push(found);
            }
            Err(why) => self.skipped.push(format!("output {:?} was skipped: {why}", relative.to_string_lossy())),
        }
    }
}

fn judge(relative: &Path, entry: &walkdir::DirEntry) -> Result<Found, String> {
    let name = relative.to_str().ok_or("its name is no UTF-8")?;
    check_input_path(name).map_err(|error| error.to_string())?;
    let kind = entry.file_type();
    if kind.is_symlink() {
        return Err("it is a symbolic link".to_owned());
    }
    if !kind.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let size = entry.metadata().map_err(|error| error.to_string())?.len();
    if size > BLOB_BYTES_MAX {
        return Err("it is larger than 5 GiB".to_owned());
    }
    Ok(Found { name: name.to_owned(), path: entry.path().to_owned(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_what_has_become_a_link_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::fs::write(at("file"), "x").unwrap();
        let walked = walk(folder.path());
        assert_eq!(walked.files.iter().map(|file| &file.name).collect::<Vec<_>>(), ["file"]);
        assert_eq!(walked.skipped, ["output \"socket\" was skipped: it is no regular file"]);
        std::fs::remove_file(at("file")).unwrap();
        assert_eq!(loss(&open(&at("file")).unwrap_err()), Some("it has vanished"));
        std::os::unix::fs::symlink("/etc/passwd", at("file")).unwrap();
        assert_eq!(loss(&open(&at("file")).unwrap_err()), Some("it is no longer a regular file"));
        assert_eq!(loss(&open(folder.path()).unwrap_err()), Some("it is no longer a regular file"));
    }

    #[test]
    fn holes_count_by_their_length() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..21 {
            File::create(folder.path().join(format!("{n:02}"))).unwrap().set_len(BLOB_BYTES_MAX).unwrap();
        }
        let walked = walk(folder.path());
        assert_eq!((walked.files.len(), walked.skipped.len()), (20, 1));
        assert!(walked.skipped[0].contains("\"20\" was skipped: the outputs are larger than 100 GiB"));
    }
}
