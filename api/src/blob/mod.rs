//! The files behind `/f`: large inputs and outputs.
//!
//! A key that looks like a SHA-256 is checked against the content for every sender: a file that is stored under a hash has that
//! hash. Bytes that pass through this process are hashed here. When a client is sent to an object storage, the hash and the
//! length are part of the signed address. If the storage was not observed to refuse a wrong hash, such files go only through this
//! process.

mod directory;
mod name;
mod s3;

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use protocol::ErrorCode;

use crate::error::ApiError;
use directory::Directory;
pub(crate) use name::FileName;
use s3::S3;

pub use s3::{Done, S3Config, SetupStep, check_blobs, set_up_blobs};

/// Where the files are stored.
#[derive(Debug)]
pub(crate) enum BlobStore {
    /// In a folder of this machine.
    Directory(Directory),
    /// In a bucket of an object storage.
    S3(Box<S3>),
}

impl BlobStore {
    /// Uses the bucket if one is configured, otherwise the folder, which is created when it is missing.
    ///
    /// A storage that does not answer is not an error here: it may come up later, and `/readyz` reports it until then.
    pub(crate) async fn open(s3: &S3Config, directory: PathBuf) -> std::io::Result<Self> {
        if let Some(bucket) = &s3.s3_bucket {
            return S3::open(s3, bucket).await.map(|s3| Self::S3(Box::new(s3))).map_err(std::io::Error::other);
        }
        Directory::open(directory).map(Self::Directory)
    }

    /// The address to which a client sends this many bytes. None means that this process takes them itself.
    pub(crate) async fn redirect_put(&self, key: &str, n_bytes: Option<u64>) -> Result<Option<String>, ApiError> {
        match (self, n_bytes) {
            // An address cannot be bound to a length that is not known yet.
            (Self::Directory(_), _) | (Self::S3(_), None) => Ok(None),
            (Self::S3(s3), Some(n_bytes)) => s3.redirect_put(key, n_bytes).await,
        }
    }

    /// Stores a stream under a key, whole or not at all. The stream must have the announced length.
    pub(crate) async fn put(&self, key: &str, n_bytes: Option<u64>, body: Body) -> Result<(), ApiError> {
        match self {
            Self::Directory(directory) => directory.put(key, body).await,
            Self::S3(s3) => s3.put(key, n_bytes, body).await,
        }
    }

    /// Answers a GET or HEAD with the file or a part of it, or a GET with a redirect to it. The file is sent under `name`, if the
    /// reader gave one. The answer is 404 if the file is absent.
    pub(crate) async fn get(
        &self,
        key: &str,
        name: Option<FileName>,
        request: Request,
        is_proxied: bool,
    ) -> Result<Response, ApiError> {
        match self {
            Self::Directory(directory) => directory.get(key, name.as_ref(), request).await,
            Self::S3(s3) => {
                let asked = request.into_parts().0;
                s3.get(key, name.as_ref(), &asked, is_proxied).await
            }
        }
    }

    /// Whether a file is stored under the key.
    pub(crate) async fn exists(&self, key: &str) -> Result<bool, ApiError> {
        match self {
            Self::Directory(directory) => Ok(directory.exists(key).await?),
            Self::S3(s3) => s3.exists(key).await,
        }
    }

    /// An address outside of this process that accepts a PUT of the key, if there is one.
    pub(crate) async fn foreign_upload(&self, key: &str) -> Result<Option<String>, ApiError> {
        match self {
            Self::Directory(_) => Ok(None),
            Self::S3(s3) => s3.foreign_upload(key).await,
        }
    }

    /// An address outside of this process that gives the key's bytes, if there is one.
    pub(crate) async fn foreign_download(&self, key: &str) -> Result<Option<String>, ApiError> {
        match self {
            Self::Directory(_) => Ok(None),
            Self::S3(s3) => s3.foreign_download(key).await,
        }
    }

    /// Removes files that were not stored again for `age`. A bucket does it by itself, as configured by `asman blob init`.
    pub(crate) async fn expire(&self, age: Duration) -> std::io::Result<()> {
        match self {
            Self::Directory(directory) => directory.expire(age).await,
            Self::S3(_) => Ok(()),
        }
    }

    /// Whether files can be stored now.
    pub(crate) async fn check_ready(&self) -> std::io::Result<()> {
        match self {
            Self::Directory(directory) => directory.check_ready().await,
            Self::S3(s3) => s3.check_ready().await.map_err(std::io::Error::other),
        }
    }
}

/// The cache header of a file that is named by its hash, because the content under a hash never changes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Adds headers that keep a browser from showing a stranger's file as one of our own pages.
fn guard(headers: &mut HeaderMap, key: &str, name: Option<&FileName>) {
    if let Some(name) = name.filter(|_| headers.contains_key(header::CONTENT_TYPE)) {
        name.describe(headers);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    if protocol::is_sha256(key) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    }
}

fn wrong_hash(hash: &str) -> ApiError {
    ApiError::refused(ErrorCode::HashMismatch, format!("the content's SHA-256 is {hash}, not the key it was sent to"))
}

fn broke_off() -> ApiError {
    ApiError::refused(ErrorCode::IncompleteBody, "the upload broke off before its end".to_owned())
}

fn too_large() -> ApiError {
    ApiError::refused(ErrorCode::TooLarge, format!("a file may have at most {} bytes", protocol::limits::BLOB_BYTES_MAX))
}
