//! `data:` URLs (RFC 2397), which contain the file itself, percent-encoded or in base64.

use base64::Engine as _;
use percent_encoding::percent_decode_str;

use super::BASE64;

/// Why a `data:` URL cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidDataUrl {
    /// It has no comma, after which the data begin.
    #[error("its value is a data URL without a comma")]
    NoComma,
    /// It says that it is base64, but is not.
    #[error("its value is a data URL whose base64 cannot be decoded")]
    Base64,
}

/// The bytes of a `data:` URL. None for any other text. A fragment is not part of the data.
pub(super) fn bytes_of(text: &str) -> Option<Result<Vec<u8>, InvalidDataUrl>> {
    let is_data = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    is_data.then(|| decode(&text[5..]))
}

fn decode(text: &str) -> Result<Vec<u8>, InvalidDataUrl> {
    let (kind, data) = text.split_once(',').ok_or(InvalidDataUrl::NoComma)?;
    let data = data.split('#').next().unwrap_or_default();
    let bytes: Vec<u8> = percent_decode_str(data).collect();
    if !kind.trim_end().to_ascii_lowercase().ends_with(";base64") {
        return Ok(bytes);
    }
    let text = String::from_utf8(bytes).map_err(|_| InvalidDataUrl::Base64)?;
    BASE64.decode(protocol::standard_base64(&text)).map_err(|_| InvalidDataUrl::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_are_read_in_both_forms() {
        for (text, bytes) in [
            ("data:,hello%20you", b"hello you".as_slice()),
            ("DATA:text/plain;charset=utf-8,a,b#c", b"a,b"),
            ("data:;base64,aGk=", b"hi"),
            ("data:image/png;BASE64,_-8", &[0xff, 0xef]),
            ("data:text/plain;base64,aG%6B%3D", b"hi"),
            ("data:,", b""),
        ] {
            assert_eq!(bytes_of(text).unwrap().unwrap(), bytes, "{text}");
        }
        assert_eq!(bytes_of("data:nothing").unwrap(), Err(InvalidDataUrl::NoComma));
        assert_eq!(bytes_of("data:;base64,a").unwrap(), Err(InvalidDataUrl::Base64));
        assert!(bytes_of("https://host/data:,x").is_none() && bytes_of("").is_none());
    }
}
