//! Files that are whole or absent, whenever the process ends.
//!
//! A file is written beside its place, under the extension `new`, and then takes the place. What a crash leaves of that is
//! overwritten by the next file of the name, or removed at a start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Extension of a file that has not taken its place.
const UNFINISHED: &str = "new";

/// Writes a file that is whole or absent after a crash of this process, readable by its owner alone.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (_, temporary) = write_beside(path, bytes)?;
    fs::rename(temporary, path)
}

/// The file that is to take the place of another, still under a name of its own.
fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<(File, PathBuf)> {
    let temporary = path.with_extension(UNFINISHED);
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    Ok((file, temporary))
}

/// Removes what a crash kept from taking its place in a folder that nobody else writes to.
pub(crate) fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == UNFINISHED) {
            // What stays is overwritten or tried at the next start.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes one that is whole or absent after a crash of the machine too.
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
    fn what_a_crash_left_half_written_goes_and_what_is_whole_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, half) = write_beside(&folder.path().join("half.json"), b"{").unwrap();
        drop(file);
        let whole = folder.path().join("whole.json");
        write_durably(&whole, b"{}").unwrap();
        remove_unfinished(folder.path());
        assert!(!half.exists() && whole.exists());
    }
}
