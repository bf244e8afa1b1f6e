//! The two voices of the program: results on stdout, everything else on stderr.
//!
//! A reader that closed its end (`asman … | head`) is no failure, so errors of writing are dropped.

use std::io::Write;

use serde::Serialize;

/// A line of the result.
pub(crate) fn result(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// The result as JSON on one line, for scripts.
pub(crate) fn json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        result(&text);
    }
}

/// A line about what is going on.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
