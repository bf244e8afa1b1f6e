//! Sends a job's log to the API.
//!
//! In: lines, from the container and from the worker. Out: numbered chunks, one request at a time, repeated until the API has them. Lines
//! wait in a bounded channel. While it is full, its writers wait, so the worker does not read the container's output, and the container's
//! writes block. Bounds: [`BATCHES_MAX`] batches, a chunk of 64 KiB, and the head and tail of a long log (`bound`).
//!
//! The last chunk is stored on disk with its position in the container's output, so that a worker that takes the job over neither loses
//! nor repeats a line.

mod bound;
mod chunk;
mod lines;
mod position;
mod record;
mod redact;
mod upload;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use protocol::{ClaimedJob, LogLine, QueueName, Step};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::engine::{Fault, Frames, Lines};
use crate::run::StopSignal;
use chunk::{Chunker, Progress};
use lines::LineSplitter;
pub(crate) use redact::Redactor;
pub(crate) use upload::KeptChunk;
use upload::Uploader;

/// Most batches that wait. The engine sends at most 32 KiB per frame, so this is about half a MiB.
const BATCHES_MAX: usize = 16;

/// Lines that arrived together.
#[derive(Debug)]
struct Batch {
    step: Step,
    lines: Vec<LogLine>,
    origin: Origin,
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The container.
    Output,
    /// The worker.
    Worker,
    /// The worker, where an unknown number of lines of the output is missing.
    Break,
}

/// Accepts lines. Clones write to the same log, in the order of their calls.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    batches: mpsc::Sender<Batch>,
    /// What the log contained when it was opened.
    resumed: Option<Progress>,
    /// Set once the job's secrets are known, for all clones.
    redactor: Arc<OnceLock<Redactor>>,
}

/// The facts about a container's output that decide how the job ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) has_stderr: bool,
}

impl Log {
    /// Opens the log of a claim. For a log that another worker process left, `kept` is its last chunk. `path` is the file for the last
    /// chunk. The task ends when every clone is dropped and everything is sent, or when the claim was revoked.
    pub(crate) fn open(
        api: Arc<Api>,
        queue: QueueName,
        job: ClaimedJob,
        stop: Arc<StopSignal>,
        path: PathBuf,
        kept: Option<KeptChunk>,
    ) -> (Self, JoinHandle<()>) {
        let (batches, waiting) = mpsc::channel(BATCHES_MAX);
        let uploader = Uploader { api, queue, job, stop, path };
        let resumed = kept.as_ref().map(|kept| kept.progress);
        let task = tokio::spawn(uploader.run(Chunker::new(waiting, resumed.unwrap_or_default()), kept));
        (Self { batches, resumed, redactor: Arc::default() }, task)
    }

    /// Removes these values from every later line. Only the first call counts.
    pub(crate) fn hide(&self, redactor: Redactor) {
        let _ = self.redactor.set(redactor);
    }

    /// Writes one line of the worker.
    pub(crate) async fn line(&self, step: Step, text: impl Into<String>) {
        self.write(step, vec![LogLine { text: text.into(), time: now_ms(), is_stderr: false }], Origin::Worker).await;
    }

    /// Writes one line about a failure.
    pub(crate) async fn error(&self, step: Step, text: impl Into<String>) {
        self.write(step, vec![LogLine { text: text.into(), time: now_ms(), is_stderr: true }], Origin::Worker).await;
    }

    /// Writes one line where lines of the output may be missing.
    async fn break_off(&self, text: &str) {
        self.write(Step::Running, vec![LogLine { text: text.to_owned(), time: now_ms(), is_stderr: true }], Origin::Break).await;
    }

    /// Removes secrets from lines. Call it before lines are counted, because the counts are those of the lines that are sent.
    fn redact(&self, lines: &mut [LogLine]) {
        if let Some(redactor) = self.redactor.get() {
            lines.iter_mut().for_each(|line| redactor.redact_line(line));
        }
    }

    async fn write(&self, step: Step, mut lines: Vec<LogLine>, origin: Origin) {
        if origin != Origin::Output {
            lines.iter_mut().for_each(end);
            self.redact(&mut lines);
        }
        if !lines.is_empty() {
            // The channel is closed when the claim was revoked; then the lines are dropped.
            let _ = self.batches.send(Batch { step, lines, origin }).await;
        }
    }

    /// Reads a container's output to its end.
    pub(crate) async fn pump(self, frames: Frames) -> Written {
        let mut reader = Reader::new(frames);
        let mut written = Written::default();
        while let Some(Ok(lines)) = reader.next().await {
            self.take(lines, &mut written).await;
        }
        self.take(reader.begun(), &mut written).await;
        written
    }

    async fn take(&self, mut lines: Vec<LogLine>, written: &mut Written) {
        written.note(&lines);
        self.redact(&mut lines);
        self.write(Step::Running, lines, Origin::Output).await;
    }
}

impl Written {
    fn note(&mut self, lines: &[LogLine]) {
        self.has_stderr |= lines.iter().any(|line| line.is_stderr);
    }
}

impl Lines for Log {
    fn write_line(&self, step: Step, text: String, is_failure: bool) -> BoxFuture<'_, ()> {
        async move { if is_failure { self.error(step, text).await } else { self.line(step, text).await } }.boxed()
    }
}

/// Lines of both streams of an output.
struct Reader {
    frames: Frames,
    stdout: LineSplitter,
    stderr: LineSplitter,
}

impl Reader {
    fn new(frames: Frames) -> Self {
        Self { frames, stdout: LineSplitter::default(), stderr: LineSplitter::default() }
    }

    /// The lines that the next bytes complete, maybe none. Returns None at the end of the output.
    async fn next(&mut self) -> Option<Result<Vec<LogLine>, Fault>> {
        let frame = match self.frames.next().await? {
            Ok(frame) => frame,
            Err(fault) => return Some(Err(fault)),
        };
        let splitter = if frame.is_stderr { &mut self.stderr } else { &mut self.stdout };
        Some(Ok(stamped(splitter.push(&frame.bytes), frame.is_stderr)))
    }

    /// The lines that the end of the output completes.
    fn begun(self) -> Vec<LogLine> {
        let mut lines = stamped(self.stdout.finish(), false);
        lines.extend(stamped(self.stderr.finish(), true));
        lines
    }
}

fn stamped(texts: impl IntoIterator<Item = String>, is_stderr: bool) -> Vec<LogLine> {
    let time = now_ms();
    texts.into_iter().map(|text| LogLine { text, time, is_stderr }).collect()
}

/// Adds a line end to a line of the worker.
fn end(line: &mut LogLine) {
    if !line.text.ends_with(['\n', '\r']) {
        line.text.push('\n');
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
