//! Bounds of a long log: its head is sent as it comes, and its tail is sent last.
//!
//! Build and run each have a log. Each log has the bounds of [`protocol::limits`] for its head and its tail, in bytes and in lines, because
//! empty lines cost something too. A log that fits into head and tail is sent completely. Lines between head and tail are counted, and one
//! line in their place gives the count.

use std::collections::VecDeque;

use protocol::limits::{LOG_BYTES_MAX, LOG_LINES_MAX, LOG_TAIL_BYTES_MAX, LOG_TAIL_LINES_MAX};
use protocol::{LogLine, Step};
use serde::{Deserialize, Serialize};

use super::Origin;

/// Which of a job's two logs a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogPart {
    Build,
    Run,
}

impl LogPart {
    pub(super) fn of(step: Step) -> Self {
        if step == Step::Running { Self::Run } else { Self::Build }
    }
}

/// A number of lines and of bytes of text.
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

/// How much of each head is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heads {
    build: Amount,
    run: Amount,
}

impl Heads {
    pub(super) fn of(&mut self, part: LogPart) -> &mut Amount {
        match part {
            LogPart::Build => &mut self.build,
            LogPart::Run => &mut self.run,
        }
    }

    /// Counts a line of the head. Returns false when the head is full. It then stays full, even for a shorter line later.
    pub(super) fn takes(&mut self, part: LogPart, line: &LogLine) -> bool {
        let head = self.of(part);
        let fits = head.n_bytes + line.text.len() <= LOG_BYTES_MAX && head.n_lines < LOG_LINES_MAX;
        if fits {
            head.add(line);
        } else {
            self.fill(part);
        }
        fits
    }

    /// Makes a head full.
    pub(super) fn fill(&mut self, part: LogPart) {
        self.of(part).n_lines = LOG_LINES_MAX;
    }
}

/// The lines between head and tail, which are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) amount: Amount,
    /// More lines may be missing, because the engine dropped some before they were counted.
    pub(super) is_unsure: bool,
}

impl Gap {
    pub(super) fn add(&mut self, origin: Origin, line: &LogLine) {
        self.amount.add(line);
        self.is_unsure |= origin == Origin::Break;
    }

    /// The log line for people who watch, when the first line is left out.
    pub(super) fn opening() -> String {
        let (head, tail) = (LOG_BYTES_MAX >> 20, LOG_TAIL_BYTES_MAX >> 20);
        format!(
            "the log is longer than {head} MiB: lines from here on are left out, except the last {tail} MiB, which follow when the job ends"
        )
    }

    /// The log line before the tail.
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

    /// Removes the oldest line and returns it, while the tail exceeds its bounds.
    pub(super) fn overflow(&mut self) -> Option<T> {
        let is_over = self.amount.n_bytes > LOG_TAIL_BYTES_MAX || self.amount.n_lines > LOG_TAIL_LINES_MAX;
        let entry = is_over.then(|| self.kept.pop_front()).flatten()?;
        self.amount.remove(entry.as_ref());
        Some(entry)
    }

    /// Takes all lines out of the tail.
    pub(super) fn take(&mut self) -> VecDeque<T> {
        self.amount = Amount::default();
        std::mem::take(&mut self.kept)
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.kept.back()
    }
}
