//! Lines to chunks: one step each, at most 64 KiB, and at most 250 ms after the first of their lines.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::limits::LOG_CHUNK_BYTES_MAX;
use protocol::{LogLine, Step};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::bound::{Gap, Heads, Part, Tail};
use super::position::Position;
use super::{Batch, Origin, now_ms};

const FLUSH_AFTER: Duration = Duration::from_millis(250);
/// Keeps the JSON of a chunk of empty lines small: each costs some 20 bytes beyond its text.
const CHUNK_LINES_MAX: usize = 4096;

/// How much of a job's log is in its chunks, or was left out of them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Of the container's output.
    pub(super) position: Position,
    #[serde(default)]
    heads: Heads,
    /// Left out since the last line that counted such lines.
    #[serde(default)]
    gap: Gap,
}

/// Lines of one step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) step: Step,
    pub(super) lines: Vec<LogLine>,
}

/// One line on its way into a chunk, or left out.
#[derive(Debug)]
struct Entry {
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
    /// It counts what is left out before it.
    Counts,
}

impl AsRef<LogLine> for Entry {
    fn as_ref(&self) -> &LogLine {
        &self.line
    }
}

/// Reads the channel and gives chunks.
#[derive(Debug)]
pub(super) struct Chunker {
    waiting: mpsc::Receiver<Batch>,
    /// Read and not yet in a chunk.
    pending: VecDeque<Entry>,
    /// What is in chunks.
    progress: Progress,
    /// Heads of what is in chunks and pending.
    heads: Heads,
    /// The end of the log so far, once its head is full.
    tail: Tail<Entry>,
    /// Left out before the tail.
    gap: Gap,
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

impl Chunker {
    /// Goes on where a log was left; `Progress::default()` begins one.
    pub(super) fn new(waiting: mpsc::Receiver<Batch>, progress: Progress) -> Self {
        let (heads, gap) = (progress.heads, progress.gap);
        Self { waiting, pending: VecDeque::new(), progress, heads, tail: Tail::new(), gap }
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

    fn note(&mut self, entry: &Entry) {
        match entry.fate {
            Fate::Head => self.progress.heads.of(Part::of(entry.step)).add(&entry.line),
            // The tail begins where the head is full.
            Fate::Tail => self.progress.heads.fill(Part::of(entry.step)),
            Fate::LeftOut => self.progress.gap.add(entry.origin, &entry.line),
            Fate::Counts => self.progress.gap = Gap::default(),
        }
        if entry.origin == Origin::Output {
            self.progress.position.pass(&entry.line);
        }
    }

    /// Takes lines into the head, or else into the tail, which lets go of older ones.
    fn admit(&mut self, batch: Batch) {
        let Batch { step, lines, origin } = batch;
        let part = Part::of(step);
        if self.tail.last().is_some_and(|last| Part::of(last.step) != part) {
            self.flush_tail();
        }
        for line in lines {
            if self.heads.takes(part, &line) {
                self.pending.push_back(Entry { step, line, origin, fate: Fate::Head });
                continue;
            }
            self.tail.push(Entry { step, line, origin, fate: Fate::Tail });
            while let Some(entry) = self.tail.overflow() {
                self.leave_out(entry);
            }
        }
    }

    fn leave_out(&mut self, entry: Entry) {
        if self.gap == Gap::default() {
            self.pending.push_back(own(entry.step, Gap::opening(), Fate::Tail));
        }
        self.gap.add(entry.origin, &entry.line);
        self.pending.push_back(Entry { fate: Fate::LeftOut, ..entry });
    }

    /// Lets the tail follow, behind a line that counts what was left out before it. False when there is none.
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

    /// Reads and drops until every writer is gone.
    pub(super) async fn drain(mut self) {
        while self.waiting.recv().await.is_some() {}
    }
}

/// A line of the log's own.
fn own(step: Step, mut text: String, fate: Fate) -> Entry {
    text.push('\n');
    Entry { step, line: LogLine { text, time: now_ms(), is_stderr: true }, origin: Origin::Worker, fate }
}

#[cfg(test)]
mod tests {
    use protocol::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX, LOG_TAIL_LINES_MAX};

    use super::*;

    fn lines(texts: &[&str]) -> Vec<LogLine> {
        texts.iter().map(|text| LogLine { text: (*text).to_owned(), time: 0, is_stderr: false }).collect()
    }

