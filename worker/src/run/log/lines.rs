//! Splits the bytes of one stream into lines.
//!
//! A line ends after `\n`, `\r\n` or `\r`. (A progress bar that never sends `\n` would otherwise make one endless line.) The line end stays
//! in the text: all texts of a stream, joined, are what the program wrote. Only the byte after a `\r` shows which line end it is, so the
//! line waits for that byte. Lines longer than the bound are cut between characters; the `\n` at a line's end does not count as part of its
//! length. Bytes that are not UTF-8 become U+FFFD.

use protocol::limits::LOG_LINE_BYTES_MAX;

/// Splits one stream. Stdout and stderr each have a splitter.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    /// The unfinished line, at most as long as the bound and a `\n`.
    begun: Vec<u8>,
    /// The unfinished line ends with `\r` and waits for the next byte.
    is_after_return: bool,
}

impl LineSplitter {
    /// Adds bytes and returns the lines that they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            if std::mem::take(&mut self.is_after_return) {
                if let Some(rest) = bytes.strip_prefix(b"\n") {
                    self.begun.push(b'\n');
                    bytes = rest;
                }
                lines.push(self.take(self.begun.len()));
                continue;
            }
            let room = LOG_LINE_BYTES_MAX - self.begun.len();
            // One byte more for `\n`, which does not count.
            let window = &bytes[..bytes.len().min(room + 1)];
            let end = window.iter().enumerate().position(|(at, b)| *b == b'\n' || (*b == b'\r' && at < room));
            if let Some(at) = end {
                self.is_after_return = bytes[at] == b'\r';
                self.begun.extend_from_slice(&bytes[..=at]);
                if !self.is_after_return {
                    lines.push(self.take(self.begun.len()));
                }
                bytes = &bytes[at + 1..];
            } else {
                let taken = room.min(bytes.len());
                self.begun.extend_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                if !bytes.is_empty() {
                    lines.push(self.take(character_boundary(&self.begun)));
                }
            }
        }
        lines
    }

    /// The line that the end of the stream completes.
    pub(super) fn finish(mut self) -> Option<String> {
        (!self.begun.is_empty()).then(|| self.take(self.begun.len()))
    }

    fn take(&mut self, end: usize) -> String {
        let rest = self.begun.split_off(end);
        let line = std::mem::replace(&mut self.begun, rest);
        String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

/// The last position that is not inside a character. Bytes that are not UTF-8 may be cut anywhere.
fn character_boundary(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(4)..bytes.len();
    let start = tail.rev().find(|&at| bytes[at] & 0b1100_0000 != 0b1000_0000);
    match start {
        Some(at) if at > 0 && width(bytes[at]) > bytes.len() - at => at,
        _ => bytes.len(),
    }
}

/// Number of bytes of a character that starts with this byte.
fn width(first: u8) -> usize {
    match first {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines: Vec<_> = pieces.iter().flat_map(|piece| splitter.push(piece)).collect();
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn lines_do_not_depend_on_where_frames_are_cut() {
        let text = "a\nb\r\n\r\nü 5%\r6%\r\rlast\r".as_bytes();
        let expected = ["a\n", "b\r\n", "\r\n", "ü 5%\r", "6%\r", "\r", "last\r"];
        assert_eq!(split(&[text]), expected);
        for at in 0..text.len() {
            assert_eq!(split(&[&text[..at], &text[at..]]), expected, "cut at {at}");
        }
        assert_eq!(split(&text.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let text = "ü".repeat(LOG_LINE_BYTES_MAX);
        let odd = format!("a{text}\n");
        let lines = split(&[odd.as_bytes()]);
        assert!(lines.iter().all(|line| line.len() <= LOG_LINE_BYTES_MAX && !line.contains('\u{FFFD}')));
        assert_eq!(lines.concat(), odd);
    }

    #[test]
    fn bytes_that_are_not_text_do_not_stop_the_log() {
        assert_eq!(split(&[b"\xff\xfe\n", b"ok\n"]), ["\u{FFFD}\u{FFFD}\n", "ok\n"]);
        let binary = vec![0x80; LOG_LINE_BYTES_MAX * 2 + 1];
        assert_eq!(split(&[&binary]).len(), 3);
    }

    #[test]
    fn a_line_of_exactly_the_bound_is_one_line() {
        let text = format!("{}\nb\n", "x".repeat(LOG_LINE_BYTES_MAX));
        assert_eq!(split(&[text.as_bytes()]).len(), 2);
    }
}
