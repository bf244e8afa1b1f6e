//! Inputs that are elsewhere: under a key of `/f`, or at somebody's URL.
//!
//! What has a SHA-256 to look for comes from the kept content where it is there, is downloaded once for all jobs that want it at
//! the same time, and is kept. A `key` that is a SHA-256 must have it; the hash that a client gives for a `url` is a hint: content
//! that differs is given to the job, named in its log, and not kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::{EndCode, Step, is_sha256};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Url};

use super::places::Place;
use super::{RunError, Task, disk};
use crate::api::ApiError;
use crate::backoff::Backoff;
use crate::content::{Contents, Download, Failure, Part, Progress, move_or_copy};
use crate::ends;

/// Answers in a row without a byte from somebody else's URL before the job fails: some ten seconds.
const URL_STALLS_MAX: usize = 5;
/// The same at the place that the API sends us to, before it is asked to stand in for it.
const KEY_STALLS_DIRECT: usize = 2;
/// The same at our own API, before the claim goes back: a minute or so.
const KEY_STALLS_MAX: usize = 16;
/// Requests for one file, however far each of them got.
const REQUESTS_MAX: usize = 100;

/// Where the bytes are.
enum Source<'a> {
    Key(&'a str),
    Url(Url),
}

/// Fetches a key of `/f`.
pub(super) async fn key(task: &Task<'_>, place: &Place<'_>, key: &str) -> Result<(), RunError> {
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
    settle(contents, part, Some(hash), place).await
}

/// Fetches a URL.
pub(super) async fn url(task: &Task<'_>, place: &Place<'_>, text: &str) -> Result<(), RunError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| refusal(place.name, "its value is no http or https URL"))?;
    let stored = task.host.api.key_of(&url);
    if let Some(stored) = stored.as_deref().filter(|stored| is_sha256(stored)) {
        return key(task, place, stored).await;
    }
    let hint = place.reference.hash.as_deref().map(str::to_ascii_lowercase);
    let contents = &task.host.contents;
    let wanted = hint.as_deref().filter(|hint| is_sha256(hint)).unwrap_or_default();
    // Under both, so that a false hint at a slow place holds up nobody who fetches the true content.
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
    settle(contents, part, (hash == wanted).then_some(hash), place).await
}

/// Whether our API has it: clients write its files' URLs with the address that they know it by, which need not lead there from here.
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

/// What an answer means that says not to come again.
fn code_of(error: &ApiError) -> EndCode {
    ends::fetch(error, EndCode::InputNotFound, EndCode::InputUnreachable)
}

/// Puts kept content in its place. Whether it was there.
async fn give(contents: &Arc<Contents>, sha256: &str, place: &Place<'_>) -> Result<bool, RunError> {
    let (contents, sha256, path) = (Arc::clone(contents), sha256.to_owned(), place.path.clone());
    blocking(place.name, move || contents.give(&sha256, &path)).await
}

/// Puts a download in its place, and keeps it when it has a hash to be found by.
async fn settle(contents: &Arc<Contents>, part: Part, keep_as: Option<String>, place: &Place<'_>) -> Result<(), RunError> {
    let (contents, path): (_, PathBuf) = (Arc::clone(contents), place.path.clone());
    let settle = move || match keep_as.filter(|_| contents.is_on()) {
        Some(sha256) => contents.keep(&part, &sha256, &path),
        None => move_or_copy(part.path(), &path),
    };
    blocking(place.name, settle).await
}

async fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, RunError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| RunError::Host(error.to_string()))?;
    done.map_err(|error| disk(name, &error))
}

/// Downloads to a file that is not there yet and gives the SHA-256 of what came.
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
            Err(Failure::Http(ApiError::Refused { status: 416, .. })) if before > 0 => {
                download.restart().await.map_err(on_disk)?;
            }
            Err(Failure::Http(ApiError::Away(why))) => {
                let has_moved = download.bytes() > before;
                (stalls, backoff) = if has_moved { (0, Backoff::new()) } else { (stalls + 1, backoff) };
                cause = why;
                if stalls >= source.stalls_max() {
                    break;
                }
                backoff.wait().await;
            }
            Err(Failure::Http(error)) => return Err(unfetched(code_of(&error), name, &error.to_string())),
            Err(Failure::TooLarge) => return Err(refusal(name, "it is larger than 5 GiB")),
            Err(Failure::Disk(error)) => return Err(on_disk(error)),
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

    /// Asks for the bytes, or the rest of them.
    async fn open(&self, task: &Task<'_>, stalls: usize, resume: HeaderMap) -> Result<Response, ApiError> {
        let api = &task.host.api;
        let own = match self {
            Self::Key(key) if stalls >= KEY_STALLS_DIRECT => api.proxied_url(key),
            Self::Key(key) => api.url(&["f", key]),
            Self::Url(url) => return api.foreign_get(url.clone(), resume).await,
        };
        api.send(api.request(Method::GET, own).headers(resume)).await
    }

    /// Both will be back, so another try of the job helps.
    fn given_up(&self, name: &str, cause: &str) -> RunError {
        match self {
            Self::Key(_) => unfetched(EndCode::StorageUnreachable, name, cause),
            Self::Url(_) => unfetched(EndCode::InputUnreachable, name, cause),
        }
    }
}
