//! From a server's list of refs to the commit that is wanted.

use reqwest::Url;

use super::{GitError, Resolved};
use crate::build::source::{Wanted, is_hex};

/// Lines of `ls-remote`: commit and ref, where `<tag>^{}` is the commit that a tag object stands for.
pub(super) fn parse_refs(list: &str) -> Vec<(&str, &str)> {
    let lines = list.lines().filter_map(|line| line.split_once('\t'));
    lines.filter(|(commit, _)| is_hex(commit) && commit.len() >= 40).collect()
}

/// Finds what is wanted in the list.
pub(super) fn find(wanted: &Wanted, refs: &[(&str, &str)], url: Url) -> Result<Resolved, GitError> {
    let (found, folder) = match wanted {
        Wanted::Head => (by_name(refs, "HEAD"), None),
        Wanted::Fragment { name, folder } => (by_name(refs, name), folder.clone()),
        Wanted::RefAndFolder(segments) => by_longest_name(refs, segments),
        Wanted::Commit(commit) => (by_commit(refs, commit)?, None),
    };
    let (commit, name) = found.ok_or_else(|| GitError::NoRef(text_of(wanted)))?;
    Ok(Resolved { commit, folder, name, url })
}

type Found = Option<(String, Option<String>)>;

/// A branch before a tag; all digits of a commit stand for it.
fn by_name(refs: &[(&str, &str)], name: &str) -> Found {
    let exact = |full: &str| refs.iter().find(|(_, other)| *other == full).map(|(commit, _)| (*commit).to_owned());
    let branch = format!("refs/heads/{name}");
    let tag = format!("refs/tags/{name}");
    if name == "HEAD" {
        return exact("HEAD").map(|commit| (commit, Some("HEAD".to_owned())));
    }
    let named = exact(&branch).map(|commit| (commit, Some(branch)));
    let tagged = || exact(&format!("{tag}^{{}}")).or_else(|| exact(&tag)).map(|commit| (commit, Some(tag.clone())));
    let literal = || (matches!(name.len(), 40 | 64) && is_hex(name)).then(|| (name.to_ascii_lowercase(), None));
    named.or_else(tagged).or_else(literal)
}

/// As many segments as make a ref; the rest is a folder.
fn by_longest_name(refs: &[(&str, &str)], segments: &[String]) -> (Found, Option<String>) {
    for n in (1..=segments.len()).rev() {
        if let Some(found) = by_name(refs, &segments[..n].join("/")) {
            return (Some(found), (n < segments.len()).then(|| segments[n..].join("/")));
        }
    }
    (None, None)
}

fn by_commit(refs: &[(&str, &str)], commit: &str) -> Result<Found, GitError> {
    let at_tip = refs.iter().find(|(tip, _)| tip.starts_with(commit)).map(|(tip, _)| (*tip).to_owned());
    match at_tip {
        Some(commit) => Ok(Some((commit, None))),
        None if matches!(commit.len(), 40 | 64) => Ok(Some((commit.to_owned(), None))),
        None => Err(GitError::ShortCommit(commit.to_owned())),
    }
}

fn text_of(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Head => "HEAD".to_owned(),
        Wanted::RefAndFolder(segments) => segments.join("/"),
        Wanted::Commit(name) | Wanted::Fragment { name, .. } => name.clone(),
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
        assert!(matches!(found(&path("feature")), Err(GitError::NoRef(_))));
        assert!(matches!(found(&commit("7777777")), Err(GitError::ShortCommit(_))));
    }
}
