//! Lines to chunks: one step each, at most 64 KiB, and at most 250 ms after the first of their lines.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::limits::{LOG_BYTES_MAX, LOG_CHUNK_BYTES_MAX};
use protocol::{LogLine, Step};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{Batch, now_ms};

const FLUSH_AFTER: Duration = Duration::from_millis(250);
/// Keeps the JSON of a chunk of empty lines small: each costs some 20 bytes beyond its text.
const CHUNK_LINES_MAX: usize = 4096;

/// Reads the channel and gives chunks.
#[derive(Debug)]
pub(super) struct Chunker {
    waiting: mpsc::Receiver<Batch>,
    /// Read and not yet in a chunk.
    pending: VecDeque<(Step, LogLine)>,
    /// Bytes of text that this job may still log.
    left: usize,
    is_full: bool,
}

#[derive(Default)]
struct Chunk {
    step: Option<Step>,
    lines: Vec<LogLine>,
    bytes: usize,
}

impl Chunk {
    fn takes(&self, step: Step, line: &LogLine) -> bool {
        let is_same_step = self.step.is_none_or(|own| own == step);
        is_same_step && self.lines.len() < CHUNK_LINES_MAX && self.bytes + line.text.len() <= LOG_CHUNK_BYTES_MAX
    }

    fn push(&mut self, step: Step, line: LogLine) {
        self.step = Some(step);
        self.bytes += line.text.len();
        self.lines.push(line);
    }

    fn into_batch(self) -> Option<Batch> {
        self.step.map(|step| (step, self.lines))
    }
}

impl Chunker {
    pub(super) fn new(waiting: mpsc::Receiver<Batch>) -> Self {
        Self { waiting, pending: VecDeque::new(), left: LOG_BYTES_MAX, is_full: false }
    }

    /// The next chunk; none at the end of the log.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        let mut chunk = Chunk::default();
        let mut flush_at = None;
        loop {
            while let Some((step, line)) = self.pending.pop_front() {
                if !chunk.takes(step, &line) {
                    self.pending.push_front((step, line));
                    return chunk.into_batch();
                }
                flush_at.get_or_insert_with(|| Instant::now() + FLUSH_AFTER);
                chunk.push(step, line);
            }
            let batch = match flush_at {
                None => self.waiting.recv().await,
                Some(at) => match timeout_at(at, self.waiting.recv()).await {
                    Ok(batch) => batch,
                    Err(_elapsed) => return chunk.into_batch(),
                },
            };
            match batch {
                Some((step, lines)) => self.admit(step, lines),
                None => return chunk.into_batch(),
            }
        }
    }

    /// Takes lines while the job's bound allows, then says once that it does not.
    fn admit(&mut self, step: Step, lines: Vec<LogLine>) {
        for line in lines {
            if self.is_full {
                return;
            }
            let cost = line.text.len() + 1;
            self.is_full = cost > self.left;
            self.left = self.left.saturating_sub(cost);
            let line = if self.is_full { truncated() } else { line };
            self.pending.push_back((step, line));
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

    #[tokio::test]
    async fn a_chunk_never_mixes_steps() {
        let (sender, waiting) = mpsc::channel(4);
        let mut chunker = Chunker::new(waiting);
        sender.send((Step::Pull, lines(&["p"]))).await.unwrap();
        sender.send((Step::Running, lines(&["r1"]))).await.unwrap();
        sender.send((Step::Running, lines(&["r2"]))).await.unwrap();
        drop(sender);
        assert_eq!(chunker.next().await, Some((Step::Pull, lines(&["p"]))));
        assert_eq!(chunker.next().await, Some((Step::Running, lines(&["r1", "r2"]))));
        assert_eq!(chunker.next().await, None);
    }

    #[tokio::test]
    async fn a_log_over_its_bound_says_so_once() {
        let (sender, waiting) = mpsc::channel(4);
        let mut chunker = Chunker::new(waiting);
        let line = "x".repeat(16 * 1024 - 1);
        let writer = tokio::spawn(async move {
            for _ in 0..700 {
                sender.send((Step::Running, lines(&[&line]))).await.unwrap();
            }
        });
        let mut all = Vec::new();
        while let Some((_, lines)) = chunker.next().await {
            assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= LOG_CHUNK_BYTES_MAX);
            all.extend(lines);
        }
        writer.await.unwrap();
        assert_eq!(all.len(), 641, "640 lines of 16 KiB and the note");
        assert!(all[640].text.contains("truncated"));
    }
}
