//! A repository with its submodules. Each submodule is fetched at the commit that its parent names, and all files go into one tar.
//!
//! A stranger wrote `.gitmodules`, so its paths are checked like names in archives. Its URLs use the same tunnel as the main repository. A
//! login in such a URL is not used, and the login of the main repository is sent only to its own host. Bounds: [`PARTS_MAX`],
//! [`DEPTH_MAX`], and the bytes of all repositories together.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use protocol::check_input_path;
use reqwest::Url;

use super::lfs::LargeFiles;
use super::refs::is_commit;
use super::{BYTES_MAX, Git, GitError, Resolved};
use crate::engine::build::archive::{Archive, ArchiveEntry, ArchiveError, Kind, append};

const PARTS_MAX: usize = 64;
const DEPTH_MAX: usize = 8;

/// One repository at one commit.
#[derive(Debug)]
pub(super) struct RepositoryPart {
    /// Folder of its files in the tar. It is empty or ends with `/`.
    pub(super) prefix: String,
    pub(super) url: Url,
    pub(super) commit: String,
    pub(super) bare: PathBuf,
    pub(super) tar: PathBuf,
    depth: usize,
}

/// The entry of a submodule in the tree of its parent.
struct Link {
    path: String,
    commit: String,
}

impl Git<'_> {
    /// The repository and, if they are wanted, all its submodules.
    pub(super) async fn parts(&self, resolved: &Resolved) -> Result<Vec<RepositoryPart>, GitError> {
        let mut left = BYTES_MAX;
        let first = self.part(0, String::new(), resolved.url.clone(), resolved.commit.clone(), 0);
        self.fetch_part(&first, resolved.name.as_deref(), &mut left).await?;
        let mut parts = vec![first];
        let mut at = 0;
        while self.repository.has_submodules && at < parts.len() {
            for (link, url) in self.submodules_of(&parts[at]).await? {
                let refuse = |why: &str| Err(GitError::Submodule { path: link.path.clone(), why: why.to_owned() });
                if parts.len() >= PARTS_MAX {
                    return refuse("there are more than 64 submodules");
                }
                let depth = parts[at].depth + 1;
                if depth > DEPTH_MAX {
                    return refuse("it is nested in more than 8 repositories");
                }
                let part = self.part(parts.len(), format!("{}{}/", parts[at].prefix, link.path), url, link.commit, depth);
                self.fetch_part(&part, None, &mut left).await.map_err(|error| of_submodule(&link.path, error))?;
                parts.push(part);
            }
            at += 1;
        }
        Ok(parts)
    }

    fn part(&self, n: usize, prefix: String, url: Url, commit: String, depth: usize) -> RepositoryPart {
        let (bare, tar) = (self.folder.join(format!("repository-{n}")), self.folder.join(format!("files-{n}")));
        RepositoryPart { prefix, url, commit, bare, tar, depth }
    }

    async fn fetch_part(&self, part: &RepositoryPart, name: Option<&str>, left: &mut u64) -> Result<(), GitError> {
        self.fetch_bare(&part.bare, &part.url, &part.commit, name).await?;
        *left -= self.archive(&part.bare, &part.commit, &part.tar, *left).await?;
        Ok(())
    }

    async fn submodules_of(&self, part: &RepositoryPart) -> Result<Vec<(Link, Url)>, GitError> {
        let mut command = self.command(&[]);
        command.arg("--git-dir").arg(&part.bare).args(["ls-tree", "-r", "-z", "--full-tree", &part.commit]);
        let links = links_in(&self.output(command).await?);
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.command(&[]);
        let modules = format!("--blob={}:.gitmodules", part.commit);
        command.arg("--git-dir").arg(&part.bare).args([
            "config",
            "--null",
            &modules,
            "--get-regexp",
            r"^submodule\..*\.(path|url)$",
        ]);
        // If the file is missing, the error below says that it has no URL for the submodule.
        let urls = urls_in(&self.output(command).await.unwrap_or_default());
        let with_url = |link: Link| {
            let url = self.url_of(&link, urls.get(&link.path), &part.url);
            url.map_err(|why| GitError::Submodule { path: link.path.clone(), why: why.to_owned() }).map(|url| (link, url))
        };
        links.into_iter().map(with_url).collect()
    }

    /// The URL of a submodule. The sentence of a refusal does not repeat the URL, which may contain a login.
    fn url_of(&self, link: &Link, written: Option<&String>, parent: &Url) -> Result<Url, &'static str> {
        let written = written.ok_or(".gitmodules has no URL for it")?;
        if check_input_path(&link.path).is_err() || !is_commit(&link.commit) {
            return Err("its path is not a relative path of plain segments");
        }
        let is_relative = written.starts_with("./") || written.starts_with("../");
        let read = if is_relative { beside(parent, written) } else { Url::parse(written).ok() };
        let mut url = read.ok_or("its URL is not an https URL; the worker has no key for ssh URLs")?;
        let is_spoken = url.scheme() == "https" || (self.allows_http && url.scheme() == "http");
        if !is_spoken || !url.has_host() {
            return Err("its URL is not an https URL");
        }
        // These calls fail only for URLs without a host.
        let _ = (url.set_username(""), url.set_password(None));
        url.set_query(None);
        url.set_fragment(None);
        Ok(url)
    }
}

