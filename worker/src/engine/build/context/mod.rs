//! Makes the tar for the engine from an archive, while the tar is sent.
//!
//! [`Plan::make`] reads the archive once and decides which entries are sent, under which names, and where the Dockerfile is. [`Plan::write`]
//! reads it again and copies the entries. Nothing of the archive is written to this machine's file system, so its names and links are
//! harmless.
//!
//! - If one folder contains everything else, the worker may leave its name out and log that. It does so when the block would find nothing
//!   otherwise, or when the server that made the archive is known to add a folder: see [`Wrapping`].
//! - A Dockerfile that is given as text, or is outside the folder to build from, is sent as [`DOCKERFILE`]. `.dockerignore` then names it, so
//!   that no `COPY` copies it. The Docker command line does the same.
//! - A symbolic link is sent as a link if its target is below the folder to build from. The engine resolves it.

mod find;

use std::collections::BTreeMap;
use std::io::{self, Write};

use protocol::InvalidBuild;
use protocol::limits::DOCKERFILE_BYTES_MAX;

use crate::engine::build::archive::{Archive, ArchiveError, Kind, append, header_of};
use crate::engine::build::block::Block;
use crate::engine::build::dockerignore::{BYTES_MAX as IGNORE_BYTES_MAX, Ignore, InvalidIgnore};
use find::{DOCKERFILE_DEFAULT, dockerfile_in, find_dockerfile, hiding, own_ignore};

const IGNORE: &str = ".dockerignore";
/// Files that desktop programs add to folders.
const DESKTOP_FILES: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];
/// Name in the context for a Dockerfile that is not part of it.
const DOCKERFILE: &str = ".asman.Dockerfile";

/// Why a context cannot be used. The sentences are for the job's author.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContextError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Ignore(#[from] InvalidIgnore),
    #[error(transparent)]
    Block(#[from] InvalidBuild),
    /// The folder does not exist.
    #[error("the context has no folder {0:?}; check buildContext")]
    NoFolder(String),
    /// The Dockerfile does not exist.
    #[error("the context has no file {0:?} to build from; name the Dockerfile with filename, or give its text")]
    NoDockerfile(String),
    /// A link leads out of the folder to build from.
    #[error("{0:?} links to {1:?}, which is outside the folder to build from; exclude the link in .dockerignore")]
    Link(String, String),
}

/// Whether all files of an archive may be in one folder that the job's author did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// Made by the worker from a repository: there is no such folder.
    Never,
    /// Packed by the job's author, so every folder is the author's.
    Own,
    /// From another server: the folder is left out if the Dockerfile is in it.
    Foreign,
    /// Packed by a forge from a repository: there always is such a folder.
    Forge,
}

/// What is sent to the engine from an archive.
#[derive(Debug)]
pub(super) struct Plan {
    archive: Option<Archive>,
    /// Prefix that is removed from the archive's names. It is empty or ends with `/`.
    prefix: String,
    /// The folder around all files, if its name is left out. It is empty or ends with `/`.
    pub(super) left_out: String,
    ignore: Ignore,
    /// Path of the Dockerfile in the context.
    pub(super) dockerfile: String,
    /// Files that are added to the archive's files or replace them.
    own: BTreeMap<String, Vec<u8>>,
}

impl Plan {
    /// A context that is only a Dockerfile.
    pub(super) fn of_text(dockerfile: &str) -> Self {
        let own = BTreeMap::from([(DOCKERFILE_DEFAULT.to_owned(), dockerfile.as_bytes().to_vec())]);
        let (prefix, left_out, dockerfile) = (String::new(), String::new(), DOCKERFILE_DEFAULT.to_owned());
        Self { archive: None, prefix, left_out, ignore: Ignore::default(), dockerfile, own }
    }

