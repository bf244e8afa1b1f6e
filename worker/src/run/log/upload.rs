//! Sends chunks to the API, one request at a time. The last chunk is stored on disk until the next one replaces it.
//!
//! A worker that takes the job over sends the stored chunk again and continues after it. The API takes a chunk only once, by its number.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::{ClaimedJob, LogsRequest, QueueName};
use serde::{Deserialize, Serialize};

use super::chunk::{Chunker, Progress};
use crate::answer::ApiError;
use crate::api::Api;
use crate::atomic_file::write_whole;
use crate::backoff::Backoff;
use crate::run::StopSignal;

/// The last chunk that was sent or was about to be sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeptChunk {
    request: LogsRequest,
    /// Progress of the log up to this chunk's end.
    pub(super) progress: Progress,
}

impl KeptChunk {
    /// Reads the chunk that another worker process stored. None when that log had not begun.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the chunk completely or not at all. It needs no fsync, because a crash of the machine also ends the container.
    fn write(&self, path: &Path) -> io::Result<()> {
        write_whole(path, &serde_json::to_vec(self)?)
    }
}

/// Sends one job's log.
pub(super) struct Uploader {
    pub(super) api: Arc<Api>,
    pub(super) queue: QueueName,
    pub(super) job: ClaimedJob,
    pub(super) stop: Arc<StopSignal>,
    /// File for the last chunk.
    pub(super) path: PathBuf,
}

impl Uploader {
    pub(super) async fn run(self, mut chunks: Chunker, resumed: Option<KeptChunk>) {
        tokio::select! {
            () = self.send_all(&mut chunks, resumed) => (),
            () = self.stop.requested() => (),
        }
        // Read and drop the remaining lines, so that no writer blocks.
        chunks.drain().await;
    }

    async fn send_all(&self, chunks: &mut Chunker, resumed: Option<KeptChunk>) {
        let mut seq = 0;
        if let Some(KeptChunk { request, .. }) = resumed {
            if !self.send(&request).await {
                return;
            }
            seq = request.seq + 1;
        }
        while let Some(chunk) = chunks.next().await {
            let request = LogsRequest { epoch: self.job.epoch, seq, step: chunk.step, lines: chunk.lines };
            let kept = self.keep(KeptChunk { request, progress: chunks.progress() }).await;
            if !self.send(&kept.request).await {
                return;
            }
            seq += 1;
        }
    }

    /// Stores a chunk on disk. If this fails, for example on a full disk, the log is sent all the same.
    async fn keep(&self, kept: KeptChunk) -> Arc<KeptChunk> {
        let (kept, path) = (Arc::new(kept), self.path.clone());
        let written = Arc::clone(&kept);
        let result = tokio::task::spawn_blocking(move || written.write(&path)).await;
        if let Err(error) = result.map_err(io::Error::other).flatten() {
            tracing::debug!(%error, job = %self.job.job_id, "cannot write the log chunk to disk; a crash now would break the log");
        }
        kept
    }

    /// Sends a chunk. Returns whether more can be sent.
    async fn send(&self, request: &LogsRequest) -> bool {
        let mut backoff = Backoff::new();
        loop {
            match self.api.logs(&self.queue, &self.job.job_id, request).await {
                Ok(()) => return true,
                Err(ApiError::Away(_)) => backoff.wait().await,
                Err(ApiError::Stale | ApiError::Refused { status: 404 | 410, .. }) => {
                    self.stop.revoke();
                    return false;
                }
                Err(error @ (ApiError::Refused { .. } | ApiError::Forbidden(_))) => {
                    tracing::warn!(%error, job = %self.job.job_id, "the API refuses the log; the job continues without it");
                    return false;
                }
            }
        }
    }
}
