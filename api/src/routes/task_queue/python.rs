//! Python's behaviour that clients see: how it quotes a text, and which forms of a whole number it accepts.

/// A text as `repr` shows it.
pub(super) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) < 0x100 => out += &format!("\\x{:02x}", u32::from(c)),
            c if u32::from(c) < 0x1_0000 => out += &format!("\\u{:04x}", u32::from(c)),
            c => out += &format!("\\U{:08x}", u32::from(c)),
        }
    }
    out.push(quote);
    out
}

/// Both languages treat the same categories of characters as unprintable. A combining mark after a letter counts as printable.
fn is_printable(c: char) -> bool {
    format!("a{c}").escape_debug().nth(1) == Some(c)
}

/// A whole number in a path: `2`, `+2`, `007`, `1_0`, `2.0`, with blanks around it. Beyond 64 bits it becomes the largest or the
/// smallest number.
pub(super) fn whole_number(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let bound = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    is_number.then(|| text.replace('_', "").parse().unwrap_or(bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_python_quotes_them() {
        for (text, quoted) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("say \"it's\"", "'say \"it\\'s\"'"),
            ("\"", "'\"'"),
            ("a\\b\n\r\t\u{1}\u{7f}\u{a0}\u{ad}", "'a\\\\b\\n\\r\\t\\x01\\x7f\\xa0\\xad'"),
            ("é\u{301}😀", "'é\u{301}😀'"),
            ("\u{200b}\u{2028}\u{e0001}", "'\\u200b\\u2028\\U000e0001'"),
        ] {
            assert_eq!(repr(text), quoted);
        }
    }

    #[test]
    fn whole_numbers_have_many_spellings() {
        for (text, number) in [("+2", 2), ("007", 7), ("1_0", 10), ("1.0", 1), (" 2.0 ", 2), ("-0", 0), ("-1", -1)] {
            assert_eq!(whole_number(text), Some(number), "{text}");
        }
        assert_eq!(whole_number("9223372036854775807"), Some(i64::MAX));
        assert_eq!(whole_number("9223372036854775808"), Some(i64::MAX));
        for text in ["abc", "1.5", "1e3", "0x10", "true", "", "_1", "1__0", "1_", "+"] {
            assert_eq!(whole_number(text), None, "{text}");
        }
    }
}