    /// Reads an archive and finds what a block needs. `folder` is prepended to the block's own folder.
    pub(super) fn make(archive: Archive, block: &Block, folder: Option<&str>, wrapping: Wrapping) -> Result<Self, ContextError> {
        let tree = survey(&archive)?;
        let folders = [folder, block.folder.as_deref()];
        let folder = folders.into_iter().flatten().collect::<Vec<_>>().join("/");
        let root = root_of(&tree, block, &folder, wrapping);
        let prefix = if folder.is_empty() { root.clone() } else { format!("{root}{folder}/") };
        if !prefix.is_empty() && !tree.keys().any(|path| path.starts_with(&prefix)) {
            return Err(ContextError::NoFolder(folder));
        }
        let mut own = BTreeMap::new();
        let general = archive.read(&format!("{prefix}{IGNORE}"), IGNORE_BYTES_MAX)?;
        let (dockerfile, outside) = find_dockerfile(&archive, &tree, block, &root, &prefix)?;
        let has_general = general.is_some();
        let ignored = own_ignore(&archive, &tree, block, &root, &prefix)?.or(general);
        let ignore = Ignore::read(ignored.as_deref().unwrap_or_default())?;
        if let Some(text) = outside {
            if text.len() > DOCKERFILE_BYTES_MAX {
                return Err(InvalidBuild::DockerfileTooLarge.into());
            }
            let lines = hiding(ignored.as_deref());
            own.extend([(DOCKERFILE.to_owned(), text), (IGNORE.to_owned(), lines)]);
        } else if let Some(lines) = ignored.filter(|_| has_general) {
            own.insert(IGNORE.to_owned(), lines);
        }
        let plan = Self { archive: Some(archive), prefix, left_out: root, ignore, dockerfile, own };
        plan.check_links(&tree)?;
        Ok(plan)
    }

    /// Makes the engine read another Dockerfile than the context's own. For `BuildKit`, the new Dockerfile replaces the context's, because
    /// `.dockerignore` would not hide an added file from the `COPY` of `BuildKit`.
    pub(super) fn replace_dockerfile(&mut self, text: String, is_buildkit: bool) {
        if is_buildkit || self.archive.is_none() || self.dockerfile == DOCKERFILE {
            self.own.insert(self.dockerfile.clone(), text.into_bytes());
            return;
        }
        let lines = hiding(self.own.get(IGNORE).map(Vec::as_slice));
        self.own.extend([(DOCKERFILE.to_owned(), text.into_bytes()), (IGNORE.to_owned(), lines)]);
        DOCKERFILE.clone_into(&mut self.dockerfile);
    }

    /// The Dockerfile that the engine will read. None when it is a link.
    pub(super) fn dockerfile_bytes(&self) -> Result<Option<Vec<u8>>, ContextError> {
        Ok(match (self.own.get(self.dockerfile.as_str()), &self.archive) {
            (Some(text), _) => Some(text.clone()),
            (None, Some(archive)) => archive.read(&format!("{}{}", self.prefix, self.dockerfile), DOCKERFILE_BYTES_MAX)?,
            (None, None) => None,
        })
    }

    /// The Dockerfile that the engine will read, as text. None when it is a link or not UTF-8.
    pub(super) fn dockerfile_text(&self) -> Result<Option<String>, ContextError> {
        Ok(self.dockerfile_bytes()?.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// The name that an entry of the archive has in the context. None when the entry is not sent.
    fn name<'a>(&self, path: &'a str) -> Option<&'a str> {
        let name = path.strip_prefix(&self.prefix).filter(|name| !name.is_empty())?;
        let is_replaced = self.own.contains_key(name);
        let is_ignored = name != self.dockerfile && self.ignore.ignores(name);
        (!is_replaced && !is_ignored).then_some(name)
    }

    fn check_links(&self, tree: &Tree) -> Result<(), ContextError> {
        for (path, kind) in tree {
            let Some(name) = self.name(path) else { continue };
            let leaves = match kind {
                Kind::Link(target) => leaves(name, target),
                Kind::HardLink(target) => self.name(target).is_none(),
                Kind::File { .. } | Kind::Folder => false,
            };
            if let (true, Kind::Link(target) | Kind::HardLink(target)) = (leaves, kind) {
                return Err(ContextError::Link(name.to_owned(), target.clone()));
            }
        }
        Ok(())
    }

