//! Parses the URL of a build context.
//!
//! - `https://host/owner/repo.git` (on the hosts of [`FORGES`] also without `.git`), `…/tree/<ref>`, `…/tree/<ref>/<folder>`,
//!   `…/commit/<sha>` (GitLab adds `/-/` before `tree` and `commit`), `….git#<ref>:<folder>`, `….git?branch=<name>&subdir=<folder>` (see
//!   [`query`]): a git repository;
//! - every URL of the API itself, URLs that look like an archive, and other URLs with a query: an archive;
//! - every other URL: the worker asks the server whether it is a repository (see `git::is_repository`).
//!
//! A user name and password are removed from the URL here, and sent only to its host. Nothing prints them: [`Login`] has no `Display`, its
//! `Debug` is blank, and no error repeats the URL.

mod query;

use std::fmt;

use percent_encoding::percent_decode_str;
use protocol::limits::CONTEXT_URL_BYTES_MAX;
use reqwest::Url;

use crate::network::Guarded;

/// Hosts on which a URL of two segments is a repository.
const FORGES: [&str; 5] = ["github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "git.sr.ht"];
const ARCHIVE_SEGMENTS: [&str; 4] = ["archive", "tarball", "zipball", "get"];
const ARCHIVE_ENDINGS: [&str; 4] = [".zip", ".tgz", ".tar.gz", ".tar"];

/// Why a context's URL is refused. The sentences do not repeat the URL, which may contain a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidContext {
    /// It has another scheme, or is not a URL.
    #[error("the build context is not the https URL of a git repository or an archive")]
    NoUrl,
    /// It is longer than [`CONTEXT_URL_BYTES_MAX`].
    #[error("the build context's URL is longer than {CONTEXT_URL_BYTES_MAX} bytes")]
    TooLong,
    /// The folder or ref leaves the repository or looks like an option.
    #[error("the build context's URL has an invalid ref or folder; use plain segments")]
    Segment,
    /// The worker does not support a member of the query.
    #[error("the build context's URL has {0:?}, which this worker does not support; a repository's URL may have {members}", members = query::MEMBERS)]
    Query(String),
    /// Two parts of the URL name different refs or folders.
    #[error(
        "the build context's URL gives the ref or the folder twice; give it in one place only: the path, after `#`, or after `?`"
    )]
    Twice,
}

/// A user name and password for one host.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Which commit of a repository to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The default branch.
    Head,
    /// A ref, maybe followed by a folder. Refs may contain slashes, so only the server's list of refs shows where the ref ends.
    RefAndFolder(Vec<String>),
    Commit(String),
    /// A ref and a folder, separated by a colon.
    Fragment {
        name: String,
        folder: Option<String>,
    },
    /// The members of a query. If there are both, the ref must point to the commit.
    Query {
        name: Option<String>,
        commit: Option<String>,
        folder: Option<String>,
    },
}

/// A repository, and what to fetch from it.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    /// URL without login, query and fragment.
    pub(super) url: Url,
    pub(super) login: Option<Login>,
    pub(super) wanted: Wanted,
    /// Whether to fetch the submodules.
    pub(super) has_submodules: bool,
}

/// The kind of a context, from its URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Git,
    Archive,
    /// Only the server knows.
    Unknown,
}

/// A context's URL.
#[derive(Clone)]
pub(crate) struct Source {
    /// The URL with its login, if it has one. It is never printed.
    full: Url,
    repository: Repository,
    kind: Kind,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.shown())
    }
}

impl Source {
    /// Parses a URL. Its host is checked later, when the worker connects.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidContext> {
        if text.len() > CONTEXT_URL_BYTES_MAX {
            return Err(InvalidContext::TooLong);
        }
        let is_plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
        let full = Url::parse(text).ok().filter(|url| is_plain && matches!(url.scheme(), "http" | "https"));
        let full = full.filter(Url::has_host).ok_or(InvalidContext::NoUrl)?;
        let (kind, repository) = repository(&full)?;
        Ok(Self { full, repository, kind })
    }

    /// The kind of the context.
    pub(super) fn kind(&self, guarded: &Guarded) -> Kind {
        if guarded.is_own(&self.full) { Kind::Archive } else { self.kind }
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The full URL, only for requests.
    pub(super) fn full_url(&self) -> &Url {
        &self.full
    }

    /// Whether the archive comes from a forge, which packs a repository in a folder.
    pub(super) fn is_of_forge(&self) -> bool {
        let hosts = ["codeload.github.com", "api.github.com"];
        self.full.host_str().is_some_and(|host| hosts.contains(&host) || FORGES.contains(&host.trim_start_matches("www.")))
            || self.full.path_segments().is_some_and(|mut path| path.any(|word| ARCHIVE_SEGMENTS[..3].contains(&word)))
    }

    /// The URL for logs and cache keys, without login, query and fragment.
    pub(super) fn shown(&self) -> String {
        let mut url = self.full.clone();
        strip(&mut url);
        url.to_string()
    }
}

