//! A job's log on its way to the API.
//!
//! In: lines, from whoever works on the job. Out: numbered chunks, one request at a time, sent again until the API has them.
//! Lines wait in a bounded channel: while it is full its writers wait, so a container whose log is not taken is not read, and its
//! own writes block. Bounds: [`BATCHES_MAX`] batches, a chunk of 64 KiB, 10 MiB per job; then one line says that the rest is
//! dropped, and it is dropped silently.

mod chunk;
mod lines;
mod redact;

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{Stream, StreamExt};
use protocol::{LogLine, QueueName, Step};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::{Api, ApiError};
use crate::backoff::Backoff;
use crate::executor::{Fault, Frame};
use crate::holds::Hold;
use chunk::Chunker;
use lines::LineSplitter;
pub(crate) use redact::{BYTES_MIN as SECRET_BYTES_MIN, Redactor};

/// Batches that wait. The engine sends at most 32 KiB per frame, so about half a MiB.
const BATCHES_MAX: usize = 16;

type Batch = (Step, Vec<LogLine>);

/// Takes lines. Clones write to the same log, in the order of their calls.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    batches: mpsc::Sender<Batch>,
    /// Set once the job's secrets are known, for all clones.
    redactor: Arc<OnceLock<Redactor>>,
}

impl Log {
    /// Opens the log of a claim. The task ends when every clone is dropped and all is sent, or the claim is gone.
    pub(crate) fn open(api: Arc<Api>, queue: QueueName, hold: &Hold) -> (Self, JoinHandle<()>) {
        let (batches, waiting) = mpsc::channel(BATCHES_MAX);
        let uploader = Uploader { api, queue, job: hold.job.clone(), halt: Arc::clone(&hold.halt) };
        let task = tokio::spawn(uploader.run(Chunker::new(waiting)));
        (Self { batches, redactor: Arc::default() }, task)
    }

    /// Takes these values out of every line from now on. The first call counts.
    pub(crate) fn hide(&self, redactor: Redactor) {
        let _ = self.redactor.set(redactor);
    }

    /// One line of the worker's own.
    pub(crate) async fn line(&self, step: Step, text: impl Into<String>) {
        self.write(step, vec![LogLine { text: text.into(), time: now_ms(), is_stderr: false }]).await;
    }

    /// One line that tells of a failure.
    pub(crate) async fn error(&self, step: Step, text: impl Into<String>) {
        self.write(step, vec![LogLine { text: text.into(), time: now_ms(), is_stderr: true }]).await;
    }

    async fn write(&self, step: Step, mut lines: Vec<LogLine>) {
        if let Some(redactor) = self.redactor.get() {
            lines.iter_mut().for_each(|line| redactor.redact_line(line));
        }
        if !lines.is_empty() {
            // Closed when the claim is gone: nobody will read what is written now.
            let _ = self.batches.send((step, lines)).await;
        }
    }

    /// Reads a container's output to its end.
    pub(crate) async fn pump(self, frames: impl Stream<Item = Result<Frame, Fault>>) {
        let mut frames = std::pin::pin!(frames);
        let [mut stdout, mut stderr] = [LineSplitter::default(), LineSplitter::default()];
        while let Some(Ok(frame)) = frames.next().await {
            let splitter = if frame.is_stderr { &mut stderr } else { &mut stdout };
            self.write(Step::Running, stamped(splitter.push(&frame.bytes), frame.is_stderr)).await;
        }
        self.write(Step::Running, stamped(stdout.finish(), false)).await;
        self.write(Step::Running, stamped(stderr.finish(), true)).await;
    }
}

fn stamped(texts: impl IntoIterator<Item = String>, is_stderr: bool) -> Vec<LogLine> {
    let time = now_ms();
    texts.into_iter().map(|text| LogLine { text, time, is_stderr }).collect()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

struct Uploader {
    api: Arc<Api>,
    queue: QueueName,
    job: protocol::HeldJob,
    halt: Arc<crate::holds::Halt>,
}

impl Uploader {
    async fn run(self, mut chunks: Chunker) {
        let work = async {
            let mut seq = 0;
            while let Some((step, lines)) = chunks.next().await {
                let request = protocol::LogsRequest { epoch: self.job.epoch, seq, step, lines };
                if !self.send(&request).await {
                    break;
                }
                seq += 1;
            }
        };
        tokio::select! {
            () = work => (),
            () = self.halt.halted() => (),
        }
        // What is still written is read and dropped, so that no writer blocks.
        chunks.drain().await;
    }

    /// Whether more can be sent.
    async fn send(&self, request: &protocol::LogsRequest) -> bool {
        let mut backoff = Backoff::new();
        loop {
            match self.api.logs(&self.queue, &self.job.job_id, request).await {
                Ok(()) => return true,
                Err(ApiError::Away(_)) => backoff.wait().await,
                Err(ApiError::Stale | ApiError::Refused { status: 404 | 410, .. }) => {
                    self.halt.lose();
                    return false;
                }
                Err(error @ ApiError::Refused { .. }) => {
                    tracing::warn!(%error, job = %self.job.job_id, "API refuses the log; the job goes on without it");
                    return false;
                }
            }
        }
    }
}
