//! A definition's checked build block (see [`protocol::BuildBlock`]) with its context's URL parsed.

use std::collections::BTreeMap;

use protocol::{Build, BuildBlock, InvalidBuild};

use super::source::{InvalidContext, Source};

/// Why a build block cannot be built. The sentences are for its author.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum InvalidBlock {
    /// A member is invalid.
    #[error(transparent)]
    Build(#[from] InvalidBuild),
    /// The context's URL is not that of a repository or an archive.
    #[error(transparent)]
    Context(#[from] InvalidContext),
}

/// A checked build block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The Dockerfile's own text.
    pub(super) dockerfile: Option<String>,
    /// None means that the context is only the Dockerfile.
    pub(super) source: Option<Source>,
    /// Folder in the context to build from.
    pub(super) folder: Option<String>,
    /// Name of the Dockerfile in the context.
    pub(super) filename: Option<String>,
    pub(super) target: Option<String>,
    pub(super) platform: Option<String>,
    pub(super) args: BTreeMap<String, String>,
}

impl Block {
    /// Checks a block. Returns None for an empty block, which some clients send beside an image.
    pub(crate) fn read(build: &Build) -> Result<Option<Self>, InvalidBlock> {
        let Some(read) = BuildBlock::read(build)? else { return Ok(None) };
        let BuildBlock { dockerfile, context, folder, filename, target, platform, args } = read;
        let source = context.as_deref().map(Source::parse).transpose()?;
        Ok(Some(Self { dockerfile, source, folder, filename, target, platform, args }))
    }
}
