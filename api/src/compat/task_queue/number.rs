//! Forms of a whole number that clients of the task-queue API send, because Python accepts them.

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
