//! Reads the dialect of JSON and writes it compactly.

use std::collections::HashMap;
use std::ops::Range;

use super::InvalidItemJson;
use crate::canonical::write_string;

/// Deepest nesting of lists and objects.
const DEPTH_MAX: usize = 200;

/// Reads a text and writes it compactly.
pub(super) struct Reader<'t> {
    text: &'t str,
    pub(super) at: usize,
}

type Read<T> = Result<T, InvalidItemJson>;

impl<'t> Reader<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn fail(&self, at: usize, problem: &'static str) -> InvalidItemJson {
        let offset = self.text.char_indices().take_while(|(index, _)| *index < at).count();
        InvalidItemJson { offset, problem }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub(super) fn value(&mut self, out: &mut String, depth: usize) -> Read<()> {
        if depth > DEPTH_MAX {
            return Err(self.fail(self.at, "Nested too deeply"));
        }
        match self.peek() {
            Some(b'"') => write_string(out, &self.string()?),
            Some(b'{') => drop(self.object(out, depth + 1)?),
            Some(b'[') => drop(self.list(out, depth + 1)?),
            _ => self.scalar(out)?,
        }
        Ok(())
    }

    fn scalar(&mut self, out: &mut String) -> Read<()> {
        let rest = &self.text[self.at..];
        let words = [("null", "null"), ("true", "true"), ("false", "false")];
        let numbers = [("NaN", "null"), ("Infinity", "null"), ("-Infinity", "null")];
        if let Some((word, meaning)) = words.into_iter().chain(numbers).find(|(word, _)| rest.starts_with(word)) {
            self.at += word.len();
            out.push_str(meaning);
            return Ok(());
        }
        let number = number_at_start(rest).ok_or_else(|| self.fail(self.at, "Expecting value"))?;
        self.at += number.len();
        let is_real = number.contains(['.', 'e', 'E']);
        let is_infinite = is_real && number.parse::<f64>().is_ok_and(f64::is_infinite);
        out.push_str(match number {
            "-0" => "0",
            _ if is_infinite => "null",
            _ => number,
        });
        Ok(())
    }

    /// Writes a list. Returns the position of each entry in `out`.
    pub(super) fn list(&mut self, out: &mut String, depth: usize) -> Read<Vec<Range<usize>>> {
        let mut spans = Vec::new();
        self.at += 1;
        out.push('[');
        self.skip_space();
        if self.peek() != Some(b']') {
            loop {
                let start = out.len();
                self.value(out, depth)?;
                spans.push(start..out.len());
                self.skip_space();
                if !self.has_more(b']')? {
                    break;
                }
                out.push(',');
            }
        }
        self.at += 1;
        out.push(']');
        Ok(spans)
    }

    /// Whether another entry follows.
    fn has_more(&mut self, end: u8) -> Read<bool> {
        match self.peek() {
            Some(byte) if byte == end => Ok(false),
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            _ => Err(self.fail(self.at, "Expecting ',' delimiter")),
        }
    }

    /// Writes an object. Returns the position of each key's value in `out`.
    pub(super) fn object(&mut self, out: &mut String, depth: usize) -> Read<Vec<(String, Range<usize>)>> {
        let start = out.len();
        let mut members: Vec<(String, Range<usize>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut is_repeated = false;
        self.at += 1;
        out.push('{');
        self.skip_space();
        if self.peek() != Some(b'}') {
            loop {
                let key = self.key()?;
                write_string(out, &key);
                out.push(':');
                let begin = out.len();
                self.value(out, depth)?;
                if let Some(place) = places.get(&key) {
                    members[*place].1 = begin..out.len();
                    is_repeated = true;
                } else {
                    places.insert(key.clone(), members.len());
                    members.push((key, begin..out.len()));
                }
                self.skip_space();
                if !self.has_more(b'}')? {
                    break;
                }
                out.push(',');
            }
        }
        self.at += 1;
        out.push('}');
        if is_repeated { Ok(rewritten(out, start, members)) } else { Ok(members) }
    }

    fn key(&mut self) -> Read<String> {
        if self.peek() != Some(b'"') {
            return Err(self.fail(self.at, "Expecting property name enclosed in double quotes"));
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.fail(self.at, "Expecting ':' delimiter"));
        }
        self.at += 1;
        self.skip_space();
        Ok(key)
    }

    pub(super) fn string(&mut self) -> Read<String> {
        let begin = self.at;
        let mut said = String::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c < ' ' || c == '"' || c == '\\').unwrap_or(rest.len());
            said.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                None => return Err(self.fail(begin, "Unterminated string starting at")),
                Some(b'"') => break,
                Some(b'\\') => said.push(self.escape(begin)?),
                Some(_) => return Err(self.fail(self.at, "Invalid control character at")),
            }
        }
        self.at += 1;
        Ok(said)
    }

    fn escape(&mut self, begin: usize) -> Read<char> {
        let backslash = self.at;
        let letter = self.text.as_bytes().get(backslash + 1).copied();
        self.at += 2;
        Ok(match letter {
            None => return Err(self.fail(begin, "Unterminated string starting at")),
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(backslash),
            Some(_) => return Err(self.fail(backslash, "Invalid \\escape")),
        })
    }

    fn code_point(&mut self, backslash: usize) -> Read<char> {
        let bad = |reader: &Self| reader.fail(backslash + 1, "Invalid \\uXXXX escape");
        let first = self.hex(backslash + 2).ok_or_else(|| bad(self))?;
        self.at = backslash + 6;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        if first < 0xDC00 && self.text[self.at..].starts_with("\\u") {
            let second = self.hex(self.at + 2).ok_or_else(|| self.fail(self.at + 1, "Invalid \\uXXXX escape"))?;
            if (0xDC00..0xE000).contains(&second) {
                self.at += 6;
                let joined = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return char::from_u32(joined).ok_or_else(|| bad(self));
            }
        }
        Err(self.fail(backslash, "Lone surrogate"))
    }

    /// Four hex digits that are followed by another character.
    fn hex(&self, at: usize) -> Option<u32> {
        let bytes = self.text.as_bytes();
        let digits = bytes.get(at..at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit) && at + 4 < bytes.len())?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

/// Writes the object that begins at `start` again, with each key once.
fn rewritten(out: &mut String, start: usize, members: Vec<(String, Range<usize>)>) -> Vec<(String, Range<usize>)> {
    let mut text = String::from("{");
    let mut spans = Vec::with_capacity(members.len());
    for (n, (key, span)) in members.into_iter().enumerate() {
        text.push_str(if n > 0 { "," } else { "" });
        write_string(&mut text, &key);
        text.push(':');
        let begin = start + text.len();
        text.push_str(&out[span]);
        spans.push((key, begin..start + text.len()));
    }
    text.push('}');
    out.truncate(start);
    out.push_str(&text);
    spans
}

/// The longest number that the text begins with.
fn number_at_start(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let whole = if bytes.get(sign) == Some(&b'0') { 1 } else { digits(sign) };
    if whole == 0 {
        return None;
    }
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let first = end + 1 + signed;
        if first < bytes.len() && digits(first) > 0 {
            end = first + digits(first);
        }
    }
    Some(&text[..end])
}
