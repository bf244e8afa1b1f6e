//! A definition's build block, read and checked before anything is stored or fetched.
//!
//! This module checks every part that reaches the engine or a path. Folders and files are relative paths of plain segments, so an option
//! (`--output=/`) or a path that leaves the context (`../..`) is refused here. `asman.check_build` does the same in SQL.

use std::collections::BTreeMap;

use crate::definition::Build;
use crate::error_code::{Coded, ErrorCode};
use crate::limits::{BUILD_ARGS_BYTES_MAX, BUILD_ARGS_MAX, CONTEXT_URL_BYTES_MAX, DOCKERFILE_BYTES_MAX};
use crate::path::check_input_path;

const WORD_BYTES_MAX: usize = 128;

/// Why a build block is invalid. The sentences are for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBuild {
    /// There is nothing to build from, and no image.
    #[error("the build block has neither a dockerfile nor a context; give one of them, or an image")]
    NoDockerfile,
    /// The Dockerfile is larger than [`DOCKERFILE_BYTES_MAX`].
    #[error("the Dockerfile is larger than {} KiB", DOCKERFILE_BYTES_MAX / 1024)]
    DockerfileTooLarge,
    /// The Dockerfile contains a NUL.
    #[error("the Dockerfile contains a NUL character; save it as plain text")]
    DockerfileNul,
    /// The context is not a web URL. The sentence does not repeat it, because it may contain a token.
    #[error("the build context is not an http or https URL; give that of a git repository or an archive")]
    NoUrl,
    /// The URL is longer than [`CONTEXT_URL_BYTES_MAX`].
    #[error("the build context's URL is longer than {CONTEXT_URL_BYTES_MAX} bytes")]
    UrlTooLong,
    /// A path is absolute, contains `..`, or looks like an option.
    #[error("{what} \"{path}\" is not a path below the context; use plain segments such as docker/app")]
    Path {
        /// Which member.
        what: &'static str,
        /// As it was given, shortened.
        path: String,
    },
    /// There is a folder without a context.
    #[error("buildContext names a folder of the context, but there is no context; give context too")]
    FolderOfNothing,
    /// The engine would refuse a name.
    #[error("{what} \"{text}\" is not a name; use letters, digits, dots, dashes and underscores")]
    Word {
        /// Which member.
        what: &'static str,
        /// As it was given, shortened.
        text: String,
    },
    /// A build argument is not `NAME=value`. The sentence does not repeat it, because it may be a secret.
    #[error("a build argument is written NAME=value, with a name of letters, digits and underscores")]
    Arg,
    /// There are more build arguments than [`BUILD_ARGS_MAX`] or [`BUILD_ARGS_BYTES_MAX`].
    #[error("there are more than {BUILD_ARGS_MAX} build arguments, or more than {} KiB of them", BUILD_ARGS_BYTES_MAX / 1024)]
    TooManyArgs,
}

impl Coded for InvalidBuild {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidBuild
    }
}

/// A checked build block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildBlock {
    /// The Dockerfile's own text.
    pub dockerfile: Option<String>,
    /// URL of the context. None means that the context is only the Dockerfile.
    pub context: Option<String>,
    /// Folder in the context to build from.
    pub folder: Option<String>,
    /// Name of the Dockerfile in the context.
    pub filename: Option<String>,
    /// Stage to build.
    pub target: Option<String>,
    /// Platform to build for, such as `linux/amd64`.
    pub platform: Option<String>,
    /// Build arguments by name. If a name occurs more than once, its last value counts.
    pub args: BTreeMap<String, String>,
}

impl BuildBlock {
    /// Checks a block. Returns None for an empty block, which some clients send beside an image.
    pub fn read(build: &Build) -> Result<Option<Self>, InvalidBuild> {
        let dockerfile = build.dockerfile.clone().filter(|text| !text.trim().is_empty());
        let context = said(build.context.as_ref());
        if dockerfile.is_none() && context.is_none() {
            return Ok(None);
        }
        if let Some(text) = &dockerfile {
            check_dockerfile(text.as_bytes())?;
        }
        if let Some(url) = context {
            check_url(url)?;
        }
        let folder = path("buildContext", build.build_context.as_ref())?;
        if folder.is_some() && context.is_none() {
            return Err(InvalidBuild::FolderOfNothing);
        }
        Ok(Some(Self {
            dockerfile,
            context: context.map(str::to_owned),
            folder,
            filename: path("filename", build.filename.as_ref())?,
            target: word("target", build.target.as_ref(), "._-")?,
            platform: word("platform", build.platform.as_ref(), "._-/")?,
            args: arguments(build.build_args.as_deref().unwrap_or_default())?,
        }))
    }
}

/// Checks the text of a Dockerfile, inline or in a context.
pub fn check_dockerfile(text: &[u8]) -> Result<(), InvalidBuild> {
    match () {
        () if text.len() > DOCKERFILE_BYTES_MAX => Err(InvalidBuild::DockerfileTooLarge),
        () if text.contains(&0) => Err(InvalidBuild::DockerfileNul),
        () => Ok(()),
    }
}

/// Checks that a URL has a web scheme and a host. The worker reads the rest.
fn check_url(url: &str) -> Result<(), InvalidBuild> {
    if url.len() > CONTEXT_URL_BYTES_MAX {
        return Err(InvalidBuild::UrlTooLong);
    }
    let is_plain = !url.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_plain && is_web_url(url) { Ok(()) } else { Err(InvalidBuild::NoUrl) }
}