    fn batch(step: Step, texts: &[&str]) -> Batch {
        Batch { step, lines: lines(texts), origin: Origin::Output }
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

    /// All chunks of a log of numbered lines of 16 KiB.
    async fn chunked(progress: Progress, numbers: std::ops::Range<usize>) -> (Vec<String>, Progress) {
        let (sender, waiting) = mpsc::channel(4);
        let mut chunker = Chunker::new(waiting, progress);
        let writer = tokio::spawn(async move {
            for n in numbers {
                let line = format!("{n:<width$}\n", width = LOG_LINE_BYTES_MAX - 1);
                sender.send(batch(Step::Running, &[&line])).await.unwrap();
            }
        });
        let mut all = Vec::new();
        while let Some(Chunk { lines, .. }) = chunker.next().await {
            assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= LOG_CHUNK_BYTES_MAX);
            all.extend(lines.into_iter().map(|line| line.text.trim_end().to_owned()));
        }
        writer.await.unwrap();
        (all, chunker.progress())
    }

    #[tokio::test]
    async fn a_long_log_keeps_its_head_and_its_tail_and_counts_what_lies_between() {
        let (all, _) = chunked(Progress::default(), 0..1000).await;
        let numbers = |range: std::ops::Range<usize>| range.map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(all[..640], numbers(0..640), "10 MiB");
        assert!(all[640].contains("longer than 10 MiB"), "{}", all[640]);
        let (n_lines, n_bytes) = (1000 - 640 - 128, (1000 - 640 - 128) * LOG_LINE_BYTES_MAX);
        assert_eq!(all[641], format!("{n_lines} lines ({n_bytes} bytes) of the log are left out here"));
        assert_eq!(all[642..], numbers(872..1000), "2 MiB");
    }

    #[tokio::test]
    async fn a_log_that_fits_in_head_and_tail_is_whole() {
        let (all, progress) = chunked(Progress::default(), 0..768).await;
        assert_eq!(all, (0..768).map(|n| n.to_string()).collect::<Vec<_>>());
        let (more, _) = chunked(progress, 768..770).await;
        assert_eq!(more, ["768", "769"], "a successor that finds the rest");
    }

    #[tokio::test]
    async fn a_successor_counts_from_where_the_log_was_left() {
        let (sender, waiting) = mpsc::channel(4);
        let mut chunker = Chunker::new(waiting, Progress::default());
        let line = "x".repeat(LOG_LINE_BYTES_MAX - 1) + "\n";
        let sending = sender.clone();
        tokio::spawn(async move {
            for _ in 0..900 {
                sending.send(batch(Step::Running, &[&line])).await.unwrap();
            }
        });
        // Killed while the log is in its middle: what was kept is the progress of the last chunk, which holds the opening line.
        let mut kept = Progress::default();
        while kept.gap.amount.n_lines == 0 {
            chunker.next().await.unwrap();
            kept = chunker.progress();
        }
        drop(sender);
        let passed = 640 + kept.gap.amount.n_lines;
        let (all, _) = chunked(serde_json::from_value(serde_json::to_value(kept).unwrap()).unwrap(), passed..1000).await;
        let n_lines = 1000 - 640 - 128;
        assert!(all[0].starts_with(&format!("{n_lines} lines ({} bytes)", n_lines * LOG_LINE_BYTES_MAX)), "{}", all[0]);
        assert_eq!((all.len(), all[1].as_str()), (129, "872"));
    }

    #[tokio::test]
    async fn a_long_build_leaves_the_run_its_own_head() {
        let (sender, waiting) = mpsc::channel(4);
        let mut chunker = Chunker::new(waiting, Progress::default());
        let line = "x".repeat(LOG_LINE_BYTES_MAX - 1) + "\n";
        tokio::spawn(async move {
            for _ in 0..900 {
                sender.send(batch(Step::Build, &[&line])).await.unwrap();
            }
            sender.send(batch(Step::Running, &["run"])).await.unwrap();
        });
        let mut all = Vec::new();
        while let Some(chunk) = chunker.next().await {
            all.extend(chunk.lines.into_iter().map(|line| (chunk.step, line.text)));
        }
        assert_eq!(all.len(), 640 + 2 + 128 + 1);
        assert!(all[641].1.contains("left out here") && all[641].0 == Step::Build);
        assert_eq!(all[770], (Step::Running, "run".to_owned()));
    }

    #[tokio::test]
    async fn lines_without_text_are_bounded_too() {
        let (sender, waiting) = mpsc::channel(4);
        let mut chunker = Chunker::new(waiting, Progress::default());
        tokio::spawn(async move {
            for _ in 0..220 {
                sender.send(batch(Step::Running, &vec![""; 10_000])).await.unwrap();
            }
        });
        let mut n_lines = 0;
        while let Some(chunk) = chunker.next().await {
            n_lines += chunk.lines.len();
        }
        assert_eq!(n_lines, LOG_LINES_MAX + LOG_TAIL_LINES_MAX + 2);
    }
}
