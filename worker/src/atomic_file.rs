//! Files that are complete or absent, even after a crash.
//!
//! A file is first written under a name of its own, with the extension `new`, and then renamed. An unfinished file that a crash leaves
//! is overwritten by the next file of that name, or removed at the next start. A crate for temporary files would give it a random name,
//! which the next start could not tell from other files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Extension of an unfinished file.
const UNFINISHED: &str = "new";

/// Writes a file that is complete or absent after a crash of this process, and that only its owner can read.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (_, temporary) = write_beside(path, bytes)?;
    fs::rename(temporary, path)
}

/// Writes the unfinished file that will be renamed.
fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<(File, PathBuf)> {
    let temporary = path.with_extension(UNFINISHED);
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    Ok((file, temporary))
}

/// Removes unfinished files from a folder that no other process writes to.
pub(crate) fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == UNFINISHED) {
            // A file that cannot be removed is overwritten later, or removed at the next start.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a file that is complete or absent even after a crash of the machine.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (file, temporary) = write_beside(path, bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_are_removed_and_complete_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, half) = write_beside(&folder.path().join("half.json"), b"{").unwrap();
        drop(file);
        let whole = folder.path().join("whole.json");
        write_durably(&whole, b"{}").unwrap();
        remove_unfinished(folder.path());
        assert!(!half.exists() && whole.exists());
    }
}
