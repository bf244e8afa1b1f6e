//! Fetches the outputs of a job into a folder.
//!
//! The names come from a stranger's worker: each is checked before anything is written, all of them before the first. A file
//! appears under its name only when it is whole, and, when it is named by its SHA-256, only when it has that hash.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt;
use protocol::{DataRef, DataRefType, JobId, QueueName, check_input_path};
use sha2::{Digest, Sha256};
use std::io::Write;
use tempfile::NamedTempFile;

use crate::client::{Client, Error, reason};
use crate::failure::Failure;

/// Writes every output below `folder`; gives the paths written.
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

/// A nameless neighbour of `path`, with the mode that the user's mask leaves.
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

/// The bytes that the reference itself holds, if it does.
fn inline(reference: &DataRef) -> Option<Result<Vec<u8>, Failure>> {
    let text = reference.value.as_str();
    match (reference.kind.unwrap_or_default(), text) {
        (DataRefType::Utf8, Some(text)) => Some(Ok(text.as_bytes().to_vec())),
        (DataRefType::Base64, Some(text)) => {
            Some(STANDARD.decode(text).map_err(|error| Failure::Failed(format!("an output is no base64: {error}"))))
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
    let mut bytes = client.output(queue, id, name).await?.bytes_stream();
    let mut hasher = Sha256::new();
    while let Some(chunk) = bytes.try_next().await.map_err(|error| Error::Broken(reason(&error)))? {
        hasher.update(&chunk);
        file.write_all(&chunk).map_err(|error| Failure::io("write", file.path(), &error))?;
    }
    let is_hash = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let key = reference.value.as_str().filter(|_| reference.kind == Some(DataRefType::Key)).filter(is_hash);
    match key {
        Some(key) if !key.eq_ignore_ascii_case(&hex::encode(hasher.finalize())) => {
            Err(Failure::Failed(format!("the output {name} arrived damaged; fetch it again")))
        }
        _ => Ok(()),
    }
}
