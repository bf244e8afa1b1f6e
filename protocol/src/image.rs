//! Image references, parsed by the grammar of the distribution project.
//!
//! The engine's client puts names into URL paths without escaping, so `a/../../containers/x` would reach another call of the engine. A
//! reference that parses here contains no special character of URL paths except `/`, and no `..` segment.

use std::fmt;

use crate::error_code::{Coded, ErrorCode};

/// Host of the default registry, for names without a host.
pub const DEFAULT_REGISTRY: &str = "docker.io";
const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

/// A text that is not an image reference.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an image reference; write it as name, name:tag or registry.example/path/name@sha256:…")]
pub struct InvalidImage(String);

impl Coded for InvalidImage {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidImage
    }
}

/// A checked image reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    /// Registry and path.
    pub name: String,
    /// Tag or digest. `latest` when the text has neither. Never empty, because the engine would then pull every tag.
    pub version: ImageVersion,
}

/// Which image of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageVersion {
    /// A tag, which may mean another image later.
    Tag(String),
    /// A digest, which always means the same content.
    Digest(String),
}

impl ImageReference {
    /// Host and maybe port of the registry in the name. None means the engine's default.
    pub fn registry(&self) -> Option<&str> {
        self.name.split_once('/').map(|(first, _)| first).filter(|first| names_registry(first))
    }
}

impl ImageVersion {
    /// The tag or digest as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(text) | Self::Digest(text) => text,
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            ImageVersion::Tag(tag) => write!(f, "{}:{tag}", self.name),
            ImageVersion::Digest(digest) => write!(f, "{}@{digest}", self.name),
        }
    }
}

impl std::str::FromStr for ImageReference {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        parse(text.trim()).ok_or_else(|| InvalidImage(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<ImageReference> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon after the last slash starts a tag; one before it belongs to the registry's port.
    let after_slash = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[after_slash..].find(':') {
        Some(at) => (&rest[..after_slash + at], Some(&rest[after_slash + at + 1..])),
        None => (rest, None),
    };
    let is_valid = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
    let version = match (digest, tag) {
        (Some(digest), _) => ImageVersion::Digest(digest.to_owned()),
        (None, tag) => ImageVersion::Tag(tag.unwrap_or("latest").to_owned()),
    };
    is_valid.then(|| ImageReference { name: name.to_owned(), version })
}

fn is_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((first, path)) if names_registry(first) => is_registry(first).then_some(path),
        _ => Some(name),
    };
    name.len() <= NAME_BYTES_MAX && path.is_some_and(|path| path.split('/').all(is_path_segment))
}

/// Whether the first segment of a name is a registry and not a part of the path.
fn names_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

/// Whether a text is a host and maybe a port.
pub fn is_registry(registry: &str) -> bool {
    let (host, port) = registry.split_once(':').unwrap_or((registry, "0"));
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    host.split('.').all(is_label) && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Lowercase letters and digits, joined by one dot, one or two underscores, or dashes.
fn is_path_segment(segment: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut run = String::new();
    for byte in segment.bytes() {
        if is_plain(byte) {
            let joins = matches!(run.as_str(), "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-');
            if !joins {
                return false;
            }
            run.clear();
        } else if matches!(byte, b'.' | b'_' | b'-') {
            run.push(char::from(byte));
        } else {
            return false;
        }
    }
    let starts_plain = segment.bytes().next().is_some_and(is_plain);
    starts_plain && run.is_empty()
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    tag.len() <= TAG_BYTES_MAX && bytes.next().is_some_and(is_word) && bytes.all(|b| is_word(b) || b == b'.' || b == b'-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let is_algorithm = !algorithm.is_empty() && algorithm.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    is_algorithm && (32..=256).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, name, version) in [
            ("alpine", "alpine", "latest"),
            ("alpine:3.20", "alpine", "3.20"),
            ("localhost:5000/a/b-c__d:v1", "localhost:5000/a/b-c__d", "v1"),
            ("ghcr.io/Owner".to_lowercase().as_str(), "ghcr.io/owner", "latest"),
            (&format!("a.b/c@{digest}"), "a.b/c", &digest),
            (&format!("a.b/c:t@{digest}"), "a.b/c", &digest),
        ] {
            let reference: ImageReference = text.parse().unwrap();
            assert_eq!((reference.name.as_str(), reference.version.as_str()), (name, version), "{text}");
        }
    }

    #[test]
    fn texts_that_could_reach_another_call_are_refused() {
        for bad in [
            "",
            "a/../../containers/x/json#",
            "../containers/victim?force=1&x=",
            "a//b",
            "Alpine",
            "a:",
            "a:b/c",
            "a@sha256:12",
            "a b",
            "a%2e%2e",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "http://a/b",
            "a:-x",
        ] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad:?}");
        }
    }
}
