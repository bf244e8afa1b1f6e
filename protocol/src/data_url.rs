//! Bytes that a text contains: base64 as people write it, and `data:` URLs (RFC 2397), which contain the file itself.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;

/// Reads base64 with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// The bytes of a base64 text in either alphabet, with and without padding and white space. None for any other text.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let standard = |letter| match letter {
        '-' => '+',
        '_' => '/',
        letter => letter,
    };
    let compact: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).map(standard).collect();
    BASE64.decode(compact).ok()
}

/// Why a `data:` URL cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDataUrl {
    /// It has no comma, after which the data begin.
    #[error("its value is a data URL without a comma")]
    NoComma,
    /// It says that its data are base64, but they are not.
    #[error("its value is a data URL whose base64 cannot be decoded")]
    Base64,
}

/// The bytes of a `data:` URL. None for any other text. A fragment is not part of the data.
pub fn data_url_bytes(text: &str) -> Option<Result<Vec<u8>, InvalidDataUrl>> {
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
    decode_base64(&text).ok_or(InvalidDataUrl::Base64)
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
            assert_eq!(data_url_bytes(text).unwrap().unwrap(), bytes, "{text}");
        }
        assert_eq!(data_url_bytes("data:nothing").unwrap(), Err(InvalidDataUrl::NoComma));
        assert_eq!(data_url_bytes("data:;base64,a").unwrap(), Err(InvalidDataUrl::Base64));
        assert!(data_url_bytes("https://host/data:,x").is_none() && data_url_bytes("").is_none());
    }
}