    /// Writes the tar. Fails as soon as the reader is gone.
    pub(super) fn write(&self, to: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(to);
        for (name, bytes) in &self.own {
            let mut header = header_of(0o644, 0, bytes.len() as u64);
            tar.append_data(&mut header, name, &bytes[..])?;
        }
        let Some(archive) = &self.archive else { return tar.into_inner().map(|_| ()) };
        let mut failure = None;
        let result = archive.each(&mut |entry, bytes| {
            let Some(name) = self.name(&entry.path) else { return Ok(()) };
            append(&mut tar, name, &self.prefix, entry, bytes).map_err(|error| {
                failure = Some(error);
                ArchiveError::Stopped
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        result.map_err(io::Error::other)?;
        tar.into_inner()?.flush()
    }
}

type Tree = BTreeMap<String, Kind>;

/// Reads the whole archive, so that every bound and checksum is checked before anything is sent.
fn survey(archive: &Archive) -> Result<Tree, ArchiveError> {
    let mut tree = Tree::new();
    archive.each(&mut |entry, _| {
        let is_again = tree.insert(entry.path.clone(), entry.kind.clone()).is_some_and(|kind| kind != Kind::Folder);
        if is_again { Err(ArchiveError::Duplicate(entry.path.clone())) } else { Ok(()) }
    })?;
    for path in tree.keys() {
        let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some(folder) = above.find(|above| tree.get(*above).is_some_and(|kind| *kind != Kind::Folder)) {
            return Err(ArchiveError::Duplicate(folder.to_owned()));
        }
    }
    Ok(tree)
}

/// The folder that the block's folders are relative to: the top, or the one folder at the top.
fn root_of(tree: &Tree, block: &Block, folder: &str, wrapping: Wrapping) -> String {
    let top = if wrapping == Wrapping::Never { String::new() } else { top_folder(tree) };
    let has_folder = |root: &str| folder.is_empty() || tree.keys().any(|path| path.starts_with(&format!("{root}{folder}/")));
    let has_dockerfile = |root: &str| {
        let prefix = if folder.is_empty() { root.to_owned() } else { format!("{root}{folder}/") };
        dockerfile_in(tree, block, root, &prefix).is_some()
    };
    let is_left_out = match (block.dockerfile.is_some(), wrapping) {
        _ if top.is_empty() => false,
        (false, Wrapping::Forge) => !(has_folder("") && has_dockerfile("")),
        (false, _) => !(has_folder("") && has_dockerfile("")) && has_folder(&top) && has_dockerfile(&top),
        // A Dockerfile given as text does not show where the files are. The block's folder shows it if it exists only in the one folder.
        (true, _) if !folder.is_empty() => !has_folder("") && has_folder(&top),
        (true, Wrapping::Forge) => true,
        (true, Wrapping::Foreign) => has_dockerfile(&top),
        (true, Wrapping::Never | Wrapping::Own) => false,
    };
    if is_left_out { top } else { String::new() }
}

/// The one folder at the top, with a `/`, if there is nothing beside it except files of desktop programs.
fn top_folder(tree: &Tree) -> String {
    let mut tops = tree.keys().map(|path| path.split('/').next().unwrap_or(path)).filter(|top| !DESKTOP_FILES.contains(top));
    let Some(top) = tops.next() else { return String::new() };
    let is_folder = tree.get(top).is_none_or(|kind| *kind == Kind::Folder);
    if is_folder && tops.all(|other| other == top) { format!("{top}/") } else { String::new() }
}

/// Whether the text of a link's target leads out of the context.
fn leaves(name: &str, target: &str) -> bool {
    if target.starts_with('/') || target.contains('\\') {
        return true;
    }
    let mut depth = name.matches('/').count();
    for segment in target.split('/') {
        match segment {
            "" | "." => (),
            ".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests;
