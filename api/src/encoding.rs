//! Percent-encoding: which characters of a text stay as they are in which part of an address.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// A segment of a path, or a value in a query: the unreserved characters stay (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Several segments: slashes stay too.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');
/// A whole address, which may be encoded already: only what a header must not contain is encoded.
const ADDRESS: &AsciiSet = &CONTROLS.add(b' ');

/// A text as one segment of a path, or as a value in a query.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A relative path whose slashes separate segments.
pub(crate) fn path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// A whole address as a header may contain it.
pub(crate) fn address(text: &str) -> String {
    utf8_percent_encode(text, ADDRESS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_an_address_keeps_its_own_characters() {
        let text = "a-._~/b c?ü%\n";
        assert_eq!(segment(text), "a-._~%2Fb%20c%3F%C3%BC%25%0A");
        assert_eq!(path(text), "a-._~/b%20c%3F%C3%BC%25%0A");
        assert_eq!(address(text), "a-._~/b%20c?%C3%BC%%0A");
    }
}
