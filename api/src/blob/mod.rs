//! The files behind `/f`: large inputs and outputs.
//!
//! A key that looks like a SHA-256 is checked against the content, whoever sends it: what is stored under a hash has that hash.

mod directory;

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;

use crate::error::ApiError;
use directory::Directory;

/// Where the files are.
#[derive(Debug)]
pub(crate) enum BlobStore {
    /// In a folder of this machine.
    Directory(Directory),
}

impl BlobStore {
    /// Uses a folder, made when missing.
    pub(crate) fn directory(path: PathBuf) -> std::io::Result<Self> {
        Directory::open(path).map(Self::Directory)
    }

    /// Stores a stream under a key, whole or not at all.
    pub(crate) async fn put(&self, key: &str, body: Body) -> Result<(), ApiError> {
        match self {
            Self::Directory(directory) => directory.put(key, body).await,
        }
    }

    /// Answers a GET or HEAD with the file or a part of it. 404 when absent.
    pub(crate) async fn get(&self, key: &str, request: Request) -> Result<Response, ApiError> {
        match self {
            Self::Directory(directory) => directory.get(key, request).await,
        }
    }

    /// Whether the key is there.
    pub(crate) async fn exists(&self, key: &str) -> Result<bool, ApiError> {
        match self {
            Self::Directory(directory) => Ok(directory.exists(key).await?),
        }
    }

    /// Removes what nobody stored for `age`.
    pub(crate) async fn expire(&self, age: Duration) -> std::io::Result<()> {
        match self {
            Self::Directory(directory) => directory.expire(age).await,
        }
    }

    /// Whether files can be stored now.
    pub(crate) async fn check_ready(&self) -> std::io::Result<()> {
        match self {
            Self::Directory(directory) => directory.check_ready().await,
        }
    }
}

/// Whether a key claims to be the SHA-256 of its content.
pub(crate) fn is_sha256(key: &str) -> bool {
    key.len() == 64 && key.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
