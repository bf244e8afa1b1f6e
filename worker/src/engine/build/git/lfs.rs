//! Files in large file storage (git-lfs): the worker replaces each pointer file in the repository by the large file.
//!
//! It uses the batch protocol of basic transfers through the guarded client, without the `git-lfs` program. A file is accepted when its
//! SHA-256 and size are those of the pointer. A repository's login is sent only to its own host. Headers that the storage gives for a
//! download are sent only with that download.
//!
//! Bounds: [`FILES_MAX`], [`BYTES_MAX`] of all files together, [`ANSWER_BYTES_MAX`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::parts::RepositoryPart;
use super::{BYTES_MAX, Git, GitError};
use crate::answer::ApiError;
use crate::engine::build::archive::{Archive, ArchiveError, Kind};

const FILES_MAX: usize = 10_000;
/// Most bytes of a pointer file.
const POINTER_BYTES_MAX: u64 = 1024;
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Files in one request.
const BATCH: usize = 100;
const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
const FIRST_LINE: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// Large files on disk, by their name in the tar.
pub(super) type LargeFiles = HashMap<String, PathBuf>;

/// A pointer file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    /// Name in the tar of all repositories.
    name: String,
    part: usize,
    sha256: String,
    size: u64,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    actions: Option<Actions>,
}

#[derive(Deserialize)]
struct Actions {
    download: Option<Download>,
}

#[derive(Deserialize)]
struct Download {
    href: String,
    #[serde(default)]
    header: HashMap<String, String>,
}

/// Finds the pointer files of all parts, or only those below a folder.
pub(super) async fn pointers_in(parts: &[RepositoryPart], folder: Option<&str>) -> Result<Vec<Pointer>, GitError> {
    let tars: Vec<_> = parts.iter().map(|part| (part.prefix.clone(), part.tar.clone())).collect();
    let below = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
    let read = move || {
        let mut found = Vec::new();
        for (part, (prefix, tar)) in tars.iter().enumerate() {
            Archive::open(tar)?.each(&mut |entry, bytes| {
                let name = format!("{prefix}{}", entry.path);
                let may_be = matches!(entry.kind, Kind::File { size } if size < POINTER_BYTES_MAX) && name.starts_with(&below);
                if may_be {
                    let mut text = Vec::new();
                    std::io::Read::read_to_end(bytes, &mut text).map_err(|error| ArchiveError::Broken(error.to_string()))?;
                    found.extend(pointer(name, part, &text));
                }
                Ok(())
            })?;
        }
        Ok::<_, ArchiveError>(found)
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other).map_err(GitError::Host)?;
    read.map_err(|error| GitError::Failed(error.to_string()))
}

fn pointer(name: String, part: usize, text: &[u8]) -> Option<Pointer> {
    let rest = std::str::from_utf8(text.strip_prefix(FIRST_LINE)?).ok()?;
    let value = |key: &str| rest.lines().find_map(|line| line.strip_prefix(key));
    let sha256 = value("oid sha256:").filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some(Pointer { name, part, sha256: sha256.to_owned(), size: value("size ")?.parse().ok()? })
}

