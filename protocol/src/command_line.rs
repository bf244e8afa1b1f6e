//! The rules for a definition's command lines: which lines are a single argument, and which cannot be split into words.
//!
//! A line with an unquoted operator is one argument, for a shell. After an entrypoint of the definition (`sh -c`), a line with an unquoted
//! wildcard or comment is one argument too. Every other line is split by shell quoting. Nothing here runs a shell.

use crate::limits::{ARGUMENT_BYTES_MAX, ARGUMENTS_BYTES_MAX};

/// Why a command line is invalid. The sentences follow the name of the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCommandLine {
    /// It contains a NUL, which would end an argument.
    #[error("contains a NUL character, which an argument cannot contain")]
    Nul,
    /// A quote is not closed.
    #[error("cannot be split into words; check its quotes")]
    Quotes,
    /// It exceeds the kernel's limit for one argument or for all arguments.
    #[error(
        "is larger than a process can take: {ARGUMENT_BYTES_MAX} bytes for one argument, {ARGUMENTS_BYTES_MAX} for all; put it into a file"
    )]
    TooLarge,
}

/// Checks a line. Returns how many bytes of a process's limit for arguments the line uses.
pub fn check_command_line(text: &str, is_after_entrypoint: bool) -> Result<usize, InvalidCommandLine> {
    let text = text.trim();
    if text.contains('\0') {
        return Err(InvalidCommandLine::Nul);
    }
    if is_whole(text, is_after_entrypoint) {
        return if text.len() > ARGUMENT_BYTES_MAX { Err(InvalidCommandLine::TooLarge) } else { Ok(text.len() + POINTER_BYTES) };
    }
    let words = shell_words::split(text).map_err(|_| InvalidCommandLine::Quotes)?;
    let n_bytes = words.iter().map(|word| word.len() + POINTER_BYTES).sum();
    let is_large = words.iter().any(|word| word.len() > ARGUMENT_BYTES_MAX) || n_bytes > ARGUMENTS_BYTES_MAX;
    if is_large { Err(InvalidCommandLine::TooLarge) } else { Ok(n_bytes) }
}

/// Bytes of an argument besides its text: the NUL at its end and the pointer to it.
pub const POINTER_BYTES: usize = 9;

/// The quotes around a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// No quotes.
    None,
    /// Single quotes.
    Single,
    /// Double quotes.
    Double,
}

/// Tracks the quotes in a line.
#[derive(Clone, Copy, Debug)]
pub struct Scanner {
    quote: Quote,
    is_escaped: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the start of a line.
    pub const fn new() -> Self {
        Self { quote: Quote::None, is_escaped: false }
    }

    /// Takes the next character. Returns the quotes around it, or None when it is itself a quote or an escape, or is escaped.
    pub fn next(&mut self, c: char) -> Option<Quote> {
        if std::mem::take(&mut self.is_escaped) {
            return None;
        }
        let quote = self.quote;
        match (quote, c) {
            (Quote::None | Quote::Double, '\\') => self.is_escaped = true,
            (Quote::None, '\'') => self.quote = Quote::Single,
            (Quote::None, '"') => self.quote = Quote::Double,
            (Quote::Single, '\'') | (Quote::Double, '"') => self.quote = Quote::None,
            _ => return Some(quote),
        }
        None
    }
}

/// Whether the line is one argument: see the rules at the top of this file.
pub fn is_whole(text: &str, is_after_entrypoint: bool) -> bool {
    let mut scanner = Scanner::new();
    text.chars().any(|c| {
        let means = match c {
            '|' | '&' | ';' | '<' | '>' | '(' | ')' => true,
            '*' | '?' | '#' => is_after_entrypoint,
            _ => false,
        };
        scanner.next(c) == Some(Quote::None) && means
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_that_no_process_can_have_are_refused() {
        for (text, after, expected) in [
            ("echo 'a b' \"c\"", false, Ok(())),
            ("echo 'a", false, Err(InvalidCommandLine::Quotes)),
            ("echo \"a", false, Err(InvalidCommandLine::Quotes)),
            ("echo it's", false, Err(InvalidCommandLine::Quotes)),
            ("echo \\'", false, Ok(())),
            ("echo # it's a comment", false, Ok(())),
            ("echo a && echo it's", false, Ok(())),
            ("echo a # it's", true, Ok(())),
            ("a\0b", false, Err(InvalidCommandLine::Nul)),
            ("", false, Ok(())),
        ] {
            assert_eq!(check_command_line(text, after).map(|_| ()), expected, "{text}");
        }
        let long = "x".repeat(ARGUMENT_BYTES_MAX);
        assert!(check_command_line(&format!("echo {long}"), false).is_ok());
        assert_eq!(check_command_line(&format!("echo {long}x"), false), Err(InvalidCommandLine::TooLarge));
        assert_eq!(check_command_line(&format!("a;{long}"), false), Err(InvalidCommandLine::TooLarge));
        assert_eq!(check_command_line(&"a ".repeat(250_000), false), Err(InvalidCommandLine::TooLarge));
    }
}
