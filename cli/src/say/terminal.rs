//! Filters strangers' text for a terminal.
//!
//! A job's output, messages and names can contain sequences that set a window's title, fill the clipboard, clear the screen, or
//! change the direction of text. Only colours pass. Other such characters are shown in the form `\u001b`, which is also JSON's
//! notation, so that a JSON text stays valid.

use std::borrow::Cow;
use std::io::{self, Write};

/// Ends every colour.
const RESET: &str = "\x1b[0m";
/// Longest sequence that sets colours.
const COLOUR_CHARS_MAX: usize = 64;

/// How strictly a text is filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text of several lines: colours, tabs and newlines pass.
    Lines,
    /// A name within a sentence: only visible characters pass.
    Name,
}

/// The filtered text.
pub(crate) fn harmless(text: &str, kind: Kind) -> Cow<'_, str> {
    // A progress bar's return at the end of its line has no effect before the newline that follows.
    let text = if kind == Kind::Lines { text.strip_suffix('\r').unwrap_or(text) } else { text };
    if !text.chars().any(is_harmful) && (kind == Kind::Lines || !text.contains(['\t', '\n'])) {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut has_colours) = (String::with_capacity(text.len() + 16), false);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let colour = if kind == Kind::Lines { colour_at(rest) } else { None };
        let passes = !is_harmful(character) && (kind == Kind::Lines || !matches!(character, '\t' | '\n'));
        let length = match colour {
            Some(colour) => {
                shown.push_str(colour);
                has_colours = true;
                colour.len()
            }
            None if passes => {
                shown.push(character);
                character.len_utf8()
            }
            None => {
                escape(&mut shown, character);
                character.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    if has_colours && !shown.ends_with(RESET) {
        shown.push_str(RESET);
    }
    Cow::Owned(shown)
}

/// Escapes a character as JSON does, with two escapes for characters above U+FFFF.
fn escape(shown: &mut String, character: char) {
    let mut units = [0; 2];
    for unit in character.encode_utf16(&mut units) {
        shown.push_str(&format!("\\u{unit:04x}"));
    }
}

/// Whether a character has another effect than being shown. Tab and newline do not count.
fn is_harmful(character: char) -> bool {
    let is_control = character.is_control() && !matches!(character, '\t' | '\n');
    // Characters that set the direction of text, separate lines or have no width, and tags.
    let is_invisible = matches!(character,
        '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    is_control || is_invisible
}

/// The sequence that sets colours at the start of a text, if there is one.
fn colour_at(text: &str) -> Option<&str> {
    let numbers = text.strip_prefix("\x1b[")?;
    let end = numbers.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':'))?;
    (numbers[end..].starts_with('m') && end < COLOUR_CHARS_MAX).then(|| &text[..end + 3])
}

/// A writer of whole lines, such as those of a log. It filters like [`harmless`] and allows only one line in each write.
#[derive(Debug)]
pub(crate) struct LogLines<W> {
    inner: W,
}

impl<W> LogLines<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner }
    }
}

impl<W: Write> Write for LogLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let harmless = harmless(line, Kind::Lines);
        let line = if harmless.contains('\n') { harmless.replace('\n', "\\u000a") } else { harmless.into_owned() };
        self.inner.write_all(line.as_bytes())?;
        self.inner.write_all(end.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_colours_tabs_and_newlines_pass() {
        let lines = |text| harmless(text, Kind::Lines).into_owned();
        assert_eq!(lines("plain\ttext\nü 漢 👩‍💻"), "plain\ttext\nü 漢 👩‍💻");
        assert_eq!(lines("\x1b[1;31mred\x1b[0m"), "\x1b[1;31mred\x1b[0m");
        assert_eq!(lines("\x1b[38;2;1;2;3mleft on"), "\x1b[38;2;1;2;3mleft on\x1b[0m");
        assert_eq!(lines("\x1b[2J\x1b[H"), "\\u001b[2J\\u001b[H");
        assert_eq!(lines("\x1b]0;title\x07"), "\\u001b]0;title\\u0007");
        assert_eq!(lines("\x1b]52;c;cm0gLXJm\x1b\\"), "\\u001b]52;c;cm0gLXJm\\u001b\\");
        assert_eq!(
            lines("\u{9b}2J \x7f \x08 \x1b[?25l \x1b(0 \x1bc"),
            "\\u009b2J \\u007f \\u0008 \\u001b[?25l \\u001b(0 \\u001bc"
        );
        assert_eq!(lines("50%\r"), "50%");
        assert_eq!(lines("evil\rgood"), "evil\\u000dgood");
        assert_eq!(lines("\x1b[31"), "\\u001b[31", "cut short");
        assert_eq!(lines(&format!("\x1b[{}m", "1;".repeat(100))).get(..9), Some("\\u001b[1;"));
    }

    #[test]
    fn of_a_name_nothing_passes_that_is_not_shown_in_its_place() {
        let name = |text| harmless(text, Kind::Name).into_owned();
        assert_eq!(name("data/plot ü.png"), "data/plot ü.png");
        assert_eq!(name("invoice\u{202e}fdp.exe"), "invoice\\u202efdp.exe");
        assert_eq!(name("a\nb\tc\x1b[31m"), "a\\u000ab\\u0009c\\u001b[31m");
        assert_eq!(name("\u{e0041}"), "\\udb40\\udc41");
    }

    #[test]
    fn a_json_text_stays_one() {
        let text = serde_json::to_string(&serde_json::json!({"name": "a\u{9b}2J\u{202e}\u{e0041}\x1b"})).unwrap();
        let shown = harmless(&text, Kind::Lines).into_owned();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        );
        assert!(!shown.contains(['\u{9b}', '\u{202e}']));
    }

    #[test]
    fn a_line_of_a_log_cannot_begin_another() {
        let mut written = Vec::new();
        LogLines::new(&mut written).write_all(b"\x1b[2mWARN\x1b[0m it said \"a\nERROR b\x1b[2J\"\n").unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "\x1b[2mWARN\x1b[0m it said \"a\\u000aERROR b\\u001b[2J\"\x1b[0m\n");
    }
}
