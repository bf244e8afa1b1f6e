//! Turns lines into chunks. A chunk has lines of one step, at most 64 KiB, and is ready at most 250 ms after its first line.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::limits::LOG_CHUNK_BYTES_MAX;
use protocol::{LogLine, Step};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::bound::{Gap, Heads, LogPart, Tail};
use super::position::Position;
use super::{Batch, Origin, now_ms};

const FLUSH_AFTER: Duration = Duration::from_millis(250);
/// Most lines of a chunk, because each line costs about 20 bytes of JSON besides its text.
const CHUNK_LINES_MAX: usize = 4096;

/// How much of a job's log was put into chunks or left out.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// How far the container's output has been read.
    pub(super) position: Position,
    #[serde(default)]
    heads: Heads,
    /// Lines left out since the last line that gave a count.
    #[serde(default)]
    gap: Gap,
}

/// Lines of one step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) step: Step,
    pub(super) lines: Vec<LogLine>,
}

/// One line that waits to go into a chunk or to be left out.
#[derive(Debug)]
struct PendingLine {
    step: Step,
    line: LogLine,
    origin: Origin,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Head,
    Tail,
    LeftOut,
    /// The line gives the count of lines left out before it.
    Counts,
}

impl AsRef<LogLine> for PendingLine {
    fn as_ref(&self) -> &LogLine {
        &self.line
    }
}

/// Reads lines from the channel and makes chunks.
#[derive(Debug)]
pub(super) struct Chunker {
    waiting: mpsc::Receiver<Batch>,
    /// Lines that are read and not yet in a chunk.
    pending: VecDeque<PendingLine>,
    /// What the chunks so far contain.
    progress: Progress,
    /// How much of the heads is used by chunks and pending lines.
    heads: Heads,
    /// The last lines so far, once the head is full.
    tail: Tail<PendingLine>,
    /// Lines left out before the tail.
    gap: Gap,
}

#[derive(Default)]
struct Draft {
    step: Option<Step>,
    lines: Vec<LogLine>,
    n_bytes: usize,
}

impl Draft {
    fn takes(&self, entry: &PendingLine) -> bool {
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

impl Chunker {
    /// Continues a log. `Progress::default()` starts a new one.
    pub(super) fn new(waiting: mpsc::Receiver<Batch>, progress: Progress) -> Self {
        let (heads, gap) = (progress.heads, progress.gap);
        Self { waiting, pending: VecDeque::new(), progress, heads, tail: Tail::new(), gap }
    }

    /// How much of the log the chunks so far contain.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// The next chunk. None at the end of the log.
    pub(super) async fn next(&mut self) -> Option<Chunk> {
        let mut draft = Draft::default();
        let mut flush_at = None;
        loop {
            while let Some(entry) = self.pending.pop_front() {
                if !draft.takes(&entry) {
                    self.pending.push_front(entry);
                    return draft.into_chunk();
                }
                self.note(&entry);
                if entry.fate != Fate::LeftOut {
                    flush_at.get_or_insert_with(|| Instant::now() + FLUSH_AFTER);
                    draft.push(entry.step, entry.line);
                }
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
                None if self.flush_tail() => (),
                None => return draft.into_chunk(),
            }
        }
    }

    fn note(&mut self, entry: &PendingLine) {
        match entry.fate {
            Fate::Head => self.progress.heads.of(LogPart::of(entry.step)).add(&entry.line),
            // The tail begins when the head is full.
            Fate::Tail => self.progress.heads.fill(LogPart::of(entry.step)),
            Fate::LeftOut => self.progress.gap.add(entry.origin, &entry.line),
            Fate::Counts => self.progress.gap = Gap::default(),
        }
        if entry.origin == Origin::Output {
            self.progress.position.pass(&entry.line);
        }
    }

    /// Adds lines to the head, or to the tail, which then drops its oldest lines.
    fn admit(&mut self, batch: Batch) {
        let Batch { step, lines, origin } = batch;
        let part = LogPart::of(step);
        if self.tail.last().is_some_and(|last| LogPart::of(last.step) != part) {
            self.flush_tail();
        }
        for line in lines {
            if self.heads.takes(part, &line) {
                self.pending.push_back(PendingLine { step, line, origin, fate: Fate::Head });
                continue;
            }
            self.tail.push(PendingLine { step, line, origin, fate: Fate::Tail });
            while let Some(entry) = self.tail.overflow() {
                self.leave_out(entry);
            }
        }
    }

    fn leave_out(&mut self, entry: PendingLine) {
        if self.gap == Gap::default() {
            self.pending.push_back(own(entry.step, Gap::opening(), Fate::Tail));
        }
        self.gap.add(entry.origin, &entry.line);
        self.pending.push_back(PendingLine { fate: Fate::LeftOut, ..entry });
    }

    /// Makes the tail pending, after a line with the count of lines left out. Returns false when there is no tail.
    fn flush_tail(&mut self) -> bool {
        let (tail, gap) = (self.tail.take(), std::mem::take(&mut self.gap));
        if tail.is_empty() && gap == Gap::default() {
            return false;
        }
        let step = tail.front().map_or(Step::Running, |first| first.step);
        if gap != Gap::default() {
            self.pending.push_back(own(step, gap.closing(), Fate::Counts));
        }
        self.pending.extend(tail);
        true
    }

    /// Reads and drops lines until there is no writer any more.
    pub(super) async fn drain(mut self) {
        while self.waiting.recv().await.is_some() {}
    }
}

/// A line of the worker.
fn own(step: Step, mut text: String, fate: Fate) -> PendingLine {
    text.push('\n');
    PendingLine { step, line: LogLine { text, time: now_ms(), is_stderr: true }, origin: Origin::Worker, fate }
}

#[cfg(test)]
mod tests;
