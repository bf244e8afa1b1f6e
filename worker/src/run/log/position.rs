//! The position in a container's output: the number of lines of each stream, and a hash of their texts.
//!
//! A worker that takes a job over reads the engine's record of the output from its beginning and leaves out the lines up to the position.
//! The hash shows whether the record still begins at the beginning of the output, because the engine drops the oldest lines of a very long
//! record. Line ends do not count in the hash, because an earlier release did not count them. Replacement characters for bytes that are not
//! UTF-8 do not count either, because the engine replaces such bytes by its own rules.

use protocol::LogLine;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The position in both streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    stdout: StreamPosition,
    stderr: StreamPosition,
}

/// The position in one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct StreamPosition {
    n_lines: u64,
    hash: u64,
}

impl Position {
    /// Moves the position past a line.
    pub(super) fn pass(&mut self, line: &LogLine) {
        let place = if line.is_stderr { &mut self.stderr } else { &mut self.stdout };
        let mut hash = Sha256::new_with_prefix(place.hash.to_be_bytes());
        for piece in line.shown().split(char::REPLACEMENT_CHARACTER) {
            hash.update(piece);
        }
        let first = hash.finalize().first_chunk().copied().unwrap_or_default();
        *place = StreamPosition { n_lines: place.n_lines + 1, hash: u64::from_be_bytes(first) };
    }

    fn of(&self, is_stderr: bool) -> StreamPosition {
        if is_stderr { self.stderr } else { self.stdout }
    }
}

/// The record does not contain the lines up to the position, because its beginning was dropped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record has lost its beginning")]
pub(super) struct Gap;

/// Leaves out the lines of a repeated output up to a position.
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

    /// At the record's end: checks that it contained all lines up to the position.
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
    fn lines_up_to_the_position_are_left_out_in_any_order_of_the_streams() {
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
    fn bytes_that_are_not_text_count_the_same_however_they_are_replaced() {
        let [mut ours, mut theirs] = [Position::default(); 2];
        ours.pass(&line("a\u{FFFD}b", false));
        theirs.pass(&line("a\u{FFFD}\u{FFFD}b", false));
        assert_eq!(ours, theirs);
    }
}
