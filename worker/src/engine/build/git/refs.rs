//! Finds the commit to build in a server's list of refs.

use reqwest::Url;

use super::{GitError, Resolved};
use crate::engine::build::source::{Wanted, is_hex};

/// The lines of `ls-remote`: commit and ref. `<tag>^{}` is the commit of a tag object.
pub(super) fn parse_refs(list: &str) -> Vec<(&str, &str)> {
    let lines = list.lines().filter_map(|line| line.split_once('\t'));
    lines.filter(|(commit, _)| is_hex(commit) && commit.len() >= 40).collect()
}

/// Whether a text is a complete commit id.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

/// Finds the commit in the list.
pub(super) fn find(wanted: &Wanted, refs: &[(&str, &str)], url: Url) -> Result<Resolved, GitError> {
    let (found, folder) = match wanted {
        Wanted::Head => (by_name(refs, "HEAD"), None),
        Wanted::Fragment { name, folder } => (by_name_or_start(refs, name)?, folder.clone()),
        Wanted::Query { name, commit, folder } => (by_query(refs, name.as_deref(), commit.as_deref())?, folder.clone()),
        Wanted::RefAndFolder(segments) => by_longest_name(refs, segments),
        Wanted::Commit(commit) => (by_commit(refs, commit)?, None),
    };
    let (commit, name) = found.ok_or_else(|| GitError::NoRef(text_of(wanted)))?;
    Ok(Resolved { commit, folder, name, url })
}

type Found = Option<(String, Option<String>)>;

/// The commit of a query, which names a ref, a commit, or both. If it names both, the ref must point to the commit.
fn by_query(refs: &[(&str, &str)], name: Option<&str>, commit: Option<&str>) -> Result<Found, GitError> {
    let found = match (name, commit) {
        (None, Some(commit)) => return by_commit(refs, commit),
        (Some(name), _) => by_name_or_start(refs, name)?,
        (None, None) => by_name(refs, "HEAD"),
    };
    match (found, commit) {
        (Some((found, _)), Some(commit)) if !found.starts_with(commit) => {
            Err(GitError::OtherCommit { name: name.unwrap_or("HEAD").to_owned(), found, wanted: commit.to_owned() })
        }
        (found, _) => Ok(found),
    }
}

/// The commit of a name, or of the first digits of a commit that a branch or a tag points to.
fn by_name_or_start(refs: &[(&str, &str)], name: &str) -> Result<Found, GitError> {
    match by_name(refs, name) {
        None if is_hex(name) => by_commit(refs, &name.to_ascii_lowercase()),
        found => Ok(found),
    }
}

/// The commit of the first that exists: a branch, a tag, or another ref such as `pull/1/head`. If none exists, the name may be a commit id.
fn by_name(refs: &[(&str, &str)], name: &str) -> Found {
    let exact = |full: &str| refs.iter().find(|(_, other)| *other == full).map(|(commit, _)| (*commit).to_owned());
    let peeled = |full: String| exact(&format!("{full}^{{}}")).or_else(|| exact(&full)).map(|commit| (commit, Some(full)));
    if name.starts_with("refs/") {
        return peeled(name.to_owned());
    }
    let branch = format!("refs/heads/{name}");
    let tag = format!("refs/tags/{name}");
    if name == "HEAD" {
        return exact("HEAD").map(|commit| (commit, Some("HEAD".to_owned())));
    }
    let named = exact(&branch).map(|commit| (commit, Some(branch)));
    let tagged = || peeled(tag.clone());
    let other = || peeled(format!("refs/{name}"));
    let literal = || (is_commit(name)).then(|| (name.to_ascii_lowercase(), None));
    named.or_else(tagged).or_else(other).or_else(literal)
}

/// Finds the longest ref that the first segments form. The other segments are a folder.
fn by_longest_name(refs: &[(&str, &str)], segments: &[String]) -> (Found, Option<String>) {
    for n in (1..=segments.len()).rev() {
        if let Some(found) = by_name(refs, &segments[..n].join("/")) {
            return (Some(found), (n < segments.len()).then(|| segments[n..].join("/")));
        }
    }
    (None, None)
}

