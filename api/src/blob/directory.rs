//! Files of `/f` in a folder: written to a temporary file, checked, synced, renamed. A reader never sees half a file.
//!
//! Keys come from outside and are never paths: a file is named by the SHA-256 of its key, in one of 256 folders.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use protocol::limits::BLOB_BYTES_MAX;
use protocol::{ErrorCode, is_sha256, sha256_hex};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tower_http::services::ServeFile;

use super::{FileName, broke_off, guard, too_large, wrong_hash};
use crate::error::ApiError;

/// A folder with files in it.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn open(root: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(root.join("incoming"))?;
        Ok(Self { root })
    }

    fn path(&self, key: &str) -> PathBuf {
        let name = sha256_hex(key.as_bytes());
        self.root.join(&name[..2]).join(name)
    }

    pub(super) async fn put(&self, key: &str, body: Body) -> Result<(), ApiError> {
        let incoming = tempfile::Builder::new().prefix("put-").tempfile_in(self.root.join("incoming"))?;
        let (file, aside) = incoming.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let hash = receive(&mut file, body).await?;
        if is_sha256(key) && key != hash {
            return Err(wrong_hash(&hash));
        }
        file.sync_all().await?;
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        tokio::fs::create_dir_all(&folder).await?;
        aside.persist(&path).map_err(|error| error.error)?;
        // The name is durable only after its folder is synced.
        tokio::fs::File::open(&folder).await?.sync_all().await?;
        Ok(())
    }

    pub(super) async fn get(&self, key: &str, name: Option<&FileName>, request: Request) -> Result<Response, ApiError> {
        let mime = mime_guess::mime::APPLICATION_OCTET_STREAM;
        let served = ServeFile::new_with_mime(self.path(key), &mime).try_call(request).await;
        let mut response = match served {
            Ok(response) if response.status() != StatusCode::NOT_FOUND => response.map(Body::new).into_response(),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(_) | Err(_) => return Err(ApiError::refused(ErrorCode::NoFile, "no file is stored under this key")),
        };
        guard(response.headers_mut(), key, name);
        Ok(response)
    }

    pub(super) async fn exists(&self, key: &str) -> std::io::Result<bool> {
        let path = self.path(key);
        if !tokio::fs::try_exists(&path).await? {
            return Ok(false);
        }
        // The caller will refer to the file instead of sending it again, so its lifetime starts again.
        touch(&path).await?;
        Ok(true)
    }

    pub(super) async fn check_ready(&self) -> std::io::Result<()> {
        tokio::fs::metadata(self.root.join("incoming")).await.map(|_| ())
    }

    pub(super) async fn expire(&self, age: Duration) -> std::io::Result<()> {
        let root = self.root.clone();
        let oldest = SystemTime::now() - age;
        tokio::task::spawn_blocking(move || remove_older(&root, oldest)).await?
    }
}

async fn touch(path: &Path) -> std::io::Result<()> {
    let file = tokio::fs::File::open(path).await?.into_std().await;
    tokio::task::spawn_blocking(move || file.set_modified(SystemTime::now())).await?
}

/// Writes a body to a file and gives its SHA-256.
async fn receive(file: &mut tokio::fs::File, body: Body) -> Result<String, ApiError> {
    let mut hasher = Sha256::new();
    let mut n_bytes = 0;
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| broke_off())?;
        n_bytes += chunk.len() as u64;
        if n_bytes > BLOB_BYTES_MAX {
            return Err(too_large());
        }
        hasher.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(hex::encode(hasher.finalize()))
}

fn remove_older(root: &Path, oldest: SystemTime) -> std::io::Result<()> {
    for folder in std::fs::read_dir(root)? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder)? {
            let file = file?;
            if file.metadata()?.modified()? < oldest {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}
