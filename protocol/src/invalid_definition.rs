//! Why a definition is refused.

use crate::build_block::InvalidBuild;
use crate::command_line::InvalidCommandLine;
use crate::duration::InvalidDuration;
use crate::error_code::{Coded, ErrorCode};
use crate::image::InvalidImage;
use crate::limits::{ARGUMENT_BYTES_MAX, ARGUMENTS_BYTES_MAX, DEFINITION_BYTES_MAX};
use crate::name::InvalidName;
use crate::path::InvalidPath;
use crate::secret::InvalidSecretName;
use crate::size::InvalidSize;

/// Why a definition cannot be queued. The sentence is for its author.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidDefinition {
    /// It has neither `image` nor `build`.
    #[error("the definition has neither image nor build; give one of them")]
    NoImage,
    /// It is not JSON, or a member has the wrong type.
    #[error("the definition cannot be read: {0}")]
    Unreadable(String),
    /// It is larger than [`DEFINITION_BYTES_MAX`].
    #[error("the definition is larger than {} KiB; upload large inputs with PUT /f/<key>", DEFINITION_BYTES_MAX / 1024)]
    TooLarge,
    /// A member has more entries than [`ENTRIES_MAX`](crate::limits::ENTRIES_MAX) or [`TAGS_MAX`](crate::limits::TAGS_MAX).
    #[error("the definition has more than {max} {what}")]
    TooMany {
        /// Which member.
        what: &'static str,
        /// Its bound.
        max: usize,
    },
    /// A file name leaves its folder.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// A text is not a duration.
    #[error("{what}: {cause}")]
    Duration {
        /// Which member.
        what: &'static str,
        /// Its text.
        cause: InvalidDuration,
    },
    /// A duration is below [`DURATION_MIN`](crate::limits::DURATION_MIN).
    #[error("{what} is less than a second; write the unit, as in 90s or 20m, because a bare number means milliseconds")]
    TooShort {
        /// Which member.
        what: &'static str,
    },
    /// A text is not a size.
    #[error("{what}: {cause}")]
    Size {
        /// Which member.
        what: &'static str,
        /// Its text.
        cause: InvalidSize,
    },
    /// The memory is too small for a container.
    #[error(
        "requirements.memory is less than 6m, which is too small for a container; write the unit, as in 512m, because a bare number means bytes"
    )]
    TooLittleMemory,
    /// The image reference is invalid.
    #[error("image: {0}")]
    Image(#[from] InvalidImage),
    /// A command line is invalid.
    #[error("{what} {cause}")]
    CommandLine {
        /// `command` or `entrypoint`.
        what: &'static str,
        /// Why.
        cause: InvalidCommandLine,
    },
    /// The working directory is invalid.
    #[error("workdir must be an absolute path without NUL, such as /work")]
    Workdir,
    /// A member is there twice.
    #[error("{0} is there twice")]
    Duplicate(String),
    /// A number is out of range.
    #[error("{what} must be a number from 0 to {max}")]
    Number {
        /// Which member.
        what: &'static str,
        /// Its bound.
        max: f64,
    },
    /// The number of gpus is not whole.
    #[error("requirements.gpus must be a whole number")]
    HalfGpu,
    /// A file of type `base64` is not base64.
    #[error("the value of file {0:?} is not base64, as its type says")]
    Base64(String),
    /// A file of type `url` has no valid URL.
    #[error("the value of file \"{0}\" is not an http, https or data URL, as its type says")]
    Url(String),
    /// A file has the name of another file's folder.
    #[error("file \"{file}\" is a folder too: \"{inside}\" is below it; give one of them another name")]
    Nested {
        /// The name that is both.
        file: String,
        /// A file below it.
        inside: String,
    },
    /// The build block is invalid.
    #[error("build: {0}")]
    Build(#[from] InvalidBuild),
    /// The name of a secret is invalid.
    #[error(transparent)]
    Secret(#[from] InvalidSecretName),
    /// A tag is not a valid name.
    #[error("tags: {0}")]
    Tag(InvalidName),
    /// An environment variable is invalid.
    #[error("environment variable {0:?} has an empty name, an equals sign or a NUL in it")]
    Env(String),
    /// A variable exceeds the kernel's limit.
    #[error(
        "environment variable {0:?} is larger than a process can take: {ARGUMENT_BYTES_MAX} bytes with its name; put it into a file"
    )]
    EnvTooLarge(String),
    /// All variables and the command together exceed the kernel's limit.
    #[error("env and command together are larger than a process can take: {ARGUMENTS_BYTES_MAX} bytes; put them into files")]
    ArgumentsTooLarge,
}

impl Coded for InvalidDefinition {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoImage => ErrorCode::NoImage,
            Self::Unreadable(_) => ErrorCode::UnreadableDefinition,
            Self::TooLarge => ErrorCode::DefinitionTooLarge,
            Self::TooMany { .. } => ErrorCode::TooManyEntries,
            Self::Path(cause) => cause.code(),
            Self::Nested { .. } => ErrorCode::InvalidPath,
            Self::Url(_) => ErrorCode::InvalidUrl,
            Self::Build(cause) => cause.code(),
            Self::Duration { .. } | Self::TooShort { .. } => ErrorCode::InvalidDuration,
            Self::Size { .. } | Self::TooLittleMemory => ErrorCode::InvalidSize,
            Self::Image(cause) => cause.code(),
            Self::CommandLine { .. } => ErrorCode::InvalidCommand,
            Self::Workdir => ErrorCode::InvalidWorkdir,
            Self::Duplicate(_) => ErrorCode::DuplicateMember,
            Self::Number { .. } | Self::HalfGpu => ErrorCode::InvalidNumber,
            Self::Base64(_) => ErrorCode::InvalidBase64,
            Self::Secret(cause) => cause.code(),
            Self::Tag(_) => ErrorCode::InvalidTag,
            Self::Env(_) | Self::EnvTooLarge(_) | Self::ArgumentsTooLarge => ErrorCode::InvalidEnvironment,
        }
    }
}
