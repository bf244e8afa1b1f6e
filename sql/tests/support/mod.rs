//! What tests of all statements share.

use include_dir::{Dir, DirEntry, include_dir};

static QUERIES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/queries");

/// Path below `queries/` and text of every statement.
pub(crate) fn statements() -> Vec<(String, &'static str)> {
    statements_of(&QUERIES)
}

fn statements_of(dir: &Dir<'static>) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(inner) => all.extend(statements_of(inner)),
            DirEntry::File(file) => all.push((file.path().display().to_string(), file.contents_utf8().unwrap())),
        }
    }
    all
}
