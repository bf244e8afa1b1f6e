//! Removes the values of a job's secrets from its log, in the forms in which programs print them.
//!
//! In: the values, once, then whole lines. A value of several lines is searched for line by line. Forms: the plain text, base64 in both
//! alphabets and at each of its three shifts (so also inside a longer encoded text such as `user:password`), hex in both cases,
//! percent-encoding, JSON escapes, shell quotes and XML escapes.
//!
//! A form shorter than [`HIDDEN_BYTES_MIN`] is not removed, because that would destroy the log, and the holes would reveal the value. This
//! protects only against accidents: a program that wants to print a secret can always find another form.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::secrets::HIDDEN_BYTES_MIN;

/// The text that replaces a value.
const MARK: &str = "***";
/// Characters that percent-encoding does not change.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Characters that the encoding of HTML forms does not change. This encoding also writes `+` for a blank.
const IN_FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
/// Characters that `encodeURIComponent` does not change.
const IN_URL: &AsciiSet = &UNRESERVED.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');

/// Removes the values of secrets from lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor {
    /// None when there is nothing to remove.
    forms: Option<AhoCorasick>,
}

impl Redactor {
    /// A redactor for these values.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut forms: Vec<Vec<u8>> = values.into_iter().flat_map(forms_of).collect();
        forms.retain(|form| form.len() >= HIDDEN_BYTES_MIN);
        forms.sort();
        forms.dedup();
        // This fails only for much more text than the secrets' size limit allows.
        Self { forms: (!forms.is_empty()).then(|| AhoCorasick::new(forms).ok()).flatten() }
    }

    /// Removes the values from a line of a log. The line end stays, even if a value ends with it.
    pub(crate) fn redact_line(&self, line: &mut protocol::LogLine) {
        let shown = line.shown();
        if let Cow::Owned(clean) = self.redact(shown) {
            line.text = clean + &line.text[shown.len()..];
        }
    }

    /// The text without the values.
    pub(crate) fn redact<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let Some(forms) = &self.forms else { return Cow::Borrowed(line) };
        // Values may overlap: remove everything that any value covers.
        let mut holes: Vec<std::ops::Range<usize>> = Vec::new();
        for found in forms.find_overlapping_iter(line) {
            let mut hole = found.range();
            while let Some(last) = holes.pop_if(|last| hole.start <= last.end) {
                hole = hole.start.min(last.start)..hole.end.max(last.end);
            }
            holes.push(hole);
        }
        if holes.is_empty() {
            return Cow::Borrowed(line);
        }
        let mut clean = String::with_capacity(line.len());
        let mut at = 0;
        for hole in holes {
            // A form can begin inside a character only if the value is not text. Then the whole character is removed.
            clean.push_str(&line[at..line.floor_char_boundary(hole.start)]);
            clean.push_str(MARK);
            at = line.ceil_char_boundary(hole.end);
        }
        clean.push_str(&line[at..]);
        Cow::Owned(clean)
    }
}

/// Every form of a value, and of each of its lines.
fn forms_of(value: &[u8]) -> Vec<Vec<u8>> {
    let whole = value.trim_ascii();
    let mut forms = encodings(whole);
    // A program that encodes the whole file also encodes the newline at its end.
    if whole.len() < value.len() && whole.len() >= HIDDEN_BYTES_MIN {
        forms.extend(encodings(value));
    }
    let lines = whole.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    for line in lines.filter(|line| line.len() >= HIDDEN_BYTES_MIN && line.len() < whole.len()) {
        forms.extend(encodings(line));
    }
    forms
}

fn encodings(value: &[u8]) -> Vec<Vec<u8>> {
    if value.len() < HIDDEN_BYTES_MIN {
        return Vec::new();
    }
    let mut forms = vec![value.to_vec(), hex::encode(value).into_bytes(), hex::encode_upper(value).into_bytes()];
    for shift in 0..3 {
        forms.extend(base64_within(value, shift, &STANDARD_NO_PAD));
        forms.extend(base64_within(value, shift, &URL_SAFE_NO_PAD));
    }
    if let Ok(text) = std::str::from_utf8(value) {
        forms.extend(text_forms(text).map(String::into_bytes));
    }
    forms
}

