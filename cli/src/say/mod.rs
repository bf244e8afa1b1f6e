//! The two outputs of the program: results on stdout, everything else on stderr.
//!
//! Nothing else in the program prints. Text for a terminal is made harmless first ([`terminal`]), because strangers wrote much of
//! it. Text for a file or a pipe, or with `--raw`, stays unchanged. A reader that closed its end (`asman … | head`) is not an
//! error, so write errors are ignored.

mod terminal;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use terminal::{Kind, LogLines, harmless};

/// Whether `--raw` is given.
static IS_RAW: AtomicBool = AtomicBool::new(false);

/// Prints everything unchanged, even to a terminal.
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

/// A path of the result: unchanged for a script, without invisible characters for a person.
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

/// A line about the progress.
pub(crate) fn note(line: &str) {
    write(&mut std::io::stderr().lock(), line);
}

/// A name that a stranger chose, for a sentence.
pub(crate) fn name(name: &str) -> Cow<'_, str> {
    harmless(name, Kind::Name)
}

/// The target of the program's log.
pub(crate) fn log() -> impl Write {
    LogLines::new(std::io::stderr())
}