impl Git<'_> {
    /// Fetches all large files.
    pub(super) async fn large_files(&self, parts: &[RepositoryPart], pointers: Vec<Pointer>) -> Result<LargeFiles, GitError> {
        let total = pointers.iter().fold(0_u64, |sum, pointer| sum.saturating_add(pointer.size));
        if total > BYTES_MAX || pointers.len() > FILES_MAX {
            return Err(GitError::TooLarge);
        }
        let mut files = LargeFiles::new();
        for (at, part) in parts.iter().enumerate() {
            let wanted: Vec<_> = pointers.iter().filter(|pointer| pointer.part == at).collect();
            if wanted.is_empty() {
                continue;
            }
            let storage = self.storage_of(part).await;
            for batch in wanted.chunks(BATCH) {
                self.batch(&storage, batch, &mut files).await?;
            }
        }
        Ok(files)
    }

    /// The address of the storage: the one in `.lfsconfig`, else the default, which is derived from the repository's URL.
    async fn storage_of(&self, part: &RepositoryPart) -> Url {
        let mut command = self.command(&[]);
        let settings = format!("--blob={}:.lfsconfig", part.commit);
        command.arg("--git-dir").arg(&part.bare).args(["config", &settings, "--get", "lfs.url"]);
        let written = self.output(command).await.ok().and_then(|text| Url::parse(text.trim()).ok());
        written.filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty()).unwrap_or_else(|| {
            let mut url = part.url.clone();
            let path = part.url.path().trim_end_matches('/').trim_end_matches(".git");
            url.set_path(&format!("{path}.git/info/lfs"));
            url
        })
    }

    async fn batch(&self, storage: &Url, pointers: &[&Pointer], files: &mut LargeFiles) -> Result<(), GitError> {
        let first = &pointers[0].name;
        let refuse = |path: &str, why: String| GitError::LargeFile { path: path.to_owned(), why };
        let objects: Vec<_> = pointers.iter().map(|pointer| json!({ "oid": pointer.sha256, "size": pointer.size })).collect();
        let body =
            json!({ "operation": "download", "transfers": ["basic"], "objects": objects, "hash_algo": "sha256" }).to_string();
        let mut url = storage.clone();
        url.set_path(&format!("{}/objects/batch", storage.path().trim_end_matches('/')));
        let dress = |request: RequestBuilder| {
            let request = request.header("Accept", MEDIA_TYPE).header("Content-Type", MEDIA_TYPE).body(body);
            self.with_login(request, storage)
        };
        let answer = self.guarded.once(Method::POST, url, dress).await.map_err(|error| failed(first, &error))?;
        let answer: Answer = read(answer).await.ok_or_else(|| refuse(first, "cannot read the server's answer".to_owned()))?;
        for pointer in pointers {
            let actions =
                answer.objects.iter().find(|object| object.oid == pointer.sha256).and_then(|object| object.actions.as_ref());
            let download = actions.and_then(|actions| actions.download.as_ref());
            let download = download.ok_or_else(|| refuse(&pointer.name, "the server does not have it".to_owned()))?;
            let file = self.folder.join(format!("large-{}", pointer.sha256));
            if !file.is_file() {
                self.download(pointer, download, &file).await?;
            }
            files.insert(pointer.name.clone(), file);
        }
        Ok(())
    }

    fn with_login(&self, request: RequestBuilder, url: &Url) -> RequestBuilder {
        match &self.repository.login {
            Some(login) if url.origin() == self.repository.url.origin() => request.basic_auth(&login.user, Some(&login.password)),
            _ => request,
        }
    }

    async fn download(&self, pointer: &Pointer, download: &Download, file: &Path) -> Result<(), GitError> {
        let refuse = |why: &str| GitError::LargeFile { path: pointer.name.clone(), why: why.to_owned() };
        let url = Url::parse(&download.href).map_err(|_| refuse("the server gives no URL for it"))?;
        let has_header = download.header.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        let dress = |request: RequestBuilder| {
            let request = if has_header { request } else { self.with_login(request, &url) };
            download.header.iter().fold(request, |request, (name, value)| request.header(name, value))
        };
        let answer = self.guarded.once(Method::GET, url.clone(), dress).await;
        let mut answer = answer.map_err(|error| failed(&pointer.name, &error))?;
        let part = file.with_extension("part");
        let mut out = tokio::fs::File::create(&part).await.map_err(GitError::Host)?;
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        let broke_off =
            |_| GitError::Unreachable(format!("the download of the large file {:?} (git-lfs) broke off", pointer.name));
        while let Some(chunk) = answer.chunk().await.map_err(broke_off)? {
            size += chunk.len() as u64;
            if size > pointer.size {
                return Err(refuse("it is larger than its pointer says"));
            }
            hash.update(&chunk);
            out.write_all(&chunk).await.map_err(GitError::Host)?;
        }
        out.flush().await.map_err(GitError::Host)?;
        if size != pointer.size || hex::encode(hash.finalize()) != pointer.sha256 {
            return Err(refuse("its content does not have the hash of its pointer"));
        }
        tokio::fs::rename(&part, file).await.map_err(GitError::Host)
    }
}

/// The error for a failed call: a temporary one, or the storage's decision.
fn failed(path: &str, error: &ApiError) -> GitError {
    match error {
        ApiError::Away(why) => GitError::Unreachable(format!("the large file {path:?} (git-lfs): {why}")),
        ApiError::Forbidden(why) => GitError::Forbidden(format!("the large file {path:?} (git-lfs): {why}")),
        error => GitError::LargeFile { path: path.to_owned(), why: error.to_string() },
    }
}

async fn read(mut answer: Response) -> Option<Answer> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_file_is_recognized_by_its_lines() {
        let oid = "a".repeat(64);
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n");
        let read = pointer("a".to_owned(), 0, text.as_bytes()).unwrap();
        assert_eq!((read.sha256, read.size), (oid, 12345));
        for other in ["", "version 1\n", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1\n"] {
            assert!(pointer("a".to_owned(), 0, other.as_bytes()).is_none(), "{other:?}");
        }
    }
}
