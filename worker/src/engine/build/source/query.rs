//! The query of a repository's URL, as Docker documents it for git contexts: `branch`, `tag`, `ref`, `commit` (`checksum`), `subdir`,
//! `submodules`, `keep-git-dir`.
//!
//! Unknown and unsupported members are refused, because an error is better than a build of a commit that the author did not mean.

use reqwest::Url;

use super::{InvalidContext, Wanted, is_hex, is_plain};

/// The supported members, for error messages.
pub(super) const MEMBERS: &str = "branch, tag, ref, commit, checksum, subdir and submodules";
const KNOWN: [&str; 8] = ["branch", "tag", "ref", "commit", "checksum", "subdir", "submodules", "keep-git-dir"];

/// The values of a query.
#[derive(Debug)]
pub(super) struct Members {
    name: Option<String>,
    commit: Option<String>,
    folder: Option<String>,
    pub(super) has_submodules: bool,
}

impl Default for Members {
    fn default() -> Self {
        Self { name: None, commit: None, folder: None, has_submodules: true }
    }
}

/// Whether every member of the query belongs to a repository's URL.
pub(super) fn is_of_git(url: &Url) -> bool {
    url.query_pairs().all(|(key, _)| KNOWN.contains(&&*key))
}

pub(super) fn read(url: &Url) -> Result<Members, InvalidContext> {
    let mut members = Members::default();
    for (key, value) in url.query_pairs() {
        let refuse = || InvalidContext::Query(key.chars().take(40).collect());
        match &*key {
            "branch" => put(&mut members.name, format!("refs/heads/{}", plain(&value)?))?,
            "tag" => put(&mut members.name, format!("refs/tags/{}", plain(&value)?))?,
            "ref" if value.is_empty() => (),
            "ref" => put(&mut members.name, plain(&value)?)?,
            "commit" | "checksum" if is_hex(&value) => put(&mut members.commit, value.to_ascii_lowercase())?,
            "subdir" if value.trim_matches('/').is_empty() => (),
            "subdir" => put(&mut members.folder, plain(value.trim_matches('/'))?)?,
            "submodules" => members.has_submodules = flag(&value).ok_or_else(refuse)?,
            "keep-git-dir" if flag(&value) == Some(false) => (),
            _ => return Err(refuse()),
        }
    }
    Ok(members)
}

impl Members {
    /// Combines the query with the rest of the URL.
    pub(super) fn refine(&self, wanted: Wanted) -> Result<Wanted, InvalidContext> {
        if self.name.is_none() && self.commit.is_none() && self.folder.is_none() {
            return Ok(wanted);
        }
        if wanted != Wanted::Head {
            return Err(InvalidContext::Twice);
        }
        Ok(Wanted::Query { name: self.name.clone(), commit: self.commit.clone(), folder: self.folder.clone() })
    }
}

fn put(place: &mut Option<String>, value: String) -> Result<(), InvalidContext> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(InvalidContext::Twice),
    }
}

fn plain(text: &str) -> Result<String, InvalidContext> {
    if text.split('/').all(is_plain) { Ok(text.to_owned()) } else { Err(InvalidContext::Segment) }
}

/// Reads a flag like Go's `strconv.ParseBool`, which Docker uses. A member without a value is true.
fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}
