//! The name under which a reader wants a file, and the content type that follows from it.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::encoding;

/// Longest name that is sent along, in bytes.
const BYTES_MAX: usize = 255;

/// A file's name, without folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName(String);

impl FileName {
    /// Replaces control characters and slashes with `_`, and cuts the name to `BYTES_MAX`.
    pub(crate) fn new(name: &str) -> Self {
        let mut plain: String = name.chars().map(|c| if c.is_control() || matches!(c, '/' | '\\') { '_' } else { c }).collect();
        while plain.len() > BYTES_MAX {
            plain.pop();
        }
        Self(plain)
    }

    /// The content type that the name suggests, or `application/octet-stream` if it suggests none.
    pub(crate) fn content_type(&self) -> String {
        mime_guess::from_path(&self.0).first_or_octet_stream().to_string()
    }

    /// The header that makes a browser save the file instead of showing it. Names beyond ASCII are encoded as in RFC 6266.
    pub(crate) fn disposition(&self) -> String {
        let is_plain = |c: char| (' '..='~').contains(&c) && c != '"';
        let ascii: String = self.0.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        if ascii == self.0 {
            return format!("attachment; filename=\"{ascii}\"");
        }
        format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", encoding::segment(&self.0))
    }

    /// Adds the content type and the disposition to an answer.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        let pairs = [(header::CONTENT_TYPE, self.content_type()), (header::CONTENT_DISPOSITION, self.disposition())];
        for (name, text) in pairs {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_a_type_and_a_header_that_holds_it() {
        for (name, kind, disposition) in [
            ("plot.png", "image/png", "attachment; filename=\"plot.png\""),
            ("a.txt", "text/plain", "attachment; filename=\"a.txt\""),
            ("data", "application/octet-stream", "attachment; filename=\"data\""),
            ("ü \".csv", "text/csv", "attachment; filename=\"_ _.csv\"; filename*=UTF-8''%C3%BC%20%22.csv"),
            ("a\r\nb/c", "application/octet-stream", "attachment; filename=\"a__b_c\""),
        ] {
            let name = FileName::new(name);
            assert_eq!((name.content_type().as_str(), name.disposition().as_str()), (kind, disposition));
            let mut headers = HeaderMap::new();
            name.describe(&mut headers);
            assert_eq!(headers.len(), 2);
        }
        assert_eq!(FileName::new(&"é".repeat(300)).0.len(), 254);
    }
}
