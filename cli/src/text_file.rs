//! Reads users' text files: with a byte order mark, in UTF-16 as some editors and shells write it, or with the line ends of
//! Windows.
//!
//! Bounds: the caller sets the largest size.

use std::io::Read;
use std::path::Path;

use crate::failure::Failure;
use crate::say;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a text file, or standard input for `-`, up to a maximum size. The result has no byte order mark, for every encoding.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let name = if path == Path::new("-") { "standard input".into() } else { say::name(&path.to_string_lossy()).into_owned() };
    let failed = |error: std::io::Error| Failure::BadInput(format!("cannot read {name}: {error}"));
    // One byte more than allowed, to detect a larger file. UTF-16 takes twice the bytes.
    let bound = 2 * bytes_max as u64 + 3;
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(bound).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(path).map_err(failed)?.take(bound).read_to_end(&mut bytes).map_err(failed)?;
    }
    let text =
        decode(&bytes).ok_or_else(|| Failure::BadInput(format!("{name} is neither UTF-8 nor UTF-16; save it as UTF-8")))?;
    if text.len() > bytes_max {
        return Err(Failure::BadInput(format!("{name} is larger than {} KiB", bytes_max / 1024)));
    }
    Ok(text)
}

/// Decodes UTF-8, or UTF-16 if a byte order mark or zero bytes show it.
pub(crate) fn decode(bytes: &[u8]) -> Option<String> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // Every text that is read here begins with an ASCII character.
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => utf16(bytes, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).ok().map(str::to_owned),
    }?;
    Some(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>().ok()?;
    rest.is_empty().then_some(text)
}

/// The text with the line ends that programs in containers expect.
pub(crate) fn with_unix_lines(text: String) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_encoding_gives_the_same_text() {
        let text = "{\"image\": \"ü\"}\r\n";
        let utf16 = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        let (little, big) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [b"\xff\xfe", &little[..]].concat(),
            [b"\xfe\xff", &big[..]].concat(),
            little,
            big,
        ] {
            assert_eq!(decode(&bytes).as_deref(), Some(text), "{bytes:?}");
        }
        assert_eq!(decode(b""), Some(String::new()));
        for broken in [&b"\xff\xfea"[..], b"caf\xe9", b"\xff\xfe\x00\xd8"] {
            assert_eq!(decode(broken), None, "{broken:?}");
        }
        assert_eq!(with_unix_lines("a\r\nb\rc\n".to_owned()), "a\nb\rc\n");
    }
}
