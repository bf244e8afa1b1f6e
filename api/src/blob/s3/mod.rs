//! Files of `/f` in a bucket. Clients are redirected to it with a signed address. With `--s3-proxy` or `?proxy=1` the bytes go
//! through this process.
//!
//! An object is named by its key when that is a SHA-256, else by the SHA-256 of the key: keys come from outside, and a `..` or a
//! `?` in an address means something else to every program that it passes. The bucket's lifecycle rules expire objects. When an
//! object is referred to again and is older than [`RENEW_AFTER`], it is copied onto itself, which starts its lifetime again.
//! Bounds: 5 GiB a file, [`upload::UPLOADS_MAX`] uploads through this process at a time with two parts in memory each; one chunk
//! for a download.

mod address;
mod config;
mod download;
mod fault;
mod hashes;
mod setup;
mod upload;

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::MetadataDirective;
use protocol::{is_sha256, sha256_hex};
use tokio::sync::{OnceCell, Semaphore};

use crate::error::ApiError;

pub use config::S3Config;
use fault::Fault;
pub use setup::{Done, SetupStep, check_blobs, set_up_blobs};

/// When an object of this age is asked for, its lifetime starts again. The lifecycle rule keeps objects for 28 days.
const RENEW_AFTER: Duration = Duration::from_hours(24);
/// Longest wait for the storage in a check that a request waits for, such as `/readyz`.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// The type of every object, because its bytes come from strangers.
const CONTENT_TYPE: &str = "application/octet-stream";

/// A bucket with files in it.
#[derive(Debug)]
pub(crate) struct S3 {
    client: Client,
    /// Signs addresses with the storage's address for clients.
    signer: Client,
    bucket: String,
    prefix: String,
    is_proxied: bool,
    renew_after: Duration,
    uploads: Semaphore,
    /// Whether the storage refuses content whose hash differs from the signed one. Empty until a probe has answered.
    checks_hashes: OnceCell<bool>,
    /// The fault that was logged last, until something works again.
    fault: Mutex<Option<Fault>>,
}

impl S3 {
    /// Reads the settings. If the storage does not answer, this is logged and is not an error.
    pub(super) async fn open(config: &S3Config, bucket: &str) -> Result<Self, Fault> {
        let s3 = Self::new(config, bucket).await?;
        // Logs a problem at the start, so that the operator need not learn it from the first upload.
        let _ = s3.check_ready().await;
        Ok(s3)
    }

    async fn new(config: &S3Config, bucket: &str) -> Result<Self, Fault> {
        let (client, signer) = config.clients().await?;
        Ok(Self {
            client,
            signer,
            bucket: bucket.to_owned(),
            prefix: config.s3_prefix.clone(),
            is_proxied: config.s3_proxy,
            renew_after: config.s3_renew_after.map_or(RENEW_AFTER, |after| after.0),
            uploads: Semaphore::new(upload::UPLOADS_MAX),
            checks_hashes: OnceCell::new(),
            fault: Mutex::new(None),
        })
    }

    fn object(&self, key: &str) -> String {
        if is_sha256(key) {
            format!("{}{key}", self.prefix)
        } else {
            format!("{}named-{}", self.prefix, sha256_hex(key.as_bytes()))
        }
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, ApiError> {
        let Some(head) = self.head(key).await? else { return Ok(false) };
        let stored = head.last_modified().and_then(|time| SystemTime::try_from(*time).ok());
        let age = stored.and_then(|stored| stored.elapsed().ok()).unwrap_or_default();
        // If the object cannot be renewed, the client should send it again, so that it is not lost before its job runs.
        Ok(age < self.renew_after || self.renew(key).await)
    }

    /// Copies an object onto itself, so that its lifetime starts again.
    async fn renew(&self, key: &str) -> bool {
        let object = self.object(key);
        let copy = self.client.copy_object().bucket(&self.bucket).key(&object);
        // A copy onto itself is refused unless something changes.
        let copy = copy.copy_source(address::copy_source(&self.bucket, &object)).metadata_directive(MetadataDirective::Replace);
        let copied = copy.content_type(CONTENT_TYPE).send().await;
        copied.map_err(|error| self.failed(&error)).is_ok()
    }

    async fn head(&self, key: &str) -> Result<Option<HeadObjectOutput>, ApiError> {
        match self.client.head_object().bucket(&self.bucket).key(self.object(key)).send().await {
            Ok(head) => {
                self.works();
                Ok(Some(head))
            }
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 404) => Ok(None),
            // The answer to a HEAD has no body with a reason. The answer to a list request has one.
            Err(error) => Err(match self.list().await {
                Ok(()) => self.failed(&error),
                Err(fault) => self.report(fault),
            }),
        }
    }

    /// Sends one request whose error, unlike that of a HEAD, contains the reason.
    async fn list(&self) -> Result<(), Fault> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).max_keys(1).send();
        let listed = tokio::time::timeout(READY_TIMEOUT, list).await;
        let listed = listed.map_err(|_| Fault::Unreachable(format!("no answer within {} s", READY_TIMEOUT.as_secs())))?;
        listed.map(|_| ()).map_err(|error| Fault::of(&error))
    }

    pub(super) async fn check_ready(&self) -> Result<(), Fault> {
        match self.list().await {
            Ok(()) => self.works(),
            Err(fault) => {
                self.report(fault.clone());
                return Err(fault);
            }
        }
        Ok(())
    }

    fn failed<E: ProvideErrorMetadata + std::error::Error + 'static>(&self, error: &SdkError<E, HttpResponse>) -> ApiError {
        self.report(Fault::of(error))
    }

    /// Logs the error of an upload. A permanent refusal becomes [`ApiError::StoreRefuses`], because trying again does not help.
    fn not_stored<E: ProvideErrorMetadata + std::error::Error + 'static>(&self, error: &SdkError<E, HttpResponse>) -> ApiError {
        let refusal = Fault::refusal(error);
        let failed = self.failed(error);
        refusal.map_or(failed, ApiError::StoreRefuses)
    }

    /// Logs a fault unless the last logged one was of the same kind.
    fn report(&self, fault: Fault) -> ApiError {
        let Ok(mut last) = self.fault.lock() else { return ApiError::StoreAway };
        if last.as_ref().is_none_or(|last| std::mem::discriminant(last) != std::mem::discriminant(&fault)) {
            tracing::error!("{fault}");
            *last = Some(fault);
        }
        ApiError::StoreAway
    }

    fn works(&self) {
        let is_back = self.fault.lock().is_ok_and(|mut last| last.take().is_some());
        if is_back {
            tracing::info!("the object storage works again");
        }
    }
}
