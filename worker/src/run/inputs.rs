//! Inputs and config files of a job, written to its scratch folder.
//!
//! Relative names land below `/inputs`; absolute config files are written aside and mounted read-only at their place. Downloads
//! stream to disk. A `key` that is a SHA-256 is checked against the bytes; hashes that a client gives for a `url` are hints.
//! Bounds: 8 transfers at a time, 5 GiB each.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use protocol::limits::BLOB_BYTES_MAX;
use protocol::{DataRef, DataRefType, Step};
use reqwest::{Method, Response, Url};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::{RunError, Task};
use crate::api::ApiError;
use crate::backoff::Backoff;
use crate::executor::Mount;

const TRANSFERS_MAX: usize = 8;
/// Attempts at somebody else's URL before the job fails: some ten seconds.
const URL_ATTEMPTS_MAX: usize = 5;
/// Attempts at the place that the API sends us to before it is asked to stand in for it.
const KEY_ATTEMPTS_DIRECT: usize = 2;
/// Attempts at our own API before the claim goes back: a minute or so.
const KEY_ATTEMPTS_MAX: usize = 16;
/// Writers pad base64 or not; both are read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a transfer failed.
enum Failure {
    Http(ApiError),
    Disk(io::Error),
    TooLarge,
}

/// Writes all files of the job and gives the mounts of those with absolute names.
pub(super) async fn write(task: &Task<'_>) -> Result<Vec<Mount>, RunError> {
    let mut mounts = Vec::new();
    let mut files: BTreeMap<PathBuf, (&str, &DataRef)> = BTreeMap::new();
    let definition = &task.parsed.definition;
    for (name, reference) in definition.config_files.iter().flatten() {
        let relative = name.strip_prefix("/inputs/").or((!name.starts_with('/')).then_some(name.as_str()));
        let path = if let Some(relative) = relative {
            // Also an absolute name below the read-only folder, where nothing can be mounted.
            task.scratch.inputs().join(relative)
        } else {
            let source = task.scratch.configs().join(mounts.len().to_string());
            mounts.push(Mount { source: source.clone(), target: name.clone(), is_read_only: true });
            source
        };
        files.insert(path, (name, reference));
    }
    let inputs = definition.inputs.iter().flatten();
    files.extend(inputs.map(|(name, reference)| (task.scratch.inputs().join(name), (name.as_str(), reference))));
    let mut writes = Vec::new();
    for (path, (name, reference)) in files {
        writes.push(write_one(task, path, name, reference).boxed());
    }
    stream::iter(writes).buffer_unordered(TRANSFERS_MAX).try_collect::<()>().await?;
    Ok(mounts)
}

async fn write_one(task: &Task<'_>, path: PathBuf, name: &str, reference: &DataRef) -> Result<(), RunError> {
    let unreadable = |why: &str| RunError::job(Step::Running, format!("input {name:?}: {why}"));
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(|error| disk(name, &error))?;
    }
    let text = || reference.value.as_str().ok_or_else(|| unreadable("its value is no text"));
    let bytes = match reference.kind.unwrap_or_default() {
        DataRefType::Utf8 => match &reference.value {
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        },
        DataRefType::Json => reference.value.to_string().into_bytes(),
        DataRefType::Base64 => {
            let compact: String = text()?.split_ascii_whitespace().collect();
            BASE64.decode(compact).map_err(|_| unreadable("its value is no base64"))?
        }
        DataRefType::Url => return download_url(task, &path, name, text()?, reference.hash.as_deref()).await,
        DataRefType::Key => return download_key(task, &path, name, text()?).await,
    };
    tokio::fs::write(path, bytes).await.map_err(|error| disk(name, &error))
}

/// A name that cannot stand beside another (`a` and `a/b`) is the job's fault; all else on disk is ours.
fn disk(name: &str, error: &io::Error) -> RunError {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory};
    match error.kind() {
        AlreadyExists | InvalidFilename | IsADirectory | NotADirectory => {
            RunError::job(Step::Running, format!("input {name:?} is both a file and a folder, or is no file name: {error}"))
        }
        _ => RunError::Host(format!("writing an input: {error}")),
    }
}

async fn download_url(task: &Task<'_>, path: &Path, name: &str, url: &str, hint: Option<&str>) -> Result<(), RunError> {
    let refuse = |why: String| RunError::job(Step::Running, format!("input {name:?} cannot be fetched: {why}"));
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| refuse("its value is no http or https URL".to_owned()))?;
    let mut backoff = Backoff::new();
    for attempt in 1.. {
        let answer = task.host.api.foreign_get(url.clone()).await;
        match save(answer, path).await {
            Ok(hash) => {
                if hint.is_some_and(|hint| hint != hash) {
                    let line = format!("input {name:?} differs from the hash that its definition gives for it");
                    task.log.error(Step::Running, line).await;
                }
                return Ok(());
            }
            Err(Failure::Http(ApiError::Away(_))) if attempt < URL_ATTEMPTS_MAX => backoff.wait().await,
            Err(Failure::Http(error)) => return Err(refuse(error.to_string())),
            Err(Failure::TooLarge) => return Err(refuse("it is larger than 5 GiB".to_owned())),
            Err(Failure::Disk(error)) => return Err(disk(name, &error)),
        }
    }
    Err(RunError::Host("unreachable: attempts are endless".to_owned()))
}

async fn download_key(task: &Task<'_>, path: &Path, name: &str, key: &str) -> Result<(), RunError> {
    let refuse = |why: String| RunError::job(Step::Running, format!("input {name:?} cannot be fetched: {why}"));
    let api = &task.host.api;
    let mut backoff = Backoff::new();
    for attempt in 1.. {
        let url = if attempt > KEY_ATTEMPTS_DIRECT { api.proxied_url(key) } else { api.url(&["f", key]) };
        let answer = api.send(api.request(Method::GET, url)).await;
        match save(answer, path).await {
            Ok(hash) if is_sha256(key) && !key.eq_ignore_ascii_case(&hash) => {
                return Err(refuse(format!("the stored bytes have the hash {hash}, not their key {key}")));
            }
            Ok(_) => return Ok(()),
            Err(Failure::Http(ApiError::Away(_))) if attempt < KEY_ATTEMPTS_MAX => backoff.wait().await,
            Err(Failure::Http(ApiError::Away(cause))) => return Err(RunError::Host(format!("fetching an input: {cause}"))),
            Err(Failure::Http(error)) => return Err(refuse(error.to_string())),
            Err(Failure::TooLarge) => return Err(refuse("it is larger than 5 GiB".to_owned())),
            Err(Failure::Disk(error)) => return Err(disk(name, &error)),
        }
    }
    Err(RunError::Host("unreachable: attempts are endless".to_owned()))
}

fn is_sha256(key: &str) -> bool {
    key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Streams an answer's body to a file and gives its SHA-256.
async fn save(answer: Result<Response, ApiError>, path: &Path) -> Result<String, Failure> {
    let mut response = answer.map_err(Failure::Http)?;
    let mut file = tokio::fs::File::create(path).await.map_err(Failure::Disk)?;
    let (mut hash, mut size) = (Sha256::new(), 0_u64);
    let broke_off = |error| Failure::Http(ApiError::Away(crate::api::cause_of(error)));
    while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
        size += chunk.len() as u64;
        if size > BLOB_BYTES_MAX {
            return Err(Failure::TooLarge);
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(Failure::Disk)?;
    }
    file.flush().await.map_err(Failure::Disk)?;
    Ok(hex::encode(hash.finalize()))
}
