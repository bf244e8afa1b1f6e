//! Lines to chunks: one step each, at most 64 KiB, and at most 250 ms after the first of their lines.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::limits::{LOG_BYTES_MAX, LOG_CHUNK_BYTES_MAX};
use protocol::{LogLine, Step};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::position::Position;
use super::{Batch, now_ms};

const FLUSH_AFTER: Duration = Duration::from_millis(250);
/// Keeps the JSON of a chunk of empty lines small: each costs some 20 bytes beyond its text.
const CHUNK_LINES_MAX: usize = 4096;

/// How much of a job's log is in its chunks.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Of the container's output.
    pub(super) position: Position,
    /// Bytes of text.
    n_bytes: usize,
    /// The bound is reached, and a line says so.
    pub(super) is_full: bool,
}

/// Lines of one step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) step: Step,
    pub(super) lines: Vec<LogLine>,
}

/// One line on its way into a chunk.
#[derive(Debug)]
struct Entry {
    step: Step,
    line: LogLine,
    is_output: bool,
    /// The note that the rest is dropped.
    is_last: bool,
}

/// Reads the channel and gives chunks.
#[derive(Debug)]
pub(super) struct Chunker {
    waiting: mpsc::Receiver<Batch>,
    /// Read and not yet in a chunk.
    pending: VecDeque<Entry>,
    /// What is in chunks.
    progress: Progress,
    /// Bytes of text in chunks and pending.
    n_admitted: usize,
    is_full: bool,
}

#[derive(Default)]
struct Draft {
    step: Option<Step>,
    lines: Vec<LogLine>,
    n_bytes: usize,
}

impl Draft {
    fn takes(&self, entry: &Entry) -> bool {
        let is_same_step = self.step.is_none_or(|own| own == entry.step);
        is_same_step && self.lines.len() < CHUNK_LINES_MAX && self.n_bytes + entry.line.text.len() <= LOG_CHUNK_BYTES_MAX
    }

    fn push(&mut self, step: Step, line: LogLine) {
        self.step = Some(step);
        self.n_bytes += line.text.len();
        self.lines.push(line);
    }

    fn into_chunk(self) -> Option<Chunk> {
        self.step.map(|step| Chunk { step, lines: self.lines })
    }
}

fn cost(line: &LogLine) -> usize {
    line.text.len() + 1
}

impl Chunker {
    /// Goes on where a log was left; `Progress::default()` begins one.
    pub(super) fn new(waiting: mpsc::Receiver<Batch>, progress: Progress) -> Self {
        Self { waiting, pending: VecDeque::new(), progress, n_admitted: progress.n_bytes, is_full: progress.is_full }
    }

    /// All that the chunks given so far hold.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// The next chunk; none at the end of the log.
    pub(super) async fn next(&mut self) -> Option<Chunk> {
        let mut draft = Draft::default();
        let mut flush_at = None;
        loop {
            while let Some(entry) = self.pending.pop_front() {
                if !draft.takes(&entry) {
                    self.pending.push_front(entry);
                    return draft.into_chunk();
                }
                flush_at.get_or_insert_with(|| Instant::now() + FLUSH_AFTER);
                self.note(&entry);
                draft.push(entry.step, entry.line);
            }
            let batch = match flush_at {
                None => self.waiting.recv().await,
                Some(at) => match timeout_at(at, self.waiting.recv()).await {
                    Ok(batch) => batch,
                    Err(_elapsed) => return draft.into_chunk(),
                },
            };
            match batch {
                Some(batch) => self.admit(batch),
                None => return draft.into_chunk(),
            }
        }
    }

    fn note(&mut self, entry: &Entry) {
        self.progress.n_bytes += cost(&entry.line);
        self.progress.is_full |= entry.is_last;
        if entry.is_output {
            self.progress.position.pass(&entry.line);
        }
    }

    /// Takes lines while the job's bound allows, then says once that it does not.
    fn admit(&mut self, batch: Batch) {
        let Batch { step, lines, is_output } = batch;
        for line in lines {
            if self.is_full {
                return;
            }
            self.n_admitted += cost(&line);
            self.is_full = self.n_admitted > LOG_BYTES_MAX;
            let entry = if self.is_full {
                Entry { step, line: truncated(), is_output: false, is_last: true }
            } else {
                Entry { step, line, is_output, is_last: false }
            };
            self.pending.push_back(entry);
        }
    }

    /// Reads and drops until every writer is gone.
    pub(super) async fn drain(mut self) {
        while self.waiting.recv().await.is_some() {}
    }
}

fn truncated() -> LogLine {
    let text = format!("log truncated: it reached {} MiB, the rest is dropped", LOG_BYTES_MAX / 1024 / 1024);
    LogLine { text, time: now_ms(), is_stderr: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<LogLine> {
        texts.iter().map(|text| LogLine { text: (*text).to_owned(), time: 0, is_stderr: false }).collect()
    }

    fn batch(step: Step, texts: &[&str]) -> Batch {
        Batch { step, lines: lines(texts), is_output: true }
    }

    fn chunk(step: Step, texts: &[&str]) -> Chunk {
        Chunk { step, lines: lines(texts) }
    }

    #[tokio::test]
    async fn a_chunk_never_mixes_steps() {
        let (sender, waiting) = mpsc::channel(4);
        let mut chunker = Chunker::new(waiting, Progress::default());
        sender.send(batch(Step::Pull, &["p"])).await.unwrap();
        sender.send(batch(Step::Running, &["r1"])).await.unwrap();
        sender.send(batch(Step::Running, &["r2"])).await.unwrap();
        drop(sender);
        assert_eq!(chunker.next().await, Some(chunk(Step::Pull, &["p"])));
        assert_eq!(chunker.next().await, Some(chunk(Step::Running, &["r1", "r2"])));
        assert_eq!(chunker.next().await, None);
    }

    #[tokio::test]
    async fn a_log_over_its_bound_says_so_once() {
        let (sender, waiting) = mpsc::channel(4);
        let mut chunker = Chunker::new(waiting, Progress::default());
        let line = "x".repeat(16 * 1024 - 1);
        let writer = tokio::spawn(async move {
            for _ in 0..700 {
                sender.send(batch(Step::Running, &[&line])).await.unwrap();
            }
        });
        let mut all = Vec::new();
        while let Some(Chunk { lines, .. }) = chunker.next().await {
            assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= LOG_CHUNK_BYTES_MAX);
            all.extend(lines);
        }
        writer.await.unwrap();
        assert_eq!(all.len(), 641, "640 lines of 16 KiB and the note");
        assert!(all[640].text.contains("truncated") && chunker.progress().is_full);
    }
}
