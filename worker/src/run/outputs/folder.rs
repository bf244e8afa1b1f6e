//! The folder of outputs: opens its files, and follows links as the job would.
//!
//! Invariant: nothing outside the folder is opened, even if the folder changes in the meantime. A path is opened segment by segment, and
//! never through a link. A link is read, and its target is looked up from the top of the folder in the same way.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

/// Path of the folder in the container.
const IN_CONTAINER: &str = "/outputs";
/// Most links in a path, as on Linux.
const LINKS_MAX: usize = 40;

/// The folder, open.
#[derive(Debug)]
pub(super) struct Folder {
    top: OwnedFd,
    /// The paths by which links may name the folder.
    names: [PathBuf; 2],
}

/// One name in a folder.
#[derive(Debug)]
pub(super) struct FolderEntry {
    pub(super) name: OsString,
    pub(super) stat: Stat,
}

impl FolderEntry {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }
}

/// The target of a link.
#[derive(Debug)]
pub(super) struct Target {
    /// Path from the top of the folder, without links.
    pub(super) path: PathBuf,
    pub(super) entry: FolderEntry,
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

impl Folder {
    /// Opens the folder at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let top = rustix::fs::open(path, folder_flags(), Mode::empty())?;
        Ok(Self { top, names: [PathBuf::from(IN_CONTAINER), path.to_owned()] })
    }

