//! The two voices of the program: results on stdout, everything else on stderr.
//!
//! Nothing else in the program prints. What goes to a terminal is made harmless first ([`terminal`]), because much of it was written
//! by strangers; what goes to a file or a pipe, or anywhere with `--raw`, stays as it is.
//! A reader that closed its end (`asman … | head`) is no failure, so errors of writing are dropped.

mod terminal;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use terminal::{Kind, LogLines, harmless};

/// `--raw`.
static IS_RAW: AtomicBool = AtomicBool::new(false);

/// Lets everything through, even to a terminal.
pub(crate) fn be_raw() {
    IS_RAW.store(true, Ordering::Relaxed);
}

fn is_for_a_person(stream: &impl IsTerminal) -> bool {
    !IS_RAW.load(Ordering::Relaxed) && stream.is_terminal()
}

fn write(stream: &mut (impl IsTerminal + Write), line: &str) {
    let line = if is_for_a_person(stream) { harmless(line, Kind::Lines) } else { Cow::Borrowed(line) };
    let _ = writeln!(stream, "{line}");
}

/// A line of the result.
pub(crate) fn result(line: &str) {
    write(&mut std::io::stdout().lock(), line);
}

/// A path of the result: for a script as it is, for a person without what is not shown in its place.
pub(crate) fn path(path: &Path) {
    let mut stdout = std::io::stdout().lock();
    let _ = if is_for_a_person(&stdout) {
        writeln!(stdout, "{}", name(&path.to_string_lossy()))
    } else {
        stdout.write_all(path.as_os_str().as_bytes()).and_then(|()| writeln!(stdout))
    };
}

/// The result as JSON on one line, for scripts.
pub(crate) fn json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        result(&text);
    }
}

/// A line about what is going on.
pub(crate) fn note(line: &str) {
    write(&mut std::io::stderr().lock(), line);
}

/// A name that a stranger chose, for a sentence.
pub(crate) fn name(name: &str) -> Cow<'_, str> {
    harmless(name, Kind::Name)
}

/// Where the program's log goes.
pub(crate) fn log() -> impl Write {
    LogLines::new(std::io::stderr())
}
