//! Decides which files of `/outputs` go into the result.
//!
//! Every file is either taken or counted as missing, with the reason. A link counts as its target, but under the link's name.
//! Bounds: [`ENTRIES_MAX`] names, after which the count says that there are more, and [`LINKS_MAX`] followed links.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::limits::{BLOB_BYTES_MAX, OUTPUTS_BYTES_MAX, OUTPUTS_MAX, PATH_BYTES_MAX, RESULT_BYTES_MAX};
use protocol::{MissingCode, MissingOutputs, check_input_path};
use rustix::fs::{FileType, Stat};

use super::folder::{Folder, FolderEntry};

/// Most bytes of the list of outputs. This leaves room for the rest of the finish request.
const LISTED_BYTES_MAX: usize = RESULT_BYTES_MAX - 1024 * 1024;
/// Approximate size of one entry of the result without its name.
const ENTRY_BYTES: usize = 256;
/// Most names that a walk visits.
const ENTRIES_MAX: usize = 1_000_000;
/// Most followed links, because links can make endlessly many names for a few files.
const LINKS_MAX: usize = 2 * OUTPUTS_MAX;

/// A regular file to store.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) size: u64,
    folder: Arc<Folder>,
    /// Path from the top of the folder, without links.
    path: PathBuf,
}

impl Found {
    /// Opens the file. Fails if it is not a regular file any more.
    pub(super) fn open(&self) -> std::io::Result<std::fs::File> {
        self.folder.open_file(&self.path)
    }
}

/// The result of a walk.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) files: Vec<Found>,
    pub(super) missing: MissingOutputs,
}

/// Walks through everything below a folder.
pub(super) fn walk(folder: &Path) -> std::io::Result<Walked> {
    let folder = Arc::new(Folder::open(folder)?);
    let top = folder.stat()?;
    let mut walk = Walk {
        folder,
        walked: Walked::default(),
        device: top.st_dev,
        within: vec![identity(&top)],
        listed_bytes: 0,
        total_bytes: 0,
        n_seen: 0,
        n_links: 0,
    };
    walk.enter(Path::new(""), "");
    Ok(walk.walked)
}

struct Walk {
    folder: Arc<Folder>,
    walked: Walked,
    device: u64,
    /// The folders that contain the current position. A link to one of them would form a circle.
    within: Vec<(u64, u64)>,
    /// Bytes of the entries so far in the result.
    listed_bytes: usize,
    /// Bytes of all files so far.
    total_bytes: u64,
    n_seen: usize,
    n_links: usize,
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

impl Walk {
    /// Walks through the folder at `path`. `name` is its name in the result.
    fn enter(&mut self, path: &Path, name: &str) {
        let left = ENTRIES_MAX - self.n_seen;
        let (entries, has_more) = match self.folder.list(path, left) {
            Ok(listed) => listed,
            Err(error) => return self.walked.missing.note(code_of(&error), name),
        };
        for entry in entries {
            if self.n_seen == ENTRIES_MAX {
                return self.walked.missing.note_more();
            }
            self.n_seen += 1;
            let below = entry.name.to_string_lossy();
            let below = if name.is_empty() { below.into_owned() } else { format!("{name}/{below}") };
            let is_text = entry.name.to_str().is_some();
            self.see(path, &entry, below, is_text);
        }
        if has_more {
            self.walked.missing.note_more();
        }
    }

    fn see(&mut self, parent: &Path, entry: &FolderEntry, name: String, is_text: bool) {
        if !is_text || name.len() > PATH_BYTES_MAX {
            return self.walked.missing.note(MissingCode::Name, &name);
        }
        if entry.kind() != FileType::Symlink {
            let path = parent.join(&entry.name);
            return self.take(path, entry, name);
        }
        self.n_links += 1;
        if self.n_links > LINKS_MAX {
            return self.walked.missing.note(MissingCode::TooMany, &name);
        }
        match self.folder.follow(parent, &entry.name) {
            Some(target) => self.take(target.path, &target.entry, name),
            None => self.walked.missing.note(MissingCode::Link, &name),
        }
    }

    fn take(&mut self, path: PathBuf, entry: &FolderEntry, name: String) {
        match entry.kind() {
            FileType::Directory if self.within.contains(&identity(&entry.stat)) => {
                self.walked.missing.note(MissingCode::Link, &name);
            }
            // A folder on another file system does not belong to the job.
            FileType::Directory if entry.stat.st_dev != self.device => self.walked.missing.note(MissingCode::NotAFile, &name),
            FileType::Directory => {
                self.within.push(identity(&entry.stat));
                self.enter(&path, &name);
                self.within.pop();
            }
            FileType::RegularFile => self.take_file(path, entry.size(), name),
            _ => self.walked.missing.note(MissingCode::NotAFile, &name),
        }
    }

