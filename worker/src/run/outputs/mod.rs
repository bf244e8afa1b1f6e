//! Collects, hashes and stores the files that a job left in `/outputs`.
//!
//! This runs after the container has ended, so the files do not change. Outputs are regular files, and links to regular files within the
//! folder. The result counts the files that are left out, with the reason, and the log has one line for each reason. Other entries are not
//! outputs, because a link out of the folder would reveal this machine's files, and to open a pipe would hang. Files of up to 200 bytes are
//! sent inside the result. Larger files are streamed to the API's file store under their SHA-256.
//! Bounds: 10,000 files, 5 GiB each, 100 GiB in total (a sparse file counts by its length), 1 MiB inline in total, a result under 7 MiB,
//! 4 transfers at a time, a million names.

use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{FutureExt, StreamExt, stream};
use protocol::limits::INLINE_BYTES_MAX;
use protocol::{DataRef, DataRefType, Missing, MissingCode, Step};
use sha2::{Digest, Sha256};

use super::{RunError, Task};
use crate::engine::Outputs;
use walk::{Found, walk};

mod folder;
mod upload;
mod walk;

const TRANSFERS_MAX: usize = 4;
const INLINE_TOTAL_MAX: u64 = 1024 * 1024;

/// Stores all outputs.
pub(super) async fn collect(task: &Task<'_>) -> Result<Outputs, RunError> {
    let folder = task.job.scratch.outputs();
    let walked = tokio::task::spawn_blocking(move || walk(&folder)).await;
    let broken = |error: io::Error| RunError::Host(format!("reading outputs: {error}"));
    let walked = walked.map_err(|error| broken(io::Error::other(error)))?.map_err(broken)?;
    let mut inline_left = INLINE_TOTAL_MAX;
    let mut stores = Vec::new();
    for file in walked.files {
        let is_small = file.size <= inline_left.min(INLINE_BYTES_MAX as u64);
        if is_small {
            inline_left -= file.size;
        }
        stores.push(store(task, file, is_small).boxed());
    }
    let (mut outputs, mut missing) = (Outputs::default(), walked.missing);
    let mut stores = stream::iter(stores).buffer_unordered(TRANSFERS_MAX);
    while let Some(stored) = stores.next().await {
        match stored? {
            (name, Ok(reference)) => drop(outputs.stored.insert(name, reference)),
            (name, Err(code)) => missing.note(code, &name),
        }
    }
    outputs.missing = missing.into_missing();
    log_missing(task, outputs.missing.as_ref()).await;
    Ok(outputs)
}

/// Writes one log line for each reason why outputs are missing.
async fn log_missing(task: &Task<'_>, missing: Option<&Missing>) {
    for why in missing.iter().flat_map(|missing| &missing.why) {
        let names: Vec<_> = why.names.iter().map(|name| format!("{name:?}")).collect();
        let more = if why.outputs > names.len() as u64 { ", …" } else { "" };
        let line = format!("outputs left out of the result: {} ({}{more}): {}", why.outputs, names.join(", "), why.message);
        task.log.error(Step::Running, line).await;
    }
}

/// Stores one output. Returns its entry, or why it is missing.
async fn store(task: &Task<'_>, file: Found, is_small: bool) -> Result<(String, Result<DataRef, MissingCode>), RunError> {
    let read = move || (if is_small { inline(&file) } else { hash(&file) }, file);
    let (read, file) = tokio::task::spawn_blocking(read).await.map_err(|error| RunError::Host(error.to_string()))?;
    let reference = match read {
        Ok(reference) => reference,
        Err(error) => match loss(&error) {
            Some(code) => return Ok((file.name, Err(code))),
            None => return Err(RunError::Host(format!("reading an output: {error}"))),
        },
    };
    if let Some(sha256) = &reference.hash {
        upload::put(task, &file, sha256).await?;
    }
    Ok((file.name, Ok(reference)))
}

/// Why a single file is left out. None when the error is this machine's fault.
fn loss(error: &io::Error) -> Option<MissingCode> {
    let errno = rustix::io::Errno::from_io_error(error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some(MissingCode::Unreadable),
        // `open` returns `InvalidInput` for other kinds of files.
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => Some(MissingCode::Changed),
        // `open` returns these when the path now contains a link, or a file instead of a folder.
        _ if matches!(errno, Some(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR)) => Some(MissingCode::Changed),
        _ => None,
    }
}

fn inline(file: &Found) -> io::Result<DataRef> {
    let mut bytes = Vec::new();
    file.open()?.take(INLINE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(DataRef { value: STANDARD.encode(bytes).into(), kind: Some(DataRefType::Base64), hash: None })
}

fn hash(file: &Found) -> io::Result<DataRef> {
    let mut hash = Sha256::new();
    io::copy(&mut file.open()?, &mut hash)?;
    let sha256 = hex::encode(hash.finalize());
    Ok(DataRef { value: sha256.clone().into(), kind: Some(DataRefType::Key), hash: Some(sha256) })
}
