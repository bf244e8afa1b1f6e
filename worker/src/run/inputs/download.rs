//! One download to a file. It is streamed, hashed as it arrives, and resumed where it broke off.
//!
//! If the server names a version of the content (a strong entity tag, else a date), the worker asks for the rest of that version. A
//! server that cannot resume, or that has another version by now, sends the whole content, and the file starts again.
//! Bounds: 5 GiB; a line in the job's log after the first second, then at doubling intervals.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::Duration;

use protocol::Step;
use protocol::limits::BLOB_BYTES_MAX;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::answer::{ApiError, cause_of};
use crate::run::log::Log;

const FIRST_LINE_AFTER: Duration = Duration::from_secs(1);
const LINES_APART_MAX: Duration = Duration::from_mins(1);

/// Why a transfer failed.
#[derive(Debug)]
pub(crate) enum TransferFailure {
    Http(ApiError),
    Disk(io::Error),
    TooLarge,
}

/// A file that is being downloaded.
#[derive(Debug)]
pub(crate) struct Download {
    file: File,
    hash: Sha256,
    bytes: u64,
    /// The version that the download began with. None when the server names no version.
    version: Option<HeaderValue>,
}

impl Download {
    /// Creates the file, which must not exist yet.
    pub(crate) async fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path).await?;
        Ok(Self { file, hash: Sha256::new(), bytes: 0, version: None })
    }

    /// Bytes so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Headers that ask the server for the rest of the version. Empty when the download has to start again.
    pub(crate) fn resume(&self) -> HeaderMap {
        let version = self.version.clone().filter(|_| self.bytes > 0);
        let range = HeaderValue::from_str(&format!("bytes={}-", self.bytes)).ok();
        match (version, range) {
            (Some(version), Some(range)) => HeaderMap::from_iter([(RANGE, range), (IF_RANGE, version)]),
            _ => HeaderMap::new(),
        }
    }

    /// Starts the file again from its beginning.
    pub(crate) async fn restart(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.set_len(0).await?;
        self.file.seek(SeekFrom::Start(0)).await?;
        (self.hash, self.bytes, self.version) = (Sha256::new(), 0, None);
        Ok(())
    }

    /// Writes an answer to the file. After an error, the file keeps the bytes that came before it.
    pub(crate) async fn take(
        &mut self,
        answer: Result<Response, ApiError>,
        progress: &mut Progress<'_>,
    ) -> Result<(), TransferFailure> {
        let mut response = answer.map_err(TransferFailure::Http)?;
        let total = self.begin(&response).await?;
        if total.is_some_and(|total| total > BLOB_BYTES_MAX) {
            return Err(TransferFailure::TooLarge);
        }
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(()),
                Err(error) => return Err(TransferFailure::Http(ApiError::Away(cause_of(error)))),
            };
            if self.bytes + chunk.len() as u64 > BLOB_BYTES_MAX {
                return Err(TransferFailure::TooLarge);
            }
            self.file.write_all(&chunk).await.map_err(TransferFailure::Disk)?;
            self.hash.update(&chunk);
            self.bytes += chunk.len() as u64;
            progress.note(self.bytes, total).await;
        }
    }

    /// Prepares for an answer's body. Returns the size of the whole content, if the server says it.
    async fn begin(&mut self, response: &Response) -> Result<Option<u64>, TransferFailure> {
        let headers = response.headers();
        if response.status() == StatusCode::PARTIAL_CONTENT {
            return match range_of(headers) {
                Some((from, total)) if from == self.bytes => Ok(total),
                _ => {
                    self.restart().await.map_err(TransferFailure::Disk)?;
                    Err(TransferFailure::Http(ApiError::Away("the server sent a part that was not asked for".to_owned())))
                }
            };
        }
        if self.bytes > 0 {
            self.restart().await.map_err(TransferFailure::Disk)?;
        }
        self.version = version_of(headers);
        Ok(response.content_length())
    }

    /// The SHA-256 of the whole content.
    pub(crate) async fn finish(mut self) -> io::Result<String> {
        self.file.flush().await?;
        Ok(hex::encode(self.hash.finalize()))
    }
}

/// The version of the content. A weak tag does not count, because it does not promise the same bytes.
fn version_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let tag = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    tag.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

/// Reads `bytes 5-9/10`: where the part begins, and the size of the whole.
fn range_of(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    let (from, _) = range.split_once('-')?;
    Some((from.trim().parse().ok()?, total.trim().parse().ok()))
}

/// Writes the progress of a download to the job's log.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    log: &'a Log,
    /// Name of the input.
    name: &'a str,
    started: Instant,
    apart: Duration,
    next: Instant,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(log: &'a Log, name: &'a str) -> Self {
        let started = Instant::now();
        Self { log, name, started, apart: FIRST_LINE_AFTER, next: started + FIRST_LINE_AFTER }
    }

    async fn note(&mut self, bytes: u64, total: Option<u64>) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.apart = (self.apart * 2).min(LINES_APART_MAX);
        self.next = now + self.apart;
        let of = total.map_or_else(String::new, |total| format!(" of {}", mebibytes(total)));
        self.log.line(Step::Running, format!("input {:?}: {}{of} fetched", self.name, mebibytes(bytes))).await;
    }

    /// Writes a last line if the download took longer than the first line's delay.
    pub(crate) async fn done(&self, bytes: u64) {
        let took = self.started.elapsed();
        if took >= FIRST_LINE_AFTER {
            let line = format!("input {:?}: all {} fetched in {:.1} s", self.name, mebibytes(bytes), took.as_secs_f64());
            self.log.line(Step::Running, line).await;
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_strong_tag_or_a_date_names_a_version() {
        let headers = |name, value: &'static str| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        assert_eq!(version_of(&headers(ETAG, "\"a\"")).unwrap(), "\"a\"");
        assert!(version_of(&headers(ETAG, "W/\"a\"")).is_none());
        assert!(version_of(&headers(LAST_MODIFIED, "Wed, 21 Oct 2015 07:28:00 GMT")).is_some());
        assert_eq!(range_of(&headers(CONTENT_RANGE, "bytes 5-9/10")), Some((5, Some(10))));
        assert_eq!(range_of(&headers(CONTENT_RANGE, "bytes 5-9/*")), Some((5, None)));
        assert_eq!(range_of(&headers(CONTENT_RANGE, "bytes */10")), None);
    }
}