fn of_submodule(path: &str, error: GitError) -> GitError {
    match error {
        GitError::Host(_) | GitError::NoGit | GitError::TooLarge | GitError::Submodule { .. } => error,
        // These errors may be temporary, so they keep their kind.
        GitError::Unreachable(why) => GitError::Unreachable(format!("the submodule {path:?}: {why}")),
        GitError::Failed(why) => GitError::Failed(format!("the submodule {path:?}: {why}")),
        error => GitError::Submodule { path: path.to_owned(), why: error.to_string() },
    }
}

/// Resolves a relative URL. Git treats a repository's URL as a folder.
fn beside(parent: &Url, written: &str) -> Option<Url> {
    let mut folder = parent.clone();
    folder.set_path(&format!("{}/", parent.path().trim_end_matches('/')));
    folder.join(written).ok()
}

/// The submodules in a tree: entries that are commits of other repositories.
fn links_in(tree: &str) -> Vec<Link> {
    let entries = tree.split('\0').filter_map(|entry| entry.strip_prefix("160000 commit ")?.split_once('\t'));
    entries.map(|(commit, path)| Link { path: path.to_owned(), commit: commit.to_owned() }).collect()
}

/// The submodules' URLs by path.
fn urls_in(settings: &str) -> HashMap<String, String> {
    let (mut paths, mut urls) = (HashMap::new(), HashMap::new());
    for (key, value) in settings.split('\0').filter_map(|setting| setting.split_once('\n')) {
        match key.rsplit_once('.') {
            Some((name, "path")) => drop(paths.insert(name.to_owned(), value.to_owned())),
            Some((name, "url")) => drop(urls.insert(name.to_owned(), value.to_owned())),
            _ => (),
        }
    }
    paths.into_iter().filter_map(|(name, path)| Some((path, urls.remove(&name)?))).collect()
}

/// Writes one tar of all parts, with the large files in place of their pointers.
pub(super) async fn join(parts: Vec<RepositoryPart>, files: LargeFiles, tar: &Path) -> Result<(), GitError> {
    if let ([only], true) = (parts.as_slice(), files.is_empty()) {
        return tokio::fs::rename(&only.tar, tar).await.map_err(GitError::Host);
    }
    let tar = tar.to_owned();
    let joined = tokio::task::spawn_blocking(move || write(&parts, &files, &tar)).await;
    joined.map_err(io::Error::other).and_then(|written| written).map_err(GitError::Host)
}

fn write(parts: &[RepositoryPart], files: &LargeFiles, path: &Path) -> io::Result<()> {
    let mut tar = tar::Builder::new(io::BufWriter::new(File::create(path)?));
    for part in parts {
        let archive = Archive::open(&part.tar).map_err(io::Error::other)?;
        let mut failure = None;
        let result = archive.each(&mut |entry, bytes| {
            let name = format!("{}{}", part.prefix, entry.path);
            let written = match files.get(&name) {
                Some(file) => append_file(&mut tar, &name, entry, file),
                None => append(&mut tar, &name, "", entry, bytes),
            };
            written.map_err(|error| {
                failure = Some(error);
                ArchiveError::Stopped
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        result.map_err(io::Error::other)?;
    }
    io::Write::flush(&mut tar.into_inner()?)
}

fn append_file(tar: &mut tar::Builder<impl io::Write>, name: &str, entry: &ArchiveEntry, file: &Path) -> io::Result<()> {
    let mut bytes = File::open(file)?;
    let size = bytes.metadata()?.len();
    let entry = ArchiveEntry { kind: Kind::File { size }, ..entry.clone() };
    append(tar, name, "", &entry, &mut bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_are_read_from_gits_output() {
        let sha = "1".repeat(40);
        let tree = format!("100644 blob {sha}\ta\0160000 commit {sha}\tlib/in ner\0");
        let links = links_in(&tree);
        assert_eq!((links.len(), links[0].path.as_str(), links[0].commit.as_str()), (1, "lib/in ner", sha.as_str()));
        let urls = urls_in("submodule.a.b.path\nlib/in ner\0submodule.a.b.url\n../x.git\0submodule.c.url\ny\0");
        assert_eq!(urls, HashMap::from([("lib/in ner".to_owned(), "../x.git".to_owned())]));
        let parent: Url = "https://host/o/r.git".parse().unwrap();
        assert_eq!(beside(&parent, "../x.git").unwrap().as_str(), "https://host/o/x.git");
        assert_eq!(beside(&parent, "../../p/x").unwrap().as_str(), "https://host/p/x");
    }
}
