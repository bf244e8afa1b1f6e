//! Fetches the outputs of a job into a folder.
//!
//! The names come from a stranger's worker, so all names are checked before the first file is written. A file appears under its
//! name only when it is complete and, if it is named by its SHA-256, only when it has that hash.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt;
use protocol::{DataRef, DataRefType, JobId, QueueName, check_input_path, is_sha256};
use reqwest::Response;
use sha2::{Digest, Sha256};
use std::io::{Seek, Write};
use tempfile::NamedTempFile;

use crate::client::{Client, Error, reason};
use crate::failure::Failure;
use crate::say;

/// Writes every output below `folder`. Returns the paths of the files.
pub(super) async fn all(
    client: &Client,
    queue: &QueueName,
    id: &JobId,
    outputs: &BTreeMap<String, DataRef>,
    folder: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    for name in outputs.keys() {
        check_input_path(name).map_err(|error| Failure::Failed(format!("the job's outputs are refused: {error}")))?;
    }
    let mut written = Vec::with_capacity(outputs.len());
    for (name, reference) in outputs {
        let path = folder.join(name);
        let mut file = create(&path)?;
        match inline(reference) {
            Some(bytes) => file.write_all(&bytes?).map_err(|error| Failure::io("write", &path, &error))?,
            None => download(client, queue, id, name, reference, &mut file).await?,
        }
        file.persist(&path).map_err(|error| Failure::io("write", &path, &error.error))?;
        written.push(path);
    }
    Ok(written)
}

/// A temporary file beside `path`, with the mode of the user's umask.
fn create(path: &Path) -> Result<NamedTempFile, Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| Failure::io("create", folder, &error))?;
    let mut builder = tempfile::Builder::new();
    builder
        .prefix(".asman-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|error| Failure::io("write in", folder, &error))
}

/// The bytes inside the reference, if it contains them.
fn inline(reference: &DataRef) -> Option<Result<Vec<u8>, Failure>> {
    let text = reference.value.as_str();
    match (reference.kind.unwrap_or_default(), text) {
        (DataRefType::Utf8, Some(text)) => Some(Ok(text.as_bytes().to_vec())),
        (DataRefType::Base64, Some(text)) => {
            Some(STANDARD.decode(text).map_err(|error| Failure::Failed(format!("an output is not base64: {error}"))))
        }
        (DataRefType::Json, _) => Some(Ok(reference.value.to_string().into_bytes())),
        _ => None,
    }
}

async fn download(
    client: &Client,
    queue: &QueueName,
    id: &JobId,
    name: &str,
    reference: &DataRef,
    file: &mut NamedTempFile,
) -> Result<(), Failure> {
    let key = stored_key(reference);
    let mut saved = save(client.output(queue, id, name).await, file).await?;
    if let (Err(_), Some(key)) = (&saved, key) {
        // This machine may be unable to reach the storage, although the API can reach it.
        saved = save(client.proxied_blob(key).await, file).await?;
    }
    let hash = saved?;
    match key.map(str::to_ascii_lowercase).filter(|key| is_sha256(key)) {
        Some(key) if key != hash => {
            Err(Failure::Failed(format!("the output {} arrived damaged; fetch it again", say::name(name))))
        }
        _ => Ok(()),
    }
}

/// The key of the file in the API. The reference is the key itself or an address that ends with it.
fn stored_key(reference: &DataRef) -> Option<&str> {
    let value = reference.value.as_str()?;
    match reference.kind {
        Some(DataRefType::Key) => Some(value),
        Some(DataRefType::Url) => value.rsplit_once("/f/").map(|(_, key)| key).filter(|key| is_sha256(key)),
        _ => None,
    }
}

/// Writes an answer's body into the file and returns its SHA-256. Network errors and disk errors are kept apart.
async fn save(answer: Result<Response, Error>, file: &mut NamedTempFile) -> Result<Result<String, Error>, Failure> {
    let mut bytes = match answer {
        Ok(response) => response.bytes_stream(),
        Err(error) => return Ok(Err(error)),
    };
    let failed = |error, path: &Path| Failure::io("write", path, &error);
    file.as_file().set_len(0).and_then(|()| file.rewind()).map_err(|error| failed(error, file.path()))?;
    let mut hasher = Sha256::new();
    loop {
        match bytes.try_next().await {
            Ok(Some(chunk)) => {
                hasher.update(&chunk);
                file.write_all(&chunk).map_err(|error| failed(error, file.path()))?;
            }
            Ok(None) => return Ok(Ok(hex::encode(hasher.finalize()))),
            Err(error) => return Ok(Err(Error::Broken(reason(&error)))),
        }
    }
}