/// Whether a text begins like the URL of a web server: `http://` or `https://` and a host.
pub(crate) fn is_web_url(text: &str) -> bool {
    let rest = |scheme: &str| Some(text.get(scheme.len()..)?).filter(|_| text[..scheme.len()].eq_ignore_ascii_case(scheme));
    let host = rest("http://").or_else(|| rest("https://"));
    host.is_some_and(|rest| !rest.starts_with(['/', '?', '#', '\\']) && !rest.is_empty())
}

fn said(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A relative path of plain segments. `.` and an empty text mean the context itself.
fn path(what: &'static str, text: Option<&String>) -> Result<Option<String>, InvalidBuild> {
    let Some(text) = said(text) else { return Ok(None) };
    let refuse = || InvalidBuild::Path { what, path: short(text) };
    let plain = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
    if text != "/" && matches!(plain, "" | ".") {
        return Ok(None);
    }
    let is_option = plain.split('/').any(|segment| segment.starts_with('-'));
    if is_option || check_input_path(plain).is_err() {
        return Err(refuse());
    }
    Ok(Some(plain.to_owned()))
}

fn word(what: &'static str, text: Option<&String>, also: &str) -> Result<Option<String>, InvalidBuild> {
    let Some(text) = said(text) else { return Ok(None) };
    let is_word = text.len() <= WORD_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c));
    if is_word { Ok(Some(text.to_owned())) } else { Err(InvalidBuild::Word { what, text: short(text) }) }
}

fn arguments(all: &[String]) -> Result<BTreeMap<String, String>, InvalidBuild> {
    if all.len() > BUILD_ARGS_MAX || all.iter().map(String::len).sum::<usize>() > BUILD_ARGS_BYTES_MAX {
        return Err(InvalidBuild::TooManyArgs);
    }
    let mut read = BTreeMap::new();
    for argument in all.iter().filter(|argument| !argument.trim().is_empty()) {
        let (name, value) = argument.split_once('=').ok_or(InvalidBuild::Arg)?;
        let name = name.trim();
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name || value.contains('\0') {
            return Err(InvalidBuild::Arg);
        }
        read.insert(name.to_owned(), value.to_owned());
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<BuildBlock>, InvalidBuild> {
        BuildBlock::read(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_empty_block_counts_as_none() {
        for json in ["{}", r#"{"context":" ","dockerfile":"\n"}"#, r#"{"target":"x"}"#] {
            assert!(read(json).unwrap().is_none(), "{json}");
        }
    }

    #[test]
    fn paths_out_of_the_context_and_options_are_refused() {
        for bad in ["--output=/", "../..", "/etc", "a/../../b", "-f", "a/-o/b", "a\\b", "C:\\x", "a\0b", "/"] {
            let build = Build { context: Some("https://example.org/a.tgz".into()), ..Build::default() };
            let by_folder = Build { build_context: Some(bad.into()), ..build.clone() };
            let by_name = Build { filename: Some(bad.into()), ..build };
            for build in [by_folder, by_name] {
                assert!(matches!(BuildBlock::read(&build), Err(InvalidBuild::Path { .. })), "{bad:?}");
            }
        }
        for (given, kept) in [(".", None), ("./", None), ("", None), ("./a/b/", Some("a/b")), ("a b", Some("a b"))] {
            let json = serde_json::json!({ "context": "https://example.org/a.tgz", "buildContext": given });
            assert_eq!(read(&json.to_string()).unwrap().unwrap().folder.as_deref(), kept, "{given:?}");
        }
        assert_eq!(read(r#"{"dockerfile":"FROM a","buildContext":"a"}"#).unwrap_err(), InvalidBuild::FolderOfNothing);
    }

    #[test]
    fn names_and_arguments_are_checked() {
        let with = |member: &str| read(&format!(r#"{{"dockerfile":"FROM a",{member}}}"#));
        assert!(with(r#""target":"app-1.x_y","platform":"linux/arm64/v8","buildArgs":["A=1=2","_B="]"#).is_ok());
        for bad in [r#""target":"a b""#, r#""target":"-x""#, r#""platform":"linux;x""#, r#""target":"a/b""#] {
            assert!(matches!(with(bad), Err(InvalidBuild::Word { .. })), "{bad}");
        }
        for bad in [r#""buildArgs":["A"]"#, r#""buildArgs":["1A=x"]"#, r#""buildArgs":["=x"]"#, r#""buildArgs":["A B=x"]"#] {
            assert_eq!(with(bad).unwrap_err(), InvalidBuild::Arg, "{bad}");
        }
        let many: Vec<_> = (0..=BUILD_ARGS_MAX).map(|n| format!("A{n}=")).collect();
        assert_eq!(with(&format!(r#""buildArgs":{}"#, serde_json::json!(many))).unwrap_err(), InvalidBuild::TooManyArgs);
        let huge = serde_json::json!({ "dockerfile": "#".repeat(DOCKERFILE_BYTES_MAX + 1) });
        assert_eq!(read(&huge.to_string()).unwrap_err(), InvalidBuild::DockerfileTooLarge);
        assert_eq!(read(r#"{"dockerfile":"FROM a\u0000"}"#).unwrap_err(), InvalidBuild::DockerfileNul);
    }
}
