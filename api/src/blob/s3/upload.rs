//! Stores files that go through this process: small files in one request, large files in parts. The next part is filled while the
//! previous one is sent. A file appears under its key only after its hash and length were checked. Unfinished uploads are
//! aborted. Every request contains the hash of its content, which buckets with object lock require.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use axum::body::{Body, BodyDataStream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use protocol::is_sha256;
use protocol::limits::BLOB_BYTES_MAX;
use sha2::{Digest, Sha256};

use super::config::while_sending;
use super::fault::Fault;
use super::{CONTENT_TYPE, S3};
use crate::blob::{broke_off, too_large, wrong_hash};
use crate::error::ApiError;

/// Bytes of a part. The largest file has 640 parts. S3 allows 10,000 parts, of at least 5 MiB each.
pub(super) const PART_BYTES: usize = 8 * 1024 * 1024;
/// Most uploads through this process at a time. Further uploads wait, and their bytes are not read yet.
pub(super) const UPLOADS_MAX: usize = 8;

impl S3 {
    pub(crate) async fn put(&self, key: &str, n_bytes: Option<u64>, body: Body) -> Result<(), ApiError> {
        let _turn = self.uploads.acquire().await.map_err(|_| ApiError::Stopping)?;
        let mut content = Content::new(body);
        let first = content.part().await?;
        if first.len() < PART_BYTES {
            let hash = content.check(key, n_bytes)?;
            let put = self.client.put_object().bucket(&self.bucket).key(self.object(key)).content_type(CONTENT_TYPE);
            let put = put.checksum_sha256(hash).body(ByteStream::from(first)).customize().config_override(while_sending());
            put.send().await.map_err(|error| self.not_stored(&error))?;
        } else {
            self.put_parts(key, n_bytes, first, content).await?;
        }
        self.works();
        Ok(())
    }

    async fn put_parts(&self, key: &str, n_bytes: Option<u64>, first: Bytes, mut content: Content) -> Result<(), ApiError> {
        let upload = self.begin(key).await?;
        let mut parts = Vec::new();
        let mut part = first;
        while !part.is_empty() {
            let (sent, next) = tokio::join!(self.send_part(&upload, parts.len() + 1, part), content.part());
            parts.push(sent?);
            part = next?;
        }
        content.check(key, n_bytes)?;
        self.complete(upload, parts).await
    }

    async fn begin(&self, key: &str) -> Result<Multipart, ApiError> {
        let object = self.object(key);
        let create = self.client.create_multipart_upload().bucket(&self.bucket).key(&object).content_type(CONTENT_TYPE);
        let create = create.checksum_algorithm(ChecksumAlgorithm::Sha256);
        let created = create.send().await.map_err(|error| self.not_stored(&error))?;
        let id = created.upload_id.unwrap_or_default();
        Ok(Multipart { client: self.client.clone(), bucket: self.bucket.clone(), object, id, is_over: false })
    }

    async fn send_part(&self, upload: &Multipart, number: usize, part: Bytes) -> Result<CompletedPart, ApiError> {
        let number = i32::try_from(number).map_err(|_| too_large())?;
        let send = self.client.upload_part().bucket(&upload.bucket).key(&upload.object).upload_id(&upload.id);
        let hash = STANDARD.encode(Sha256::digest(&part));
        let send = send
            .part_number(number)
            .checksum_sha256(&hash)
            .body(ByteStream::from(part))
            .customize()
            .config_override(while_sending());
        let sent = send.send().await.map_err(|error| self.not_stored(&error))?;
        Ok(CompletedPart::builder().part_number(number).checksum_sha256(hash).set_e_tag(sent.e_tag).build())
    }

    async fn complete(&self, mut upload: Multipart, parts: Vec<CompletedPart>) -> Result<(), ApiError> {
        let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.client.complete_multipart_upload().bucket(&upload.bucket).key(&upload.object).upload_id(&upload.id);
        // Some storage joins the parts before it answers, so this request also has the longer time limit.
        let complete = complete.multipart_upload(all).customize().config_override(while_sending());
        complete.send().await.map_err(|error| self.not_stored(&error))?;
        upload.is_over = true;
        Ok(())
    }
}

