//! A definition's build block, checked (see [`protocol::BuildBlock`]), with its context's URL read.

use std::collections::BTreeMap;

use protocol::{Build, BuildBlock, InvalidBuild};

use super::source::{InvalidContext, Source};

/// Why a build block cannot be built. The sentences are for its author.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum InvalidBlock {
    /// A member that cannot be.
    #[error(transparent)]
    Build(#[from] InvalidBuild),
    /// A URL that is not one of a repository or an archive.
    #[error(transparent)]
    Context(#[from] InvalidContext),
}

/// A checked build block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The Dockerfile's own text.
    pub(super) dockerfile: Option<String>,
    /// None: the context is the Dockerfile alone.
    pub(super) source: Option<Source>,
    /// Folder of the context to build from.
    pub(super) folder: Option<String>,
    /// Dockerfile in the context.
    pub(super) filename: Option<String>,
    pub(super) target: Option<String>,
    pub(super) platform: Option<String>,
    pub(super) args: BTreeMap<String, String>,
}

impl Block {
    /// Checks a block; nothing when it says nothing, as some clients send it beside an image.
    pub(crate) fn read(build: &Build) -> Result<Option<Self>, InvalidBlock> {
        let Some(read) = BuildBlock::read(build)? else { return Ok(None) };
        let BuildBlock { dockerfile, context, folder, filename, target, platform, args } = read;
        let source = context.as_deref().map(Source::parse).transpose()?;
        Ok(Some(Self { dockerfile, source, folder, filename, target, platform, args }))
    }
}