/// The base64 characters that encode only the value, in a text that contains the value at an offset of `shift` modulo three. The second
/// item is for a text that ends with the value.
fn base64_within(value: &[u8], shift: usize, alphabet: &impl base64::Engine) -> [Vec<u8>; 2] {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(value);
    let encoded = alphabet.encode(&padded).into_bytes();
    let begin = (shift * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    [encoded[begin..end].to_vec(), encoded[begin..].to_vec()]
}

fn text_forms(text: &str) -> impl Iterator<Item = String> + use<> {
    let in_path = utf8_percent_encode(text, UNRESERVED).to_string();
    let in_url = utf8_percent_encode(text, IN_URL).to_string();
    let in_form = utf8_percent_encode(text, IN_FORM).to_string().replace("%20", "+");
    let quoted = serde_json::Value::from(text).to_string();
    let json = quoted[1..quoted.len() - 1].to_owned();
    let forms = [
        lower_escapes(&in_path),
        lower_escapes(&in_url),
        lower_escapes(&in_form),
        in_path,
        in_url,
        in_form,
        json.replace('/', r"\/"),
        // A JSON text within a JSON text.
        json.replace('\\', r"\\").replace('"', r#"\""#),
        json,
        text.replace('\'', r"'\''"),
        text.replace('\'', r#"'"'"'"#),
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;"),
    ];
    forms.into_iter()
}

/// Writes escapes in lower case: `%2F` becomes `%2f`.
fn lower_escapes(text: &str) -> String {
    let mut left = 0;
    let lower = |c: char| {
        if c == '%' {
            left = 2;
            return c;
        }
        let is_digit = left > 0;
        left -= usize::from(is_digit);
        if is_digit { c.to_ascii_lowercase() } else { c }
    };
    text.chars().map(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    const SECRET: &str = "p4ss?/word \"1\"~\u{fc}'x>>>";

    fn redactor(values: &[&str]) -> Redactor {
        Redactor::new(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn every_form_of_a_value_is_found() {
        let redactor = redactor(&[SECRET]);
        let url = reqwest::Url::parse_with_params("http://host/", [("key", SECRET)]).unwrap();
        let forms = [
            SECRET.to_owned(),
            hex::encode(SECRET),
            hex::encode_upper(SECRET),
            utf8_percent_encode(SECRET, UNRESERVED).to_string(),
            lower_escapes(&utf8_percent_encode(SECRET, UNRESERVED).to_string()),
            url.query().unwrap().replace("key=", ""),
            serde_json::to_string(SECRET).unwrap(),
            serde_json::to_string(&serde_json::to_string(SECRET).unwrap()).unwrap(),
            SECRET.replace('\'', r"'\''"),
        ];
        for form in forms {
            let clean = redactor.redact(&form).into_owned();
            assert!(clean.contains(MARK) && clean.len() <= 9, "{form} became {clean}");
        }
    }

    #[test]
    fn base64_is_found_wherever_the_value_stands_in_the_encoded_text() {
        let redactor = redactor(&[SECRET]);
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "z", "zz", "zzz", " and more"] {
                let text = format!("{before}{SECRET}{after}");
                for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text), STANDARD_NO_PAD.encode(&text)] {
                    let clean = redactor.redact(&encoded).into_owned();
                    // The characters of the surrounding text stay, and so does one at each end that has bits of both texts.
                    let left = clean.len().saturating_sub(MARK.len());
                    assert!(clean.contains(MARK) && left <= (before.len() + after.len()) * 2 + 6, "{encoded} became {clean}");
                }
            }
        }
    }

    #[test]
    fn the_base64_of_a_file_that_ends_in_a_newline_leaves_nothing_of_it() {
        for secret in ["s3cret-value", "s3cret-value1", "s3cret-value12"] {
            for file in [secret.to_owned(), format!("{secret}\n"), format!("{secret}\r\n"), format!(" {secret}\n\n")] {
                let redactor = redactor(&[&file]);
                for before in ["", "a", "ab"] {
                    for text in [format!("{before}{secret}"), format!("{before}{file}")] {
                        let encoded = STANDARD.encode(&text);
                        let clean = redactor.redact(&encoded).into_owned();
                        let left = clean.replace(MARK, "").replace('=', "");
                        // Only the characters before the value stay. The last of them may contain bits of the value's first byte.
                        assert!(
                            left.len() <= before.len() + usize::from(!before.is_empty()),
                            "{text:?}: {encoded} became {clean}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn values_that_overlap_leave_nothing_between_them() {
        let redactor = redactor(&["abcdefgh", "efghijkl", "cdefgh"]);
        assert_eq!(redactor.redact("<abcdefghijkl> cdefgh!"), "<***> ***!");
        assert_eq!(redactor.redact("abcdefghabcdefgh"), "***", "values that touch are one hole");
    }

    #[test]
    fn a_value_of_many_lines_is_found_line_by_line() {
        let redactor = redactor(&["-----BEGIN KEY-----\nMIIabcdef\r\nXYZXYZ\nab\n"]);
        assert_eq!(redactor.redact("got MIIabcdef"), "got ***");
        assert_eq!(redactor.redact("XYZXYZ\r"), "***\r");
        assert_eq!(redactor.redact("ab"), "ab", "a short line stays");
        assert_eq!(redactor.redact(r#"{"key":"-----BEGIN KEY-----\nMIIabcdef\r\nXYZXYZ\nab"}"#), r#"{"key":"***"}"#);
    }

    #[test]
    fn the_end_of_a_line_stays_where_a_value_ends_with_it() {
        let redactor = redactor(&["s3cret-value\n"]);
        for end in ["", "\n", "\r\n", "\r"] {
            let mut line = protocol::LogLine { text: format!("s3cret-value{end}"), time: 0, is_stderr: false };
            redactor.redact_line(&mut line);
            assert_eq!(line.text, format!("***{end}"));
        }
    }

    #[test]
    fn short_values_do_not_destroy_the_log() {
        let redactor = redactor(&["a", "", "12345", "\n"]);
        assert!(matches!(redactor.redact("a line with 12345 in it"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_value_that_is_not_text_is_found_in_its_encodings() {
        let value = [0xff, 0x00, 0x80, 0x01, 0x02, 0x03, 0xfe];
        let redactor = Redactor::new([&value[..]]);
        assert_eq!(redactor.redact(&hex::encode(value)), "***");
        assert!(redactor.redact(&STANDARD.encode(value)).starts_with("***"));
    }

    #[test]
    fn characters_around_a_value_stay_whole() {
        let redactor = redactor(&["\u{e9}t\u{e9}2024"]);
        assert_eq!(redactor.redact("\u{fc}\u{e9}t\u{e9}2024\u{fc}"), "\u{fc}***\u{fc}");
    }
}
