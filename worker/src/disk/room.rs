//! How much room a file system has.
//!
//! There is one reserve, `--disk-reserve`: the worker claims no jobs while less than this is free. A running job must be stopped when a
//! file system is nearly full, which does not depend on the reserve. No crate formats the sizes, because each function needs only two
//! lines.

use std::io;
use std::path::Path;

/// A file system with less free space than this, and less than a twentieth of its size, is nearly full.
const SCARCE: u64 = 1024 * 1024 * 1024;

/// Room of one file system for a user who is not root: space that is reserved for root counts neither as used nor as free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Used and free bytes together.
    pub(super) total: u64,
    /// Free bytes.
    pub(crate) free: u64,
}

impl Room {
    /// Asks the system about the file system of a path.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let used = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize);
        Ok(Self { total: used + free, free })
    }

    /// The scarcest of the file systems of these paths.
    pub(crate) fn scarcest<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Option<Self> {
        let rooms = paths.into_iter().filter_map(|path| Self::at(path).ok());
        rooms.min_by_key(|room| room.free.saturating_sub(room.scarce_below()))
    }

    /// Free bytes below which the file system is nearly full.
    pub(super) fn scarce_below(&self) -> u64 {
        SCARCE.min(self.total / 20)
    }

    /// Whether the file system is nearly full.
    pub(super) fn is_scarce(&self) -> bool {
        self.free < self.scarce_below()
    }
}

/// A size such as `0.4 GiB`, in MiB when it is below 0.1 GiB.
pub(super) fn gibibytes(bytes: u64) -> String {
    let gib = bytes as f64 / 1024.0 / 1024.0 / 1024.0;
    if gib >= 0.1 || bytes == 0 { format!("{gib:.1} GiB") } else { format!("{:.1} MiB", gib * 1024.0) }
}

/// Mebibytes with one decimal.
pub(crate) fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_df_says() {
        let room = Room::at(Path::new("/")).unwrap();
        assert!(room.free < room.total);
        assert_eq!(gibibytes(429_496_730), "0.4 GiB");
        assert_eq!(gibibytes(8 << 20), "8.0 MiB");
        assert!(Room::at(Path::new("/nowhere/at/all")).is_err());
    }
}
