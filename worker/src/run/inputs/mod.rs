//! Writes the inputs and config files of a job to its scratch folder.
//!
//! `files` decides the path of each file and refuses invalid names. `fetch` downloads files that are not in the definition itself.
//! Bounds: 8 transfers at a time, 5 GiB each.

mod download;
mod fetch;
mod files;

use std::io;

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use protocol::{DataRefType, EndCode, Step};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{RunError, Task};
use crate::engine::Mount;
use files::{InputFile, InputFiles};

const TRANSFERS_MAX: usize = 8;

/// Writes all files of the job. Returns the mounts of those with absolute names.
pub(super) async fn write(task: &Task<'_>) -> Result<Vec<Mount>, RunError> {
    let files = InputFiles::of(&task.job.parsed.definition, &task.job.scratch);
    let InputFiles { files, mounts } =
        files.map_err(|sentence| RunError::failed(EndCode::InputInvalid, Step::Running, sentence))?;
    let mut writes = Vec::new();
    for place in files {
        writes.push(write_one(task, place).boxed());
    }
    stream::iter(writes).buffer_unordered(TRANSFERS_MAX).try_collect::<()>().await?;
    Ok(mounts)
}

async fn write_one(task: &Task<'_>, place: InputFile<'_>) -> Result<(), RunError> {
    let InputFile { path, name, reference } = &place;
    let unreadable = |why: &str| RunError::failed(EndCode::InputInvalid, Step::Running, format!("input {name:?}: {why}"));
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(|error| disk(name, &error))?;
    }
    let text = || reference.value.as_str().ok_or_else(|| unreadable("its value is not a text"));
    let bytes = match reference.kind.unwrap_or_default() {
        DataRefType::Utf8 => match &reference.value {
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        },
        DataRefType::Json => reference.value.to_string().into_bytes(),
        DataRefType::Base64 => protocol::decode_base64(text()?).ok_or_else(|| unreadable("its value is not base64"))?,
        DataRefType::Url => match protocol::data_url_bytes(text()?) {
            Some(read) => read.map_err(|error| unreadable(&error.to_string()))?,
            None => return fetch::url(task, &place, text()?).await,
        },
        DataRefType::Key => return fetch::key(task, &place, text()?).await,
    };
    let written = async {
        let mut file = tokio::fs::File::create_new(path).await?;
        file.write_all(&bytes).await?;
        file.flush().await
    };
    written.await.map_err(|error| disk(name, &error))
}

/// The error of a write to disk. A name that the file system refuses, or that equals another name there, is the job's fault. Every other
/// error is this machine's.
fn disk(name: &str, error: &io::Error) -> RunError {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory};
    match error.kind() {
        AlreadyExists | InvalidFilename | IsADirectory | NotADirectory => RunError::failed(
            EndCode::InputInvalid,
            Step::Running,
            format!("input {name:?} is not a valid file name here, or is the same as another file's name: {error}"),
        ),
        _ => RunError::Host(format!("writing an input: {error}")),
    }
}
