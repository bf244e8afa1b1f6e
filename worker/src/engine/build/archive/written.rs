//! Writes entries into another tar.

use std::io::{self, Read, Write};

use super::{ArchiveEntry, Kind};

/// A header without its name and its checksum.
pub(in crate::engine::build) fn header_of(mode: u32, mtime: u64, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_mtime(mtime);
    header.set_size(size);
    header
}

/// Writes an entry under another name. `prefix` is removed from the targets of hard links.
pub(in crate::engine::build) fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    prefix: &str,
    entry: &ArchiveEntry,
    bytes: &mut dyn Read,
) -> io::Result<()> {
    match &entry.kind {
        Kind::File { size } => {
            let mut header = header_of(entry.mode, entry.mtime, *size);
            // Write exactly as many bytes as the header says, because other sizes would shift the entries that follow.
            let mut counted = Exact { inner: bytes, left: *size };
            tar.append_data(&mut header, name, &mut counted)?;
            if counted.left == 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        Kind::Folder => {
            let mut header = header_of(entry.mode, entry.mtime, 0);
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, name, io::empty())
        }
        Kind::Link(target) => {
            let mut header = header_of(0o777, entry.mtime, 0);
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, name, target)
        }
        Kind::HardLink(target) => {
            let mut header = header_of(entry.mode, entry.mtime, 0);
            header.set_entry_type(tar::EntryType::Link);
            tar.append_link(&mut header, name, target.strip_prefix(prefix).unwrap_or(target))
        }
    }
}

/// Reads at most `left` bytes, and counts `left` down.
struct Exact<'a> {
    inner: &'a mut dyn Read,
    left: u64,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut buffer[..most])?;
        self.left -= n as u64;
        Ok(n)
    }
}