fn by_commit(refs: &[(&str, &str)], commit: &str) -> Result<Found, GitError> {
    let mut tips = refs.iter().map(|(tip, _)| *tip).filter(|tip| tip.starts_with(commit));
    let at_tip = tips.next().filter(|first| tips.all(|other| other == *first)).map(str::to_owned);
    match at_tip {
        Some(commit) => Ok(Some((commit, None))),
        None if is_commit(commit) => Ok(Some((commit.to_owned(), None))),
        None => Err(GitError::ShortCommit(commit.to_owned())),
    }
}

fn text_of(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Head => "HEAD".to_owned(),
        Wanted::RefAndFolder(segments) => segments.join("/"),
        Wanted::Commit(name) | Wanted::Fragment { name, .. } => name.clone(),
        Wanted::Query { name, commit, .. } => name.clone().or_else(|| commit.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFS: &str = "1111111111111111111111111111111111111111\tHEAD\n\
        1111111111111111111111111111111111111111\trefs/heads/main\n\
        2222222222222222222222222222222222222222\trefs/heads/feature/a\n\
        3333333333333333333333333333333333333333\trefs/heads/both\n\
        4444444444444444444444444444444444444444\trefs/tags/both\n\
        5555555555555555555555555555555555555555\trefs/tags/v1\n\
        6666666666666666666666666666666666666666\trefs/tags/v1^{}\n\
        8888888888888888888888888888888888888888\trefs/pull/1/head\n\
        warning\tnot a ref\n";

    fn found(wanted: &Wanted) -> Result<(char, Option<String>), GitError> {
        let resolved = find(wanted, &parse_refs(REFS), "https://host/a/b".parse().unwrap())?;
        Ok((resolved.commit.chars().next().unwrap(), resolved.folder))
    }

    #[test]
    fn refs_with_slashes_and_folders_are_told_apart_by_the_servers_list() {
        let path = |text: &str| Wanted::RefAndFolder(text.split('/').map(str::to_owned).collect());
        let commit = |text: &str| Wanted::Commit(text.to_owned());
        let seventh = "7".repeat(40);
        for (wanted, digit, folder) in [
            (Wanted::Head, '1', None),
            (path("main"), '1', None),
            (path("feature/a"), '2', None),
            (path("feature/a/docker/x"), '2', Some("docker/x")),
            (path("both"), '3', None),
            (path("v1"), '6', None),
            (path(&seventh), '7', None),
            (commit("2222222"), '2', None),
            (commit(&seventh), '7', None),
            (Wanted::Fragment { name: "v1".into(), folder: Some("x".into()) }, '6', Some("x")),
        ] {
            assert_eq!(found(&wanted).unwrap(), (digit, folder.map(str::to_owned)), "{wanted:?}");
        }
        let fragment = |name: &str| Wanted::Fragment { name: name.into(), folder: None };
        for (name, digit) in [
            ("refs/heads/both", '3'),
            ("refs/tags/both", '4'),
            ("refs/tags/v1", '6'),
            ("tags/both", '4'),
            ("pull/1/head", '8'),
            ("refs/pull/1/head", '8'),
            ("2222222", '2'),
        ] {
            assert_eq!(found(&fragment(name)).unwrap().0, digit, "{name}");
        }
        let query = |name: Option<&str>, commit: Option<&str>| Wanted::Query {
            name: name.map(str::to_owned),
            commit: commit.map(str::to_owned),
            folder: None,
        };
        assert_eq!(found(&query(Some("refs/tags/both"), None)).unwrap().0, '4');
        assert_eq!(found(&query(Some("main"), Some("1111111"))).unwrap().0, '1');
        assert_eq!(found(&query(None, Some(&seventh))).unwrap().0, '7');
        assert!(matches!(found(&query(Some("main"), Some("2222222"))), Err(GitError::OtherCommit { .. })));
        assert!(matches!(found(&query(Some("refs/heads/v1"), None)), Err(GitError::NoRef(_))));
        assert!(matches!(found(&path("feature")), Err(GitError::NoRef(_))));
        assert!(matches!(found(&commit("7777777")), Err(GitError::ShortCommit(_))));
    }
}
