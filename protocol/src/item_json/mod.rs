//! JSON in the dialect of the clients of the task-queue API.
//!
//! Those clients rely on some differences from plain JSON: `NaN` and infinities are read (and written as `null`), the last of several equal
//! keys counts at the position of the first, numbers keep their spelling, and errors give the offset of a character. Values are written
//! compactly, with characters outside ASCII unchanged. At most 200 lists and objects may be nested.

mod reader;

use std::ops::Range;

use crate::canonical::write_string;
use reader::Reader;

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
        let mut reader = Reader::new(text);
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
    let mut reader = Reader::new(text);
    if text.starts_with('"') { reader.string().ok() } else { None }
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