impl S3 {
    /// Stores a probe in one request and then in parts, and removes it.
    pub(super) async fn try_uploads(&self, content: &'static [u8]) -> Result<(), Fault> {
        let key = "asman: a probe of uploads";
        let create = self.client.put_object().bucket(&self.bucket).key(self.object(key)).content_type(CONTENT_TYPE);
        let create = create.checksum_sha256(STANDARD.encode(Sha256::digest(content))).body(ByteStream::from_static(content));
        let whole = create.send().await.map(|_| ()).map_err(|error| Fault::of(&error));
        let stored = match whole {
            Ok(()) => self.try_parts(key, content).await,
            Err(fault) => Err(fault),
        };
        let _ = self.client.delete_object().bucket(&self.bucket).key(self.object(key)).send().await;
        stored
    }

    async fn try_parts(&self, key: &str, content: &'static [u8]) -> Result<(), Fault> {
        let parts = async {
            let upload = self.begin(key).await?;
            let part = self.send_part(&upload, 1, Bytes::from_static(content)).await?;
            self.complete(upload, vec![part]).await
        };
        let refused = |error: ApiError| Fault::Other(format!("it does not accept uploads in parts ({error})"));
        parts.await.map_err(refused)
    }
}

/// An upload in parts. If it is dropped before its end, for example because its client hung up, it is aborted.
struct Multipart {
    client: Client,
    bucket: String,
    object: String,
    id: String,
    is_over: bool,
}

impl Drop for Multipart {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_over {
            return;
        }
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.object).upload_id(&self.id);
        runtime.spawn(async move {
            if abort.send().await.is_err() {
                tracing::warn!("an upload that broke off could not be removed; the bucket's lifecycle rule removes it in a day");
            }
        });
    }
}

/// A body that is cut into parts. Its bytes are counted and hashed on the way.
struct Content {
    stream: BodyDataStream,
    /// Bytes that came after the end of the last part.
    rest: Bytes,
    hasher: Sha256,
    n_bytes: u64,
}

impl Content {
    fn new(body: Body) -> Self {
        Self { stream: body.into_data_stream(), rest: Bytes::new(), hasher: Sha256::new(), n_bytes: 0 }
    }

    /// The next [`PART_BYTES`] bytes of the body; fewer at its end, none after it.
    async fn part(&mut self) -> Result<Bytes, ApiError> {
        let mut part = BytesMut::new();
        let mut chunk = std::mem::take(&mut self.rest);
        loop {
            let n_wanted = PART_BYTES - part.len();
            if chunk.len() >= n_wanted {
                self.rest = chunk.split_off(n_wanted);
                part.extend_from_slice(&chunk);
                return Ok(part.freeze());
            }
            part.extend_from_slice(&chunk);
            match self.stream.next().await {
                Some(next) => chunk = self.take(next.map_err(|_| broke_off())?)?,
                None => return Ok(part.freeze()),
            }
        }
    }

    fn take(&mut self, chunk: Bytes) -> Result<Bytes, ApiError> {
        self.n_bytes += chunk.len() as u64;
        if self.n_bytes > BLOB_BYTES_MAX {
            return Err(too_large());
        }
        self.hasher.update(&chunk);
        Ok(chunk)
    }

    /// Checks that the body has the announced length and, if the key is a hash, that hash. Returns the hash in the form that
    /// the storage expects.
    fn check(&self, key: &str, n_bytes: Option<u64>) -> Result<String, ApiError> {
        if n_bytes.is_some_and(|announced| announced != self.n_bytes) {
            return Err(broke_off());
        }
        let digest = self.hasher.clone().finalize();
        let hash = hex::encode(digest);
        if is_sha256(key) && key != hash { Err(wrong_hash(&hash)) } else { Ok(STANDARD.encode(digest)) }
    }
}
