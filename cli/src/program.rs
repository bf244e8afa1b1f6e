//! The command that runs this program, so that users can copy printed hints.

use std::path::{Path, PathBuf};

/// The script `x` of a checkout sets this to its own command, such as `./x`.
const SCRIPT: &str = "ASMAN_X";

/// The program: its name if the shell finds it, else its path.
pub(crate) fn how_to_call() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("asman").is_file()) {
        return "asman".to_owned();
    }
    let linked = script().map(|script| script.with_file_name(".bin").join("asman"));
    let called = linked.map(|path| path.display().to_string()).or_else(|| std::env::args().next());
    called.map_or_else(|| "asman".to_owned(), |called| shell_words::quote(&called).into_owned())
}

/// The command that stops the stack of a data directory.
pub(crate) fn how_to_stop(root: &Path) -> String {
    let program = script().map_or_else(how_to_call, |script| shell_words::quote(&script.display().to_string()).into_owned());
    if crate::data::is_default(root) {
        return format!("{program} down");
    }
    format!("{program} down --data-directory {}", shell_words::quote(&root.display().to_string()))
}

fn script() -> Option<PathBuf> {
    std::env::var_os(SCRIPT).filter(|script| !script.is_empty()).map(PathBuf::from)
}
