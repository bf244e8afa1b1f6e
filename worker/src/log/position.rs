//! How far a container's output has been taken: lines of each stream, and a hash of their texts.
//!
//! The engine's own record of the output is read from its beginning by a worker that takes a job over; the count says what to
//! leave out. The hash tells whether the record still begins where the output began: the engine drops the oldest lines of a very
//! long one. Line ends do not count in the hash: what an earlier release kept was counted without them. Characters that stand for bytes that are no UTF-8 do not count in the hash, since the engine replaces those by rules
//! of its own.

use protocol::LogLine;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How far both streams have been taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    stdout: Place,
    stderr: Place,
}

/// How far one stream has been taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    n_lines: u64,
    hash: u64,
}

impl Position {
    /// Counts a line in.
    pub(super) fn pass(&mut self, line: &LogLine) {
        let place = if line.is_stderr { &mut self.stderr } else { &mut self.stdout };
        let mut hash = Sha256::new_with_prefix(place.hash.to_be_bytes());
        for piece in line.shown().split(char::REPLACEMENT_CHARACTER) {
            hash.update(piece);
        }
        let first = hash.finalize().first_chunk().copied().unwrap_or_default();
        *place = Place { n_lines: place.n_lines + 1, hash: u64::from_be_bytes(first) };
    }

    fn of(&self, is_stderr: bool) -> Place {
        if is_stderr { self.stderr } else { self.stdout }
    }
}

/// The record does not hold what was taken before: its beginning is gone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record does not hold what was taken before")]
pub(super) struct Gap;

/// Leaves out of a repeated output what was taken before.
#[derive(Debug)]
pub(super) struct Skip {
    until: Position,
    seen: Position,
}

impl Skip {
    pub(super) fn until(until: Position) -> Self {
        Self { until, seen: Position::default() }
    }

    /// Whether a line of the record is new.
    pub(super) fn is_new(&mut self, line: &LogLine) -> Result<bool, Gap> {
        let (seen, until) = (self.seen.of(line.is_stderr), self.until.of(line.is_stderr));
        if seen.n_lines >= until.n_lines {
            return Ok(true);
        }
        self.seen.pass(line);
        let seen = self.seen.of(line.is_stderr);
        if seen.n_lines == until.n_lines && seen.hash != until.hash { Err(Gap) } else { Ok(false) }
    }

    /// At the record's end: whether all that was taken before was in it.
    pub(super) fn finish(&self) -> Result<(), Gap> {
        let is_whole = [false, true].iter().all(|is_stderr| self.seen.of(*is_stderr) == self.until.of(*is_stderr));
        if is_whole { Ok(()) } else { Err(Gap) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, is_stderr: bool) -> LogLine {
        LogLine { text: text.to_owned(), time: 0, is_stderr }
    }

    #[test]
    fn what_was_taken_is_left_out_whatever_the_order_of_the_streams() {
        let mut taken = Position::default();
        for (text, is_stderr) in [("a", false), ("x", true), ("b", false)] {
            taken.pass(&line(text, is_stderr));
        }
        let mut skip = Skip::until(taken);
        let record = [("x", true), ("y", true), ("a", false), ("b", false), ("c", false)];
        let new: Vec<_> = record.iter().filter(|(text, is_stderr)| skip.is_new(&line(text, *is_stderr)).unwrap()).collect();
        assert_eq!(new, [&("y", true), &("c", false)]);
        assert_eq!(skip.finish(), Ok(()));
    }

    #[test]
    fn a_record_that_lost_its_beginning_is_noticed() {
        let mut taken = Position::default();
        ["a", "b"].iter().for_each(|text| taken.pass(&line(text, false)));
        let mut skip = Skip::until(taken);
        assert_eq!(skip.is_new(&line("b", false)), Ok(false));
        assert_eq!(skip.is_new(&line("c", false)), Err(Gap));
        assert_eq!(Skip::until(taken).finish(), Err(Gap));
    }

    #[test]
    fn bytes_that_are_no_text_count_alike_however_often_they_are_replaced() {
        let [mut ours, mut theirs] = [Position::default(); 2];
        ours.pass(&line("a\u{FFFD}b", false));
        theirs.pass(&line("a\u{FFFD}\u{FFFD}b", false));
        assert_eq!(ours, theirs);
    }
}
