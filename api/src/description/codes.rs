//! The error codes for the documentation, generated from the table in `protocol`.

use std::fmt::Write as _;

use protocol::ErrorCode;
use serde_json::{Value, json};

/// The schema of a code: every code and its meaning.
pub(super) fn schema() -> Value {
    let words: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let mut description = "Why a request was refused. Further codes may come.".to_owned();
    for code in ErrorCode::ALL {
        let _ = write!(description, "\n\n`{code}` ({}): {}", code.status(), code.meaning());
    }
    json!({"type": "string", "enum": words, "description": description})
}

/// Every code and its meaning, as a table in Markdown.
pub(super) fn table() -> String {
    let mut table = "| status | code | meaning |\n|---|---|---|\n".to_owned();
    for code in ErrorCode::ALL {
        let _ = writeln!(table, "| {} | `{code}` | {} |", code.status(), code.meaning());
    }
    table
}
