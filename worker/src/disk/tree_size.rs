//! How much room folders take on disk.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// A file counts as at least this many bytes, so that a flood of empty files counts too.
const ENTRY_BYTES: u64 = 1024;

/// Bytes that folders take on disk. Stops counting above the bound.
pub(crate) async fn size_of(folders: Vec<PathBuf>, bound: u64) -> u64 {
    let count = move || folders.iter().fold(0, |sum, folder| tree_bytes(folder, sum, bound));
    // Joining fails only when the runtime ends.
    tokio::task::spawn_blocking(count).await.unwrap_or(0)
}

fn tree_bytes(folder: &Path, mut sum: u64, bound: u64) -> u64 {
    let mut linked = HashSet::new();
    let entries = WalkDir::new(folder).min_depth(1).same_file_system(true);
    // A file that vanishes during the count takes no room.
    for entry in entries.into_iter().filter_map(Result::ok) {
        let Ok(about) = entry.metadata() else { continue };
        if about.nlink() > 1 && !about.is_dir() && !linked.insert((about.dev(), about.ino())) {
            continue;
        }
        sum = sum.saturating_add((about.blocks() * 512).max(ENTRY_BYTES));
        if sum > bound {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_counts_what_it_takes_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("full"), vec![1; 100_000]).unwrap();
        let full = tree_bytes(folder.path(), 0, u64::MAX);
        assert!((100_000..120_000).contains(&full), "{full}");
        std::fs::File::create(path("sparse")).unwrap().set_len(1 << 40).unwrap();
        std::fs::hard_link(path("full"), path("again")).unwrap();
        std::os::unix::fs::symlink("/", path("link")).unwrap();
        let more = tree_bytes(folder.path(), 0, u64::MAX);
        assert_eq!(more, full + 2 * ENTRY_BYTES, "one each for the sparse file and the link");
        assert!(tree_bytes(folder.path(), 0, 10) < full + ENTRY_BYTES);
    }
}
