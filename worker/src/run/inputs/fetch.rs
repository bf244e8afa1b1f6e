//! Fetches inputs: a key of `/f`, or a URL.
//!
//! An input with a SHA-256 comes from the cache of inputs. If it is not there, it is downloaded once for all jobs that need it at the same
//! time, and kept. If a `key` is a SHA-256, the content must have that hash. The hash that a client gives for a `url` is only a hint: when
//! the content differs, the job gets it, a line in the job's log reports this, and the cache does not keep the content.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::{EndCode, Step, is_sha256};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Url};

use super::download::{Download, Progress, TransferFailure};
use super::files::InputFile;
use super::{RunError, Task, disk};
use crate::answer::ApiError;
use crate::backoff::Backoff;
use crate::disk::{Contents, PartFile, move_or_copy};
use crate::ends;

/// The job fails after this many attempts in a row that bring no byte from a URL, which take about ten seconds.
const URL_STALLS_MAX: usize = 5;
/// After this many such attempts at the storage that the API redirects to, the worker fetches through the API itself.
const KEY_STALLS_DIRECT: usize = 2;
/// After this many such attempts at a key, which take about a minute, the worker releases the claim.
const KEY_STALLS_MAX: usize = 16;
/// Most requests for one file.
const REQUESTS_MAX: usize = 100;

/// Where the bytes come from.
enum Source<'a> {
    Key(&'a str),
    Url(Url),
}

/// Fetches a key of `/f`.
pub(super) async fn key(task: &Task<'_>, place: &InputFile<'_>, key: &str) -> Result<(), RunError> {
    let lower = key.to_ascii_lowercase();
    if !is_sha256(&lower) {
        return download(task, place.name, &Source::Key(key), &place.path).await.map(|_| ());
    }
    let contents = &task.host.contents;
    let _fetching = contents.fetching(&lower).await;
    if give(contents, &lower, place).await? {
        return Ok(());
    }
    let part = contents.part();
    let hash = download(task, place.name, &Source::Key(key), part.path()).await?;
    if hash != lower {
        let why = format!("the stored bytes have the hash {hash}, not their key {key}");
        return Err(refusal(place.name, &why));
    }
    put_in_place(contents, part, Some(hash), place).await
}

/// Fetches a URL.
pub(super) async fn url(task: &Task<'_>, place: &InputFile<'_>, text: &str) -> Result<(), RunError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| refusal(place.name, "its value is not an http or https URL"))?;
    let stored = task.host.api.key_of(&url);
    if let Some(stored) = stored.as_deref().filter(|stored| is_sha256(stored)) {
        return key(task, place, stored).await;
    }
    let hint = place.reference.hash.as_deref().map(str::to_ascii_lowercase);
    let contents = &task.host.contents;
    let wanted = hint.as_deref().filter(|hint| is_sha256(hint)).unwrap_or_default();
    // Lock the hash and the URL together, so that a false hash at a slow server does not delay jobs that fetch the true content.
    let _fetching = contents.fetching(&format!("{wanted} {url}")).await;
    if !wanted.is_empty() && give(contents, wanted, place).await? {
        return Ok(());
    }
    if !wanted.is_empty() && url.path().ends_with(&format!("/f/{wanted}")) && is_stored(task, wanted).await {
        return key(task, place, wanted).await;
    }
    let part = contents.part();
    let source = stored.as_deref().map_or(Source::Url(url), Source::Key);
    let hash = download(task, place.name, &source, part.path()).await?;
    let is_as_told = hint.as_deref().is_none_or(|hint| hint == hash);
    if !is_as_told {
        let line = format!("input {:?} differs from the hash that its definition gives for it", place.name);
        task.log.error(Step::Running, line).await;
    }
    put_in_place(contents, part, (hash == wanted).then_some(hash), place).await
}

/// Whether our API has a file with this hash. Clients write URLs of its files with their own address of the API, which may not work from
/// here.
async fn is_stored(task: &Task<'_>, sha256: &str) -> bool {
    let api = &task.host.api;
    api.send(api.request(Method::GET, api.url(&["f", sha256, "exists"]))).await.is_ok()
}

fn refusal(name: &str, why: &str) -> RunError {
    unfetched(EndCode::InputInvalid, name, why)
}

