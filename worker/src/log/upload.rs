//! Chunks on their way to the API, one request at a time, each kept on disk until the next takes its place.
//!
//! A worker that takes the job over sends the kept chunk again, which the API takes once by its number, and goes on behind it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::{HeldJob, LogsRequest, QueueName};
use serde::{Deserialize, Serialize};

use super::chunk::{Chunker, Progress};
use crate::api::{Api, ApiError};
use crate::backoff::Backoff;
use crate::holds::Halt;
use crate::whole_file::write_whole;

/// The last chunk that a log was sent, or was about to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    request: LogsRequest,
    /// The log up to this chunk's end.
    pub(super) progress: Progress,
}

impl Kept {
    /// Reads what another worker process kept. None: its log had not begun.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it, whole or not at all. Without fsync: after a crash of the machine there is no container to go on with.
    fn write(&self, path: &Path) -> io::Result<()> {
        write_whole(path, &serde_json::to_vec(self)?)
    }
}

/// Sends one job's log.
pub(super) struct Uploader {
    pub(super) api: Arc<Api>,
    pub(super) queue: QueueName,
    pub(super) job: HeldJob,
    pub(super) halt: Arc<Halt>,
    /// Where the last chunk is kept.
    pub(super) path: PathBuf,
}

impl Uploader {
    pub(super) async fn run(self, mut chunks: Chunker, resumed: Option<Kept>) {
        tokio::select! {
            () = self.send_all(&mut chunks, resumed) => (),
            () = self.halt.halted() => (),
        }
        // What is still written is read and dropped, so that no writer blocks.
        chunks.drain().await;
    }

    async fn send_all(&self, chunks: &mut Chunker, resumed: Option<Kept>) {
        let mut seq = 0;
        if let Some(Kept { request, .. }) = resumed {
            if !self.send(&request).await {
                return;
            }
            seq = request.seq + 1;
        }
        while let Some(chunk) = chunks.next().await {
            let request = LogsRequest { epoch: self.job.epoch, seq, step: chunk.step, lines: chunk.lines };
            let kept = self.keep(Kept { request, progress: chunks.progress() }).await;
            if !self.send(&kept.request).await {
                return;
            }
            seq += 1;
        }
    }

    /// A full disk does not keep a log from being sent.
    async fn keep(&self, kept: Kept) -> Arc<Kept> {
        let (kept, path) = (Arc::new(kept), self.path.clone());
        let written = Arc::clone(&kept);
        let result = tokio::task::spawn_blocking(move || written.write(&path)).await;
        if let Err(error) = result.map_err(io::Error::other).flatten() {
            tracing::debug!(%error, job = %self.job.job_id, "log chunk is not kept on disk; a crash now would break the log");
        }
        kept
    }

    /// Whether more can be sent.
    async fn send(&self, request: &LogsRequest) -> bool {
        let mut backoff = Backoff::new();
        loop {
            match self.api.logs(&self.queue, &self.job.job_id, request).await {
                Ok(()) => return true,
                Err(ApiError::Away(_)) => backoff.wait().await,
                Err(ApiError::Stale | ApiError::Refused { status: 404 | 410, .. }) => {
                    self.halt.lose();
                    return false;
                }
                Err(error @ (ApiError::Refused { .. } | ApiError::Forbidden(_))) => {
                    tracing::warn!(%error, job = %self.job.job_id, "API refuses the log; the job goes on without it");
                    return false;
                }
            }
        }
    }
}