    fn take_file(&mut self, path: PathBuf, size: u64, name: String) {
        let listed_bytes = self.listed_bytes + ENTRY_BYTES + 2 * name.len();
        let code = if check_input_path(&name).is_err() {
            MissingCode::Name
        } else if size > BLOB_BYTES_MAX || self.total_bytes.saturating_add(size) > OUTPUTS_BYTES_MAX {
            MissingCode::TooLarge
        } else if self.walked.files.len() >= OUTPUTS_MAX || listed_bytes > LISTED_BYTES_MAX {
            MissingCode::TooMany
        } else {
            self.listed_bytes = listed_bytes;
            self.total_bytes += size;
            self.walked.files.push(Found { name, size, folder: Arc::clone(&self.folder), path });
            return;
        };
        self.walked.missing.note(code, &name);
    }
}

/// Why a single file or folder is left out. The caller handles errors that are not the job's fault.
pub(super) fn code_of(error: &std::io::Error) -> MissingCode {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => MissingCode::Unreadable,
        _ => MissingCode::Changed,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use protocol::Missing;

    use super::*;

    fn names(walked: &Walked) -> Vec<&str> {
        walked.files.iter().map(|file| file.name.as_str()).collect()
    }

    fn missing(walked: Walked) -> Vec<(MissingCode, u64, Vec<String>)> {
        let missing: Missing = walked.missing.into_missing().unwrap_or_default();
        missing.why.into_iter().map(|why| (why.code, why.outputs, why.names)).collect()
    }

    #[test]
    fn what_is_not_a_file_is_counted_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::write(at("file"), "x").unwrap();
        fs::write(at("new\nline"), "x").unwrap();
        symlink("/etc/passwd", at("link")).unwrap();
        let walked = walk(folder.path()).unwrap();
        assert_eq!(names(&walked), ["file"]);
        let one = |code, name: &str| (code, 1, vec![name.to_owned()]);
        let expected =
            [one(MissingCode::NotAFile, "socket"), one(MissingCode::Link, "link"), one(MissingCode::Name, "new\nline")];
        assert_eq!(missing(walked), expected);
    }

    #[test]
    fn links_to_files_and_folders_of_the_outputs_count_as_what_they_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("run-7/plots")).unwrap();
        fs::write(at("run-7/model"), "x").unwrap();
        symlink("run-7", at("latest")).unwrap();
        symlink("/outputs/run-7/model", at("model")).unwrap();
        symlink("../..", at("run-7/plots/circle")).unwrap();
        let walked = walk(folder.path()).unwrap();
        assert_eq!(names(&walked), ["latest/model", "model", "run-7/model"]);
        assert!(walked.files.iter().all(|file| file.open().is_ok()));
        let circles = vec!["latest/plots/circle".to_owned(), "run-7/plots/circle".to_owned()];
        assert_eq!(missing(walked), [(MissingCode::Link, 2, circles)]);
    }

    #[test]
    fn every_file_beyond_the_bound_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..OUTPUTS_MAX + 500 {
            File::create(folder.path().join(format!("{n:05}"))).unwrap();
        }
        let walked = walk(folder.path()).unwrap();
        assert_eq!(walked.files.len(), OUTPUTS_MAX);
        let missing = missing(walked);
        assert_eq!((missing[0].0, missing[0].1, missing[0].2[0].as_str()), (MissingCode::TooMany, 500, "10000"));
    }

    #[test]
    fn holes_count_by_their_length() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..21 {
            File::create(folder.path().join(format!("{n:02}"))).unwrap().set_len(BLOB_BYTES_MAX).unwrap();
        }
        let walked = walk(folder.path()).unwrap();
        assert_eq!(walked.files.len(), 20);
        assert_eq!(missing(walked), [(MissingCode::TooLarge, 1, vec!["20".to_owned()])]);
    }

    #[test]
    fn a_walk_stops_at_links_that_multiply_without_end() {
        let folder = tempfile::tempdir().unwrap();
        // Each folder has two links to the next: 2^30 names of one file.
        for n in 0..30 {
            let place = folder.path().join(format!("{n:02}"));
            fs::create_dir(&place).unwrap();
            symlink(format!("../{:02}", n + 1), place.join("a")).unwrap();
            symlink(format!("../{:02}", n + 1), place.join("b")).unwrap();
        }
        fs::create_dir(folder.path().join("30")).unwrap();
        let missing = walk(folder.path()).unwrap().missing.into_missing().unwrap();
        assert!(missing.why.iter().any(|why| why.code == MissingCode::TooMany), "{missing:?}");
    }
}
