//! Files that a job left in `/outputs`: looked at, hashed, stored.
//!
//! Called when the container has ended, so nothing changes under the walk. Regular files count, and links to such within the
//! folder; what is left out is counted in the result with the reason, and the log says so in one line a reason. Following a link
//! out of the folder would hand out this machine's files, and opening a pipe would hang. Up to 200 bytes travel in the result,
//! larger files are streamed to the API's store under their SHA-256.
//! Bounds: 10,000 files, 5 GiB each, 100 GiB in all (a sparse file counts by its length), 1 MiB inline in all, a result under
//! 7 MiB, 4 transfers at a time, a million names looked at.

use std::collections::BTreeMap;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{FutureExt, StreamExt, stream};
use protocol::limits::INLINE_BYTES_MAX;
use protocol::{DataRef, DataRefType, Missing, MissingCode, Step};
use sha2::{Digest, Sha256};

use super::{RunError, Task};
use walk::{Found, walk};

mod folder;
mod upload;
mod walk;

const TRANSFERS_MAX: usize = 4;
const INLINE_TOTAL_MAX: u64 = 1024 * 1024;

/// What a result holds of a job's outputs, and what it lacks.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) stored: BTreeMap<String, DataRef>,
    pub(super) missing: Option<Missing>,
}

/// Stores all outputs.
pub(super) async fn collect(task: &Task<'_>) -> Result<Outputs, RunError> {
    let folder = task.scratch.outputs();
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
    tell(task, outputs.missing.as_ref()).await;
    Ok(outputs)
}

/// One line for each reason why something is missing.
async fn tell(task: &Task<'_>, missing: Option<&Missing>) {
    for why in missing.iter().flat_map(|missing| &missing.why) {
        let names: Vec<_> = why.names.iter().map(|name| format!("{name:?}")).collect();
        let more = if why.outputs > names.len() as u64 { ", …" } else { "" };
        let line = format!("outputs left out of the result: {} ({}{more}): {}", why.outputs, names.join(", "), why.message);
        task.log.error(Step::Running, line).await;
    }
}

/// One output's entry, or why it has none.
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

/// Why one file is left out and the others are not. Anything else is a fault of this machine.
fn loss(error: &io::Error) -> Option<MissingCode> {
    let errno = rustix::io::Errno::from_io_error(error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some(MissingCode::Unreadable),
        // `InvalidInput` is what opening says of other kinds.
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => Some(MissingCode::Changed),
        // What opening a path says that has a link in it now, or a file where a folder was.
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
