//! A job's log on its way to the API.
//!
//! In: lines, from whoever works on the job. Out: numbered chunks, one request at a time, sent again until the API has them.
//! Lines wait in a bounded channel: while it is full its writers wait, so a container whose log is not taken is not read, and its
//! own writes block. Bounds: [`BATCHES_MAX`] batches, a chunk of 64 KiB; of a long log the beginning and the end are kept (`bound`).
//!
//! The last chunk is kept on disk with the place that it reaches in the container's output, so that a worker which takes the job
//! over loses no line and doubles none.

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

use futures_util::StreamExt;
use protocol::{LogLine, QueueName, Step};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::executor::{Fault, Frames};
use crate::holds::Hold;
use chunk::{Chunker, Progress};
use lines::LineSplitter;
pub(crate) use redact::{BYTES_MIN as SECRET_BYTES_MIN, Redactor};
pub(crate) use upload::Kept;
use upload::Uploader;

/// Batches that wait. The engine sends at most 32 KiB per frame, so about half a MiB.
const BATCHES_MAX: usize = 16;

/// Lines that came together.
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
    /// The worker, where the output has a hole of unknown size.
    Break,
}

/// Takes lines. Clones write to the same log, in the order of their calls.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    batches: mpsc::Sender<Batch>,
    /// What was in the log when it was opened.
    resumed: Option<Progress>,
    /// Set once the job's secrets are known, for all clones.
    redactor: Arc<OnceLock<Redactor>>,
}

/// What a container's output held, as far as it decides how the job ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) has_stderr: bool,
}

impl Log {
    /// Opens the log of a claim, or one that another worker process left: `kept` is what it kept, `path` where the last chunk is
    /// kept. The task ends when every clone is dropped and all is sent, or the claim is gone.
    pub(crate) fn open(
        api: Arc<Api>,
        queue: QueueName,
        hold: &Hold,
        path: PathBuf,
        kept: Option<Kept>,
    ) -> (Self, JoinHandle<()>) {
        let (batches, waiting) = mpsc::channel(BATCHES_MAX);
        let uploader = Uploader { api, queue, job: hold.job.clone(), halt: Arc::clone(&hold.halt), path };
        let resumed = kept.as_ref().map(|kept| kept.progress);
        let task = tokio::spawn(uploader.run(Chunker::new(waiting, resumed.unwrap_or_default()), kept));
        (Self { batches, resumed, redactor: Arc::default() }, task)
    }

    /// Takes these values out of every line from now on. The first call counts.
    pub(crate) fn hide(&self, redactor: Redactor) {
        let _ = self.redactor.set(redactor);
    }

    /// One line of the worker's own.
    pub(crate) async fn line(&self, step: Step, text: impl Into<String>) {
        self.write(step, vec![LogLine { text: text.into(), time: now_ms(), is_stderr: false }], Origin::Worker).await;
    }

    /// One line that tells of a failure.
    pub(crate) async fn error(&self, step: Step, text: impl Into<String>) {
        self.write(step, vec![LogLine { text: text.into(), time: now_ms(), is_stderr: true }], Origin::Worker).await;
    }

    /// One line where lines of the output may be missing.
    async fn break_off(&self, text: &str) {
        self.write(Step::Running, vec![LogLine { text: text.to_owned(), time: now_ms(), is_stderr: true }], Origin::Break).await;
    }

    /// Takes secrets out of lines. Before they are counted: what is counted is what was sent.
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
            // Closed when the claim is gone: nobody will read what is written now.
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

    /// The lines that the next bytes complete, which may be none; nothing after the last.
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

/// Ends a line of the worker's own as a program would.
fn end(line: &mut LogLine) {
    if !line.text.ends_with(['\n', '\r']) {
        line.text.push('\n');
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
