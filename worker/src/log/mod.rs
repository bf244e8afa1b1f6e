//! A job's log on its way to the API.
//!
//! In: lines, from whoever works on the job. Out: numbered chunks, one request at a time, sent again until the API has them.
//! Lines wait in a bounded channel: while it is full its writers wait, so a container whose log is not taken is not read, and its
//! own writes block. Bounds: [`BATCHES_MAX`] batches, a chunk of 64 KiB, 10 MiB per job; then one line says that the rest is
//! dropped, and it is dropped silently.
//!
//! The last chunk is kept on disk with the place that it reaches in the container's output, so that a worker which takes the job
//! over loses no line and doubles none.

mod chunk;
mod lines;
mod position;
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
use crate::executor::{Executor, Fault, Frames};
use crate::holds::Hold;
use chunk::{Chunker, Progress};
use lines::LineSplitter;
use position::{Gap, Skip};
pub(crate) use redact::{BYTES_MIN as SECRET_BYTES_MIN, Redactor};
pub(crate) use upload::Kept;
use upload::Uploader;

/// Batches that wait. The engine sends at most 32 KiB per frame, so about half a MiB.
const BATCHES_MAX: usize = 16;

/// Said where a log goes on behind a gap.
const GAP: &str = "lines may be missing or repeated here: while its worker was away, the job wrote more than its machine keeps";

/// Lines that came together.
#[derive(Debug)]
struct Batch {
    step: Step,
    lines: Vec<LogLine>,
    /// The container wrote them, not the worker.
    is_output: bool,
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
        self.write(step, vec![LogLine { text: text.into(), time: now_ms(), is_stderr: false }], false).await;
    }

    /// One line that tells of a failure.
    pub(crate) async fn error(&self, step: Step, text: impl Into<String>) {
        self.write(step, vec![LogLine { text: text.into(), time: now_ms(), is_stderr: true }], false).await;
    }

    /// Takes secrets out of lines. Before they are counted: what is counted is what was sent.
    fn redact(&self, lines: &mut [LogLine]) {
        if let Some(redactor) = self.redactor.get() {
            lines.iter_mut().for_each(|line| redactor.redact_line(line));
        }
    }

    async fn write(&self, step: Step, mut lines: Vec<LogLine>, is_output: bool) {
        if !is_output {
            self.redact(&mut lines);
        }
        if !lines.is_empty() {
            // Closed when the claim is gone: nobody will read what is written now.
            let _ = self.batches.send(Batch { step, lines, is_output }).await;
        }
    }

    /// Reads a container's output to its end.
    pub(crate) async fn pump(self, frames: Frames) -> Written {
        let mut reader = Reader::new(frames);
        while let Some(mut lines) = reader.next().await {
            self.redact(&mut lines);
            self.write(Step::Running, lines, true).await;
        }
        reader.written
    }

    /// Reads a container's output from its beginning, and leaves out what is in the log already. Gives [`Gap`] when that is not
    /// in the record.
    async fn pump_again(&self, frames: Frames) -> Result<Written, Gap> {
        let mut reader = Reader::new(frames);
        let mut skip = Skip::until(self.resumed.unwrap_or_default().position);
        while let Some(mut lines) = reader.next().await {
            self.redact(&mut lines);
            let mut new = Vec::new();
            for line in lines {
                if skip.is_new(&line)? {
                    new.push(line);
                }
            }
            self.write(Step::Running, new, true).await;
        }
        skip.finish().map(|()| reader.written)
    }

    /// Goes on with the log of a run that another worker process began.
    pub(crate) async fn resume(self, executor: Arc<dyn Executor>, id: String) -> Result<Written, Fault> {
        let is_full = self.resumed.is_some_and(|progress| progress.is_full);
        match self.pump_again(executor.replay(&id).await?).await {
            Ok(written) => Ok(written),
            Err(Gap) if is_full => Ok(Written::default()),
            Err(Gap) => {
                self.error(Step::Running, GAP).await;
                Ok(self.pump(executor.replay(&id).await?).await)
            }
        }
    }
}

/// Lines of both streams of an output.
struct Reader {
    /// None: at its end.
    frames: Option<Frames>,
    stdout: LineSplitter,
    stderr: LineSplitter,
    written: Written,
}

impl Reader {
    fn new(frames: Frames) -> Self {
        Self {
            frames: Some(frames),
            stdout: LineSplitter::default(),
            stderr: LineSplitter::default(),
            written: Written::default(),
        }
    }

    /// The lines that the next bytes complete, which may be none; nothing after the last.
    async fn next(&mut self) -> Option<Vec<LogLine>> {
        let frames = self.frames.as_mut()?;
        let Some(Ok(frame)) = frames.next().await else {
            self.frames = None;
            let mut rest = stamped(std::mem::take(&mut self.stdout).finish(), false);
            rest.extend(stamped(std::mem::take(&mut self.stderr).finish(), true));
            return Some(rest);
        };
        self.written.has_stderr |= frame.is_stderr && !frame.bytes.is_empty();
        let splitter = if frame.is_stderr { &mut self.stderr } else { &mut self.stdout };
        Some(stamped(splitter.push(&frame.bytes), frame.is_stderr))
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
