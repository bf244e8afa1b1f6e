//! Downloads an archive from a URL to a file.
//!
//! Bounds: [`BYTES_MAX`], counted as the bytes arrive, and [`ATTEMPTS_MAX`].

use std::path::Path;

use protocol::{EndCode, Step};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::source::Source;
use crate::answer::{ApiError, cause_of};
use crate::backoff::Backoff;
use crate::ends::{self, RunError};
use crate::network::Guarded;

const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Most attempts. The waits between them take at most three seconds together.
const ATTEMPTS_MAX: usize = 5;

enum ArchiveFailure {
    Http(ApiError),
    Disk(std::io::Error),
    TooLarge,
}

/// Downloads an archive. Returns its SHA-256.
pub(super) async fn download(guarded: &Guarded, source: &Source, file: &Path) -> Result<String, RunError> {
    let refuse = |why: String| RunError::job(Step::Clone, format!("the build context cannot be fetched: {why}"));
    let mut backoff = Backoff::new();
    let mut n_attempts = 1;
    loop {
        match attempt(guarded, source, file).await {
            Ok(hash) => return Ok(hash),
            Err(ArchiveFailure::Http(ApiError::Away(_))) if n_attempts < ATTEMPTS_MAX => backoff.wait().await,
            Err(ArchiveFailure::Http(error)) => {
                let code = ends::fetch(&error, EndCode::BuildContextNotFound, EndCode::BuildContextUnreachable);
                return Err(RunError::failed(code, Step::Clone, format!("the build context cannot be fetched: {error}")));
            }
            Err(ArchiveFailure::TooLarge) => return Err(refuse(format!("it is larger than {} MiB", BYTES_MAX / 1024 / 1024))),
            Err(ArchiveFailure::Disk(error)) => return Err(RunError::Host(format!("writing a build context: {error}"))),
        }
        n_attempts += 1;
    }
}

async fn attempt(guarded: &Guarded, source: &Source, path: &Path) -> Result<String, ArchiveFailure> {
    let mut response = guarded.get(source.full_url().clone()).await.map_err(ArchiveFailure::Http)?;
    let mut file = tokio::fs::File::create(path).await.map_err(ArchiveFailure::Disk)?;
    let (mut hash, mut size) = (Sha256::new(), 0_u64);
    let broke_off = |error| ArchiveFailure::Http(ApiError::Away(cause_of(error)));
    while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
        size += chunk.len() as u64;
        if size > BYTES_MAX {
            return Err(ArchiveFailure::TooLarge);
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(ArchiveFailure::Disk)?;
    }
    file.flush().await.map_err(ArchiveFailure::Disk)?;
    Ok(hex::encode(hash.finalize()))
}
