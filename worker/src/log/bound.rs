//! What is kept of a log that is longer than its bound: its beginning, which is sent as it comes, and its end, which is sent last.
//!
//! Build and run have a log each. Bounds of each: the head and the tail of [`protocol::limits`], by bytes and by lines, since lines
//! without text cost too. A log that fits in both is whole. What lies between is counted, and one line says so where it was.

use std::collections::VecDeque;

use protocol::limits::{LOG_BYTES_MAX, LOG_LINES_MAX, LOG_TAIL_BYTES_MAX, LOG_TAIL_LINES_MAX};
use protocol::{LogLine, Step};
use serde::{Deserialize, Serialize};

use super::Origin;

/// Which of a job's two logs a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Build,
    Run,
}

impl Part {
    pub(super) fn of(step: Step) -> Self {
        if step == Step::Running { Self::Run } else { Self::Build }
    }
}

/// Lines and bytes of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Amount {
    pub(super) n_lines: usize,
    pub(super) n_bytes: usize,
}

impl Amount {
    pub(super) fn add(&mut self, line: &LogLine) {
        self.n_lines += 1;
        self.n_bytes += line.text.len();
    }

    fn remove(&mut self, line: &LogLine) {
        self.n_lines -= 1;
        self.n_bytes -= line.text.len();
    }
}

/// How much of both heads is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heads {
    build: Amount,
    run: Amount,
}

impl Heads {
    pub(super) fn of(&mut self, part: Part) -> &mut Amount {
        match part {
            Part::Build => &mut self.build,
            Part::Run => &mut self.run,
        }
    }

    /// Counts a line in; false when the head is full. Then it stays full: a shorter line later must not be taken.
    pub(super) fn takes(&mut self, part: Part, line: &LogLine) -> bool {
        let head = self.of(part);
        let fits = head.n_bytes + line.text.len() <= LOG_BYTES_MAX && head.n_lines < LOG_LINES_MAX;
        if fits {
            head.add(line);
        } else {
            self.fill(part);
        }
        fits
    }

    /// Takes no more lines into a head.
    pub(super) fn fill(&mut self, part: Part) {
        self.of(part).n_lines = LOG_LINES_MAX;
    }
}

/// What lies between head and tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) amount: Amount,
    /// More may be missing: the engine dropped lines before they were counted.
    pub(super) is_unsure: bool,
}

impl Gap {
    pub(super) fn add(&mut self, origin: Origin, line: &LogLine) {
        self.amount.add(line);
        self.is_unsure |= origin == Origin::Break;
    }

    /// Said when the first line is left out, for those who watch.
    pub(super) fn opening() -> String {
        let (head, tail) = (LOG_BYTES_MAX >> 20, LOG_TAIL_BYTES_MAX >> 20);
        format!(
            "the log is longer than {head} MiB: from here on it is left out, but for its last {tail} MiB, which follow at the end"
        )
    }

    /// Said before the tail.
    pub(super) fn closing(self) -> String {
        let least = if self.is_unsure { "at least " } else { "" };
        format!("{least}{} lines ({} bytes) of the log are left out here", self.amount.n_lines, self.amount.n_bytes)
    }
}

/// The last lines of a log.
#[derive(Debug)]
pub(super) struct Tail<T> {
    kept: VecDeque<T>,
    amount: Amount,
}

impl<T: AsRef<LogLine>> Tail<T> {
    pub(super) fn new() -> Self {
        Self { kept: VecDeque::new(), amount: Amount::default() }
    }

    pub(super) fn push(&mut self, entry: T) {
        self.amount.add(entry.as_ref());
        self.kept.push_back(entry);
    }

    /// The oldest entry, while there is more than is kept.
    pub(super) fn overflow(&mut self) -> Option<T> {
        let is_over = self.amount.n_bytes > LOG_TAIL_BYTES_MAX || self.amount.n_lines > LOG_TAIL_LINES_MAX;
        let entry = is_over.then(|| self.kept.pop_front()).flatten()?;
        self.amount.remove(entry.as_ref());
        Some(entry)
    }

    /// All that is kept, which is then kept no more.
    pub(super) fn take(&mut self) -> VecDeque<T> {
        self.amount = Amount::default();
        std::mem::take(&mut self.kept)
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.kept.back()
    }
}