fn unfetched(code: EndCode, name: &str, why: &str) -> RunError {
    RunError::failed(code, Step::Running, format!("input {name:?} cannot be fetched: {why}"))
}

/// The end code for a server's final answer.
fn code_of(error: &ApiError) -> EndCode {
    ends::fetch(error, EndCode::InputNotFound, EndCode::InputUnreachable)
}

/// Puts kept content in its place. Returns whether the cache had it.
async fn give(contents: &Arc<Contents>, sha256: &str, place: &InputFile<'_>) -> Result<bool, RunError> {
    let (contents, sha256, path) = (Arc::clone(contents), sha256.to_owned(), place.path.clone());
    blocking(place.name, move || contents.give(&sha256, &path)).await
}

/// Puts a download in its place. Keeps it in the cache if it has a known hash.
async fn put_in_place(
    contents: &Arc<Contents>,
    part: PartFile,
    keep_as: Option<String>,
    place: &InputFile<'_>,
) -> Result<(), RunError> {
    let (contents, path): (_, PathBuf) = (Arc::clone(contents), place.path.clone());
    let put_in_place = move || match keep_as.filter(|_| contents.is_on()) {
        Some(sha256) => contents.keep(&part, &sha256, &path),
        None => move_or_copy(part.path(), &path),
    };
    blocking(place.name, put_in_place).await
}

async fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, RunError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| RunError::Host(error.to_string()))?;
    done.map_err(|error| disk(name, &error))
}

/// Downloads to a new file. Returns the SHA-256 of the content.
async fn download(task: &Task<'_>, name: &str, source: &Source<'_>, path: &Path) -> Result<String, RunError> {
    let on_disk = |error| disk(name, &error);
    let mut download = Download::create(path).await.map_err(on_disk)?;
    let mut progress = Progress::new(&task.log, name);
    let (mut backoff, mut stalls) = (Backoff::new(), 0);
    let mut cause = String::new();
    for _ in 0..REQUESTS_MAX {
        let before = download.bytes();
        let answer = source.open(task, stalls, download.resume()).await;
        match download.take(answer, &mut progress).await {
            Ok(()) => {
                progress.done(download.bytes()).await;
                return download.finish().await.map_err(on_disk);
            }
            Err(TransferFailure::Http(ApiError::Refused { status: 416, .. })) if before > 0 => {
                download.restart().await.map_err(on_disk)?;
            }
            Err(TransferFailure::Http(ApiError::Away(why))) => {
                let has_moved = download.bytes() > before;
                (stalls, backoff) = if has_moved { (0, Backoff::new()) } else { (stalls + 1, backoff) };
                cause = why;
                if stalls >= source.stalls_max() {
                    break;
                }
                backoff.wait().await;
            }
            Err(TransferFailure::Http(error)) => return Err(unfetched(code_of(&error), name, &error.to_string())),
            Err(TransferFailure::TooLarge) => return Err(refusal(name, "it is larger than 5 GiB")),
            Err(TransferFailure::Disk(error)) => return Err(on_disk(error)),
        }
    }
    Err(source.given_up(name, &cause))
}

impl Source<'_> {
    const fn stalls_max(&self) -> usize {
        match self {
            Self::Key(_) => KEY_STALLS_MAX,
            Self::Url(_) => URL_STALLS_MAX,
        }
    }

    /// Requests the bytes, or the rest of them.
    async fn open(&self, task: &Task<'_>, stalls: usize, resume: HeaderMap) -> Result<Response, ApiError> {
        let api = &task.host.api;
        let own = match self {
            Self::Key(key) if stalls >= KEY_STALLS_DIRECT => api.proxied_url(key),
            Self::Key(key) => api.url(&["f", key]),
            Self::Url(url) => return api.foreign_get(url.clone(), resume).await,
        };
        api.send(api.request(Method::GET, own).headers(resume)).await
    }

    /// The error after too many attempts. The server may work again later, so another try of the job may succeed.
    fn given_up(&self, name: &str, cause: &str) -> RunError {
        match self {
            Self::Key(_) => unfetched(EndCode::StorageUnreachable, name, cause),
            Self::Url(_) => unfetched(EndCode::InputUnreachable, name, cause),
        }
    }
}
