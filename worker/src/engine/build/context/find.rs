//! Finds the Dockerfile of a context and its `.dockerignore`.

use protocol::InvalidBuild;
use protocol::limits::DOCKERFILE_BYTES_MAX;

use super::{ContextError, DOCKERFILE, IGNORE, Tree};
use crate::engine::build::archive::{Archive, ArchiveError, Kind};
use crate::engine::build::block::Block;
use crate::engine::build::dockerignore::BYTES_MAX as IGNORE_BYTES_MAX;

pub(super) const DOCKERFILE_DEFAULT: &str = "Dockerfile";
/// Used if there is no `Dockerfile`.
const DOCKERFILE_LOWER: &str = "dockerfile";

/// The Dockerfile's name in the context, and its text if it is not part of the context. A given name is looked up from the root of the
/// whole context, then from the folder to build from.
pub(super) fn find_dockerfile(
    archive: &Archive,
    tree: &Tree,
    block: &Block,
    root: &str,
    prefix: &str,
) -> Result<(String, Option<Vec<u8>>), ContextError> {
    if let Some(text) = &block.dockerfile {
        return Ok((DOCKERFILE.to_owned(), Some(text.clone().into_bytes())));
    }
    let name = block.filename.as_deref().unwrap_or(DOCKERFILE_DEFAULT);
    let path = dockerfile_in(tree, block, root, prefix).ok_or_else(|| ContextError::NoDockerfile(name.to_owned()))?;
    // A hard link is sent as the file that it links to.
    let (path, is_inside) = match tree.get(&path) {
        Some(Kind::HardLink(target)) => (target.clone(), false),
        _ => (path, true),
    };
    if let Some(inside) = path.strip_prefix(prefix).filter(|_| is_inside) {
        if matches!(tree.get(&path), Some(Kind::File { size }) if *size > DOCKERFILE_BYTES_MAX as u64) {
            return Err(InvalidBuild::DockerfileTooLarge.into());
        }
        return Ok((inside.to_owned(), None));
    }
    let text = archive.read(&path, DOCKERFILE_BYTES_MAX)?.ok_or_else(|| ContextError::NoDockerfile(name.to_owned()))?;
    Ok((DOCKERFILE.to_owned(), Some(text)))
}

/// The lines of `<Dockerfile>.dockerignore`, if it exists. They replace those of the context's `.dockerignore`.
pub(super) fn own_ignore(
    archive: &Archive,
    tree: &Tree,
    block: &Block,
    root: &str,
    prefix: &str,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    if block.dockerfile.is_some() {
        return Ok(None);
    }
    let path = dockerfile_in(tree, block, root, prefix).map(|path| format!("{path}{IGNORE}"));
    match path.filter(|path| tree.contains_key(path)) {
        Some(path) => archive.read(&path, IGNORE_BYTES_MAX),
        None => Ok(None),
    }
}

/// The path of the Dockerfile: the given name, else one of Docker's two names.
pub(super) fn dockerfile_in(tree: &Tree, block: &Block, root: &str, prefix: &str) -> Option<String> {
    let paths = match &block.filename {
        Some(name) => [format!("{root}{name}"), format!("{prefix}{name}")],
        None => [DOCKERFILE_DEFAULT, DOCKERFILE_LOWER].map(|name| format!("{prefix}{name}")),
    };
    paths.into_iter().find(|path| tree.get(path).is_some_and(|kind| *kind != Kind::Folder))
}

/// The lines of a `.dockerignore`, and lines after them that hide an added Dockerfile from every `COPY`.
pub(super) fn hiding(lines: Option<&[u8]>) -> Vec<u8> {
    let own = if lines.is_some() { String::new() } else { format!("{IGNORE}\n") };
    [lines.unwrap_or_default(), format!("\n{DOCKERFILE}\n{own}").as_bytes()].concat()
}
