//! Signed addresses: what a client may do at the storage without credentials, for how long, and with which bytes.

use std::time::Duration;

use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fault::Fault;
use super::{CONTENT_TYPE, S3};
use crate::blob::{FileName, IMMUTABLE};
use crate::encoding;
use crate::error::ApiError;
use protocol::is_sha256;

/// A client must begin its upload or download within this time after the redirect.
const REDIRECT_LIFETIME: Duration = Duration::from_mins(15);
/// Lifetime of an upload address that a client gets before it sends anything.
const UPLOAD_LIFETIME: Duration = Duration::from_hours(1);
/// Lifetime of an address that becomes part of a job. The job may wait, so this is the longest lifetime that S3 allows.
const DOWNLOAD_LIFETIME: Duration = Duration::from_hours(7 * 24);

impl S3 {
    pub(crate) async fn redirect_put(&self, key: &str, n_bytes: u64) -> Result<Option<String>, ApiError> {
        if !self.may_redirect(key).await {
            return Ok(None);
        }
        let n_bytes = i64::try_from(n_bytes).map_err(ApiError::bad_request)?;
        // The length becomes a signed header, so the storage refuses a request of another length.
        let put = self.signed_put(key).content_length(n_bytes);
        self.sign_put(put, key, REDIRECT_LIFETIME).await.map(Some)
    }

    pub(crate) async fn foreign_upload(&self, key: &str) -> Result<Option<String>, ApiError> {
        if !self.may_redirect(key).await {
            return Ok(None);
        }
        self.sign_put(self.signed_put(key), key, UPLOAD_LIFETIME).await.map(Some)
    }

    pub(crate) async fn foreign_download(&self, key: &str) -> Result<Option<String>, ApiError> {
        if self.is_proxied { Ok(None) } else { self.sign_get(key, None, DOWNLOAD_LIFETIME).await.map(Some) }
    }

    pub(super) async fn redirect_get(&self, key: &str, name: Option<&FileName>) -> Result<String, ApiError> {
        self.sign_get(key, name, REDIRECT_LIFETIME).await
    }

    fn signed_put(&self, key: &str) -> PutObjectFluentBuilder {
        self.signer.put_object().bucket(&self.bucket).key(self.object(key))
    }

    /// Puts the hash into the address. The signature covers it there, and the storage reads it like the header of that name. A
    /// header would not work: a client that follows a redirect repeats only its own headers.
    pub(super) async fn sign_put(&self, put: PutObjectFluentBuilder, key: &str, lifetime: Duration) -> Result<String, ApiError> {
        let hash = is_sha256(key).then(|| hex::decode(key).ok()).flatten().map(|hash| STANDARD.encode(hash));
        let put = put.customize().mutate_request(move |request| {
            let Some(hash) = &hash else { return };
            let uri = request.uri();
            let joint = if uri.contains('?') { '&' } else { '?' };
            let bound = format!("{uri}{joint}x-amz-checksum-sha256={}", encoding::segment(hash));
            // The parts are valid, so this cannot fail.
            let _ = request.set_uri(bound);
        });
        self.address(put.presigned(config(lifetime)?).await.map_err(|error| self.failed(&error))?)
    }

    async fn sign_get(&self, key: &str, name: Option<&FileName>, lifetime: Duration) -> Result<String, ApiError> {
        let get = self.signer.get_object().bucket(&self.bucket).key(self.object(key));
        let mut get = get.response_content_type(name.map_or_else(|| CONTENT_TYPE.to_owned(), FileName::content_type));
        get = get.response_content_disposition(name.map_or_else(|| "attachment".to_owned(), FileName::disposition));
        if is_sha256(key) {
            get = get.response_cache_control(IMMUTABLE);
        }
        self.address(get.presigned(config(lifetime)?).await.map_err(|error| self.failed(&error))?)
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is used up")]
    fn address(&self, signed: PresignedRequest) -> Result<String, ApiError> {
        // Without a signature the address would be valid for any content.
        if !signed.uri().contains("X-Amz-Signature=") {
            return Err(self.report(Fault::NoCredentials));
        }
        Ok(signed.uri().to_owned())
    }
}

fn config(lifetime: Duration) -> Result<PresigningConfig, ApiError> {
    PresigningConfig::expires_in(lifetime)
        .map_err(|error| ApiError::from(std::io::Error::other(DisplayErrorContext(error).to_string())))
}

/// An object as the source of a copy, percent-encoded.
pub(super) fn copy_source(bucket: &str, object: &str) -> String {
    encoding::path(&format!("{bucket}/{object}"))
}
