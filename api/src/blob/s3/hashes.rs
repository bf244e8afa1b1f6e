//! Whether the storage refuses uploads with another hash than the one in their signed address. If it was not observed to do so,
//! files that are named by their hash go through this process, which checks them. Otherwise anyone could forge such a file.
//!
//! Each process tries it once, at the first such upload, and keeps the result. If the storage did not answer, it tries again
//! later.

use std::time::Duration;

use protocol::{is_sha256, sha256_hex};

use super::fault::Fault;
use super::{Client, READY_TIMEOUT, S3};

const PROBE: &str = "asman: a probe of the storage";
const PROBE_LIFETIME: Duration = Duration::from_mins(1);

impl S3 {
    /// Whether clients may send content for this key directly to the storage.
    pub(super) async fn may_redirect(&self, key: &str) -> bool {
        if self.is_proxied || !is_sha256(key) {
            return !self.is_proxied;
        }
        let tried = self.checks_hashes.get_or_try_init(|| async {
            let checks = self.try_hashes(&self.client).await?;
            if !checks {
                tracing::warn!(
                    "the object storage accepts content of any hash; files named by their hash go through this process"
                );
            }
            Ok::<_, Fault>(checks)
        });
        // An upload waits at most this long for the result, even if another upload has begun the probe.
        matches!(tokio::time::timeout(READY_TIMEOUT, tried).await, Ok(Ok(true)))
    }

    /// Sends wrong content to a signed address, which must be refused, and then the right content, which must be accepted. A
    /// refusal alone may have another cause.
    pub(super) async fn try_hashes(&self, signer: &Client) -> Result<bool, Fault> {
        let key = sha256_hex(PROBE.as_bytes());
        let wrong = self.send_probe(signer, &key, PROBE.to_uppercase()).await?;
        let right = if wrong.is_client_error() { Some(self.send_probe(signer, &key, PROBE.to_owned()).await?) } else { None };
        let _ = self.client.delete_object().bucket(&self.bucket).key(self.object(&key)).send().await;
        match right.unwrap_or(wrong) {
            status if status.is_success() => Ok(right.is_some()),
            status if matches!(status.as_u16(), 401 | 403) => Err(Fault::Credentials(format!("an upload ended with {status}"))),
            status => Err(Fault::Other(format!("a probe ended with status {status}"))),
        }
    }

    async fn send_probe(&self, signer: &Client, key: &str, content: String) -> Result<reqwest::StatusCode, Fault> {
        let length = i64::try_from(content.len()).map_err(|error| Fault::Other(error.to_string()))?;
        let put = signer.put_object().bucket(&self.bucket).key(self.object(key)).content_length(length);
        let url = self.sign_put(put, key, PROBE_LIFETIME).await.map_err(|error| Fault::Other(error.to_string()))?;
        let sent = reqwest::Client::new().put(url).body(content).timeout(READY_TIMEOUT).send().await;
        sent.map(|answer| answer.status()).map_err(|error| Fault::Unreachable(error.without_url().to_string()))
    }
}