    /// The metadata of the folder itself.
    pub(super) fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.top)?)
    }

    /// Runs `act` in the folder at `path`.
    fn within<T>(&self, path: &Path, act: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        let mut inner: Option<OwnedFd> = None;
        for segment in path {
            let at = inner.as_ref().map_or_else(|| self.top.as_fd(), AsFd::as_fd);
            inner = Some(rustix::fs::openat(at, segment, folder_flags(), Mode::empty())?);
        }
        act(inner.as_ref().map_or_else(|| self.top.as_fd(), AsFd::as_fd))
    }

    /// The entries of the folder at `path`, by name: at most `n_max` of them, and whether there are more. Entries that vanish in the
    /// meantime are left out.
    pub(super) fn list(&self, path: &Path, n_max: usize) -> io::Result<(Vec<FolderEntry>, bool)> {
        self.within(path, |at| {
            let mut entries = Vec::new();
            let mut has_more = false;
            for found in Dir::read_from(at)? {
                let name = OsString::from_vec(found?.file_name().to_bytes().to_vec());
                if name == "." || name == ".." {
                    continue;
                }
                has_more = entries.len() == n_max;
                if has_more {
                    break;
                }
                if let Ok(stat) = rustix::fs::statat(at, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    entries.push(FolderEntry { name, stat });
                }
            }
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok((entries, has_more))
        })
    }

    /// Opens a regular file.
    pub(super) fn open_file(&self, path: &Path) -> io::Result<File> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let parent = path.parent().unwrap_or(Path::new(""));
        let file = self.within(parent, |at| Ok(File::from(rustix::fs::openat(at, name, flags, Mode::empty())?)))?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// The target of the link `name` in the folder at `path`. None when it is outside, does not exist, or the links form a circle.
    pub(super) fn follow(&self, path: &Path, name: &OsStr) -> Option<Target> {
        let mut place = path.to_owned();
        let mut ahead = VecDeque::from([name.to_owned()]);
        let mut n_links = 0;
        let mut last = None;
        while let Some(segment) = ahead.pop_front() {
            if segment == ".." {
                self.climb(&mut place, &mut ahead)?;
                last = None;
                continue;
            }
            let (entry, link) = self.look(&place, &segment).ok()?;
            if let Some(link) = link {
                n_links += 1;
                let link = self.below_top(&link, &mut place).filter(|_| n_links <= LINKS_MAX)?;
                let segments = link.components().filter(|part| !matches!(part, Component::CurDir));
                segments.rev().for_each(|part| ahead.push_front(part.as_os_str().to_owned()));
                last = None;
            } else {
                place.push(&segment);
                last = Some(entry);
            }
        }
        let entry = match last {
            Some(entry) => entry,
            // The link ends in `..` or leads to the top itself.
            None => self.entry_of(&place).ok()?,
        };
        Some(Target { path: place, entry })
    }

    /// Goes one folder up. Above the top, only a path back into the folder is allowed.
    fn climb(&self, place: &mut PathBuf, ahead: &mut VecDeque<OsString>) -> Option<()> {
        if place.pop() {
            return Some(());
        }
        while ahead.front().is_some_and(|next| next == "..") {
            ahead.pop_front();
        }
        let back = ahead.pop_front()?;
        self.names.iter().any(|name| name.file_name() == Some(&back)).then_some(())
    }

    /// A link's text as a path from `place`. For an absolute link, `place` becomes the top. None when the path leads outside.
    fn below_top(&self, link: &Path, place: &mut PathBuf) -> Option<PathBuf> {
        if link.is_relative() {
            return Some(link.to_owned());
        }
        let below = self.names.iter().find_map(|name| link.strip_prefix(name).ok())?;
        place.clear();
        Some(below.to_owned())
    }

    /// The entry of a name. If it is a link, also the link's text.
    fn look(&self, place: &Path, segment: &OsStr) -> io::Result<(FolderEntry, Option<PathBuf>)> {
        self.within(place, |at| {
            let stat = rustix::fs::statat(at, segment, AtFlags::SYMLINK_NOFOLLOW)?;
            let entry = FolderEntry { name: segment.to_owned(), stat };
            let link = match entry.kind() {
                FileType::Symlink => {
                    let text = rustix::fs::readlinkat(at, segment, Vec::new())?;
                    Some(PathBuf::from(OsString::from_vec(text.into_bytes())))
                }
                _ => None,
            };
            Ok((entry, link))
        })
    }

    fn entry_of(&self, place: &Path) -> io::Result<FolderEntry> {
        self.within(place, |at| Ok(FolderEntry { name: OsString::new(), stat: rustix::fs::fstat(at)? }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_within_the_folder_and_never_out_of_it() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "secret").unwrap();
        let top = outside.path().join("outputs");
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/file"), "x").unwrap();
        for (link, to) in [
            ("plain", "a/file"),
            ("absolute", "/outputs/a/file"),
            ("a/b/up", "../file"),
            ("chain", "a/b/up"),
            ("around", "../outputs/a/./file"),
            ("folder", "a"),
            ("through", "folder/b/up"),
            ("top", "a/.."),
        ] {
            symlink(to, top.join(link)).unwrap();
        }
        symlink(top.join("a/file"), top.join("as the worker sees it")).unwrap();
        symlink(outside.path().join("file"), top.join("out")).unwrap();
        for (link, to) in [
            ("up and out", "../file"),
            ("etc", "/etc/passwd"),
            ("nowhere", "b"),
            ("self", "self"),
            ("under a file", "a/file/x"),
            ("way out", "out/.."),
        ] {
            symlink(to, top.join(link)).unwrap();
        }
        let folder = Folder::open(&top).unwrap();
        let target = |link: &str| {
            let (parent, name) = link.rsplit_once('/').unwrap_or(("", link));
            folder.follow(Path::new(parent), OsStr::new(name)).map(|target| target.path)
        };
        for link in ["plain", "absolute", "a/b/up", "chain", "around", "through", "as the worker sees it"] {
            assert_eq!(target(link), Some(PathBuf::from("a/file")), "{link}");
        }
        assert_eq!((target("folder"), target("top")), (Some("a".into()), Some("".into())));
        for link in ["out", "up and out", "etc", "nowhere", "self", "under a file", "way out"] {
            assert_eq!(target(link), None, "{link}");
        }
    }

    #[test]
    fn a_folder_that_becomes_a_link_is_not_entered() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "secret").unwrap();
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("a")).unwrap();
        fs::write(top.path().join("a/file"), "x").unwrap();
        let folder = Folder::open(top.path()).unwrap();
        assert!(folder.open_file(Path::new("a/file")).is_ok());
        fs::remove_dir_all(top.path().join("a")).unwrap();
        symlink(outside.path(), top.path().join("a")).unwrap();
        assert!(folder.open_file(Path::new("a/file")).is_err());
        assert!(folder.list(Path::new("a"), 10).is_err());
        assert!(folder.open_file(Path::new("a")).is_err(), "nor is it a file");
    }
}