fn strip(url: &mut Url) -> Option<Login> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let login = Login { user: decode(url.username()), password: url.password().map(decode).unwrap_or_default() };
    // These calls fail only for URLs without a host.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    (!login.user.is_empty() || !login.password.is_empty()).then_some(login)
}

/// Parses a URL as that of a repository, even if it may be another kind.
fn repository(full: &Url) -> Result<(Kind, Repository), InvalidContext> {
    let segments: Vec<String> = full
        .path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let marker = segments
        .iter()
        .enumerate()
        .skip(2)
        .find(|(at, word)| matches!(word.as_str(), "tree" | "commit") && segments.len() > at + 1);
    let (path, wanted) = match marker {
        Some((at, word)) => (&segments[..at], wanted(word, &segments[at + 1..])?),
        None => (&segments[..], from_fragment(full.fragment())?),
    };
    let path = path.strip_suffix(&["-".to_owned()]).unwrap_or(path);
    let kind = kind(full, path, marker.is_some());
    let query = if kind == Kind::Git { query::read(full)? } else { query::Members::default() };
    let wanted = query.refine(wanted)?;
    let mut url = full.clone();
    let login = strip(&mut url);
    if let Ok(mut own) = url.path_segments_mut() {
        own.clear().extend(path);
    }
    Ok((kind, Repository { url, login, wanted, has_submodules: query.has_submodules }))
}

fn kind(full: &Url, path: &[String], has_marker: bool) -> Kind {
    let last = path.last().map_or("", String::as_str);
    let is_archive = path.iter().skip(2).any(|word| ARCHIVE_SEGMENTS.contains(&word.as_str()))
        || ARCHIVE_ENDINGS.iter().any(|ending| last.ends_with(ending));
    let is_forge = full.host_str().is_some_and(|host| FORGES.contains(&host.trim_start_matches("www.")));
    match () {
        () if last.strip_suffix(".git").is_some() || has_marker => Kind::Git,
        () if is_archive => Kind::Archive,
        () if is_forge && path.len() == 2 && query::is_of_git(full) => Kind::Git,
        () if full.query().is_some() => Kind::Archive,
        () => Kind::Unknown,
    }
}

fn wanted(word: &str, rest: &[String]) -> Result<Wanted, InvalidContext> {
    if rest.iter().any(|segment| !is_plain(segment)) {
        return Err(InvalidContext::Segment);
    }
    match (word, rest) {
        ("commit", [sha]) if is_hex(sha) => Ok(Wanted::Commit(sha.to_ascii_lowercase())),
        ("commit", _) => Err(InvalidContext::Segment),
        _ => Ok(Wanted::RefAndFolder(rest.to_vec())),
    }
}

/// Parses `#<ref>:<folder>`, as in the Docker command line.
fn from_fragment(fragment: Option<&str>) -> Result<Wanted, InvalidContext> {
    let fragment = percent_decode_str(fragment.unwrap_or_default()).decode_utf8_lossy().into_owned();
    let (name, folder) = fragment.split_once(':').unwrap_or((&fragment, ""));
    let folder = folder.trim_matches('/');
    if !name.split('/').chain(folder.split('/')).filter(|segment| !segment.is_empty()).all(is_plain) {
        return Err(InvalidContext::Segment);
    }
    if name.is_empty() && folder.is_empty() {
        return Ok(Wanted::Head);
    }
    let name = if name.is_empty() { "HEAD" } else { name };
    Ok(Wanted::Fragment { name: name.to_owned(), folder: (!folder.is_empty()).then(|| folder.to_owned()) })
}

pub(super) fn is_plain(segment: &str) -> bool {
    !segment.starts_with('-') && protocol::check_input_path(segment.trim_matches('/')).is_ok()
}

/// Whether a text may be a commit: at least seven digits, because fewer do not identify one.
pub(super) fn is_hex(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
