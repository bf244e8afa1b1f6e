//! A Dockerfile as people write them today, made into one that the engine's builders can read.
//!
//! In: the text, the build arguments and the platform. Out: [`Lowered`], which says the same in the words of the classic builder, or which
//! line needs `BuildKit`. The classic builder holds every bound of a job, so it builds whatever can be said to it:
//!
//! - here-documents: those of `RUN` become the command that `BuildKit` would run, those of `COPY` and `ADD` files of an image;
//! - `--link` goes, since it changes layers and no files; a `# syntax=` line of Docker's own frontend goes, and any other is refused:
//!   nothing is fetched to read a Dockerfile with;
//! - `TARGETARCH` and its like have values in `FROM`, and are named so that they are given as arguments.
//!
//! Lines stay where they are, so what the engine says of line 7 is true of line 7. `RUN --network=host` and `--security=insecure` are
//! refused here, whatever the builder.

mod lines;
mod lower;
mod platform;
mod scope;

pub(super) use lower::{File, Lowered, lower};
pub(super) use platform::Platforms;

/// Why a Dockerfile is not built. The sentences are for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidDockerfile {
    /// Its last line is not there.
    #[error("line {line} of the Dockerfile begins a here-document that no line {name:?} ends")]
    NoEnd { line: usize, name: String },
    /// Of a frontend that would have to be fetched.
    #[error("line {line} of the Dockerfile asks for the frontend {name:?}; this worker reads Dockerfiles with its engine's own")]
    Syntax { line: usize, name: String },
    /// Rights that no build gets.
    #[error("line {line} of the Dockerfile asks for {flag}, which no build gets here")]
    Forbidden { line: usize, flag: String },
    /// A here-document where none can be.
    #[error("line {line} of the Dockerfile has a here-document that cannot be built; use it with RUN, COPY or ADD alone")]
    Place { line: usize },
    /// Over the bounds.
    #[error("the Dockerfile's here-documents make more than {0} files")]
    TooMany(usize),
    /// Of an encoding that the engine does not read.
    #[error("the Dockerfile is not a text in UTF-8 or UTF-16; save it as UTF-8")]
    Encoding,
}

/// What only `BuildKit` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) line: usize,
    /// Such as `RUN --mount`.
    pub(super) what: String,
}

/// A text of any encoding that editors write, with plain line ends.
pub(super) fn decode(bytes: &[u8]) -> Result<String, InvalidDockerfile> {
    let wide = |rest: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks(2).map(|pair| read([pair[0], pair.get(1).copied().unwrap_or(0)])).collect();
        String::from_utf16(&units).map_err(|_| InvalidDockerfile::Encoding)
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => String::from_utf8(rest.to_vec()).map_err(|_| InvalidDockerfile::Encoding)?,
    };
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n"))
}

#[cfg(test)]
mod tests;
