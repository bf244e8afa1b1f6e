//! How much room a disk has.

use std::io;
use std::path::Path;

/// Of one file system, as it is to somebody who is not root: what is set aside for root counts as used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// What is in use and what is left.
    pub(super) total: u64,
    /// What is left.
    pub(super) free: u64,
}

impl Room {
    /// Asks the system about the disk that a path is on.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let used = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize);
        Ok(Self { total: used + free, free })
    }
}

/// `0.4 GiB`.
pub(super) fn gibibytes(bytes: u64) -> String {
    let gib = bytes as f64 / 1024.0 / 1024.0 / 1024.0;
    if gib >= 0.1 || bytes == 0 { format!("{gib:.1} GiB") } else { format!("{:.1} MiB", gib * 1024.0) }
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
