//! JSON in the dialect of the clients of the task-queue API.
//!
//! Those clients rely on some differences from plain JSON: `NaN` and infinities are read (and written as `null`), the last of several equal
//! keys counts at the position of the first, numbers keep their spelling, and errors give the offset of a character. Values are written
//! compactly, with characters outside ASCII unchanged. [`DEPTH_MAX`] bounds the nesting.

use std::collections::HashMap;
use std::ops::Range;

use crate::canonical::write_string;

/// Deepest nesting of lists and objects.
const DEPTH_MAX: usize = 200;

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (character {offset})")]
pub struct InvalidItemJson {
    /// Where, counted in characters.
    pub offset: usize,
    /// What is wrong.
    pub problem: &'static str,
}

/// A document, parsed at its first level. Every text in it is compact JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemJson {
    /// Keys, each once, with the text of their values.
    Object(Vec<(String, String)>),
    /// Entries of a list.
    List(Vec<ItemJsonEntry>),
    /// A string.
    String(String),
    /// `null`, a boolean or a number.
    Other(String),
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemJsonEntry {
    /// Its text.
    pub text: String,
    /// Its value, if it is a string.
    pub string: Option<String>,
}

impl ItemJson {
    /// Reads a document. Skips a byte order mark.
    pub fn parse(text: &str) -> Result<Self, InvalidItemJson> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader { text, at: 0 };
        reader.skip_space();
        let mut out = String::with_capacity(text.len());
        let json = match reader.peek() {
            Some(b'{') => {
                let members = reader.object(&mut out, 1)?;
                Self::Object(members.into_iter().map(|(key, span)| (key, out[span].to_owned())).collect())
            }
            Some(b'[') => {
                let spans = reader.list(&mut out, 1)?;
                let entry =
                    |span: Range<usize>| ItemJsonEntry { string: string_of(&out[span.clone()]), text: out[span].to_owned() };
                Self::List(spans.into_iter().map(entry).collect())
            }
            Some(b'"') => Self::String(reader.string()?),
            _ => {
                reader.value(&mut out, 0)?;
                Self::Other(out)
            }
        };
        reader.skip_space();
        if reader.at < text.len() { Err(reader.fail(reader.at, "Extra data")) } else { Ok(json) }
    }

    /// The whole document, compact.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Object(members) => {
                out.push('{');
                for (n, (key, value)) in members.iter().enumerate() {
                    out.push_str(if n > 0 { "," } else { "" });
                    write_string(&mut out, key);
                    out.push(':');
                    out.push_str(value);
                }
                out.push('}');
            }
            Self::List(entries) => {
                let texts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
                out = format!("[{}]", texts.join(","));
            }
            Self::String(text) => write_string(&mut out, text),
            Self::Other(text) => out.clone_from(text),
        }
        out
    }
}

/// The value of a text that this module wrote, if it is a string.
fn string_of(text: &str) -> Option<String> {
    let mut reader = Reader { text, at: 0 };
    if text.starts_with('"') { reader.string().ok() } else { None }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

type Read<T> = Result<T, InvalidItemJson>;

impl Reader<'_> {
    fn fail(&self, at: usize, problem: &'static str) -> InvalidItemJson {
        let offset = self.text.char_indices().take_while(|(index, _)| *index < at).count();
        InvalidItemJson { offset, problem }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Read<()> {
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
    fn list(&mut self, out: &mut String, depth: usize) -> Read<Vec<Range<usize>>> {
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
    fn object(&mut self, out: &mut String, depth: usize) -> Read<Vec<(String, Range<usize>)>> {
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

    fn string(&mut self) -> Read<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(text: &str) -> String {
        ItemJson::parse(text).unwrap().to_text()
    }

    #[test]
    fn what_is_read_is_written_compactly_with_numbers_as_they_came() {
        for (text, written) in [
            ("\u{feff} { \"a\" : [ 1.0 , -0.0, 1e5 ] }\n", r#"{"a":[1.0,-0.0,1e5]}"#),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("[NaN,-Infinity,1e400,-0]", "[null,null,null,0]"),
            (r#"{"b":1,"a":{"x":1,"y":2,"x":[3]},"b":2}"#, r#"{"b":2,"a":{"x":[3],"y":2}}"#),
            (r#""\u00e9\ud83d\ude00\u0000\/\u007f""#, "\"é😀\\u0000/\u{7f}\""),
        ] {
            assert_eq!(compact(text), written);
        }
    }

    #[test]
    fn an_error_gives_its_offset_in_characters() {
        for (text, offset, problem) in [
            ("{", 1, "Expecting property name enclosed in double quotes"),
            (r#"{"é":1,}"#, 7, "Expecting property name enclosed in double quotes"),
            (r#"{"a" 1}"#, 5, "Expecting ':' delimiter"),
            (r#"{"a":}"#, 5, "Expecting value"),
            ("[1 2]", 3, "Expecting ',' delimiter"),
            ("[", 1, "Expecting value"),
            ("[1,]", 3, "Expecting value"),
            ("  ", 2, "Expecting value"),
            ("01", 1, "Extra data"),
            ("{} x", 3, "Extra data"),
            (r#"["é"#, 1, "Unterminated string starting at"),
            ("[\"a\nb\"]", 3, "Invalid control character at"),
            (r#"["\x"]"#, 2, "Invalid \\escape"),
            (r#"["\u12g4"]"#, 3, "Invalid \\uXXXX escape"),
            (r#"["\ud800"]"#, 2, "Lone surrogate"),
            ("-", 0, "Expecting value"),
        ] {
            assert_eq!(ItemJson::parse(text), Err(InvalidItemJson { offset, problem }), "{text}");
        }
        assert_eq!(ItemJson::parse(&"[".repeat(100_000)).unwrap_err().problem, "Nested too deeply");
    }
}
