//! Rewrites a modern Dockerfile so that the engine's builders can read it.
//!
//! In: the text, the build arguments and the platform. Out: [`Lowered`], with the rewritten Dockerfile and the instructions in it that need
//! `BuildKit`. The classic builder enforces every limit of a job, so it builds everything that it can:
//!
//! - Here-documents of `RUN` become the command that `BuildKit` would run. Those of `COPY` and `ADD` become files of an image.
//! - `--link` is removed, because it changes layers but no files. A `# syntax=` line that names Docker's own frontend is removed. If it
//!   names another frontend, the Dockerfile is refused, because the worker does not fetch a frontend.
//! - `TARGETARCH` and similar variables are replaced in `FROM`. If an `ARG` declares them, their values are also returned as arguments.
//!
//! Line numbers do not change, so "line 7" in a message of the engine is line 7 of the original. `RUN --network=host` and
//! `RUN --security=insecure` are refused with every builder.

mod lines;
mod lower;
mod needs;
mod platform;
mod scope;

pub(super) use lower::{File, Lowered, lower};
pub(super) use platform::Platforms;

/// Why a Dockerfile is refused. The sentences are for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidDockerfile {
    /// A here-document has no end.
    #[error("line {line} of the Dockerfile begins a here-document without an end; add a line {name:?} after it")]
    NoEnd { line: usize, name: String },
    /// It asks for a frontend that would have to be fetched.
    #[error(
        "line {line} of the Dockerfile asks for the frontend {name:?}; this worker only uses its engine's own frontend, so remove the line"
    )]
    Syntax { line: usize, name: String },
    /// It asks for rights that builds do not get.
    #[error("line {line} of the Dockerfile asks for {flag}, which builds do not get here; remove the flag")]
    Forbidden { line: usize, flag: String },
    /// A here-document is in the wrong place.
    #[error("line {line} of the Dockerfile has a here-document in a wrong place; use here-documents only with RUN, COPY or ADD")]
    Place { line: usize },
    /// There are too many here-documents.
    #[error("the Dockerfile's here-documents make more than {0} files")]
    TooMany(usize),
    /// The engine does not read its encoding.
    #[error("the Dockerfile is not a text in UTF-8 or UTF-16; save it as UTF-8")]
    Encoding,
}

/// An instruction that only `BuildKit` can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) line: usize,
    /// The feature, such as `RUN --mount`.
    pub(super) what: String,
}

/// Decodes the encodings that editors write. In the result, `\n` ends every line.
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
