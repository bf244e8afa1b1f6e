//! The executable of this process, as `/download/asman` offers it.

use std::path::PathBuf;

use protocol::ErrorCode;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;

use crate::error::ApiError;

/// Bytes of one read of the program.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// The executable of this process.
#[derive(Debug)]
pub(crate) struct Program {
    path: Option<PathBuf>,
    /// Length and hash, computed at the first request.
    sum: OnceCell<(u64, String)>,
}

impl Program {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, sum: OnceCell::new() }
    }

    /// The file, with its length and its SHA-256 in hex.
    pub(crate) async fn open(&self) -> Result<(File, u64, &str), ApiError> {
        let path = self.path.as_ref().ok_or(ApiError::refused(ErrorCode::NoProgram, "this API does not offer a program"))?;
        let (length, sha256) = self.sum.get_or_try_init(|| sum(File::open(path))).await?;
        Ok((File::open(path).await?, *length, sha256))
    }
}

async fn sum(file: impl Future<Output = std::io::Result<File>>) -> std::io::Result<(u64, String)> {
    let (mut file, mut hash, mut length) = (file.await?, Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n = file.read(&mut chunk).await?;
        if n == 0 {
            return Ok((length, hex::encode(hash.finalize())));
        }
        hash.update(&chunk[..n]);
        length += n as u64;
    }
}
