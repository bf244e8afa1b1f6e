//! Tar files, plain or from a decompressor. Long names and extended headers are read here, with a bound. The files `._name`, in which
//! macOS packs attributes of other files, are left out.

use std::collections::HashSet;
use std::io::Read;

use tar::EntryType;

use super::{ArchiveEntry, ArchiveError, BYTES_MAX, ENTRIES_MAX, Kind, Meter, Metered, Visit, broken, target, visit_one};

/// Most bytes of an entry that only describes the next entry.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;

/// Position of the checksum in a header.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// First bytes of a file with attributes of macOS.
const APPLE_DOUBLE: [u8; 4] = [0, 5, 22, 7];

/// Whether bytes begin with a tar header, including headers of old tars without the word `ustar`.
pub(super) fn is_header(head: &[u8]) -> bool {
    let Some(header) = head.get(..512) else { return false };
    let sum = |(at, byte): (usize, &u8)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *byte });
    let expected: u32 = header.iter().enumerate().map(sum).sum();
    let written = std::str::from_utf8(&header[CHECKSUM]).unwrap_or_default();
    let written = u32::from_str_radix(written.trim_matches(['\0', ' ']), 8);
    header[0] != 0 && (written == Ok(expected) || header.get(257..262) == Some(b"ustar"))
}

/// Visits every entry.
pub(super) fn each(reader: impl Read, meter: &mut Meter, visit: Visit<'_>) -> Result<(), ArchiveError> {
    // The bytes between files are bounded too, because a header may give any size.
    let limited = reader.take(BYTES_MAX + (ENTRIES_MAX as u64) * 4096);
    let mut tar = tar::Archive::new(limited);
    let mut long = Long::default();
    let mut files = HashSet::new();
    // The entries are read raw, because the crate would otherwise read a name of any length into memory.
    for packed in tar.entries().map_err(broken)?.raw(true) {
        let mut packed = packed.map_err(broken)?;
        if long.takes(&mut packed, meter)? {
            continue;
        }
        let long = std::mem::take(&mut long);
        let raw = long.path.unwrap_or_else(|| packed.path_bytes().into_owned());
        let Some(path) = meter.name(&raw)? else { continue };
        if long.size.is_some_and(|size| size != packed.header().entry_size().unwrap_or(0)) {
            return Err(ArchiveError::Kind(path, "file of two sizes"));
        }
        let link = long.link.or_else(|| packed.link_name_bytes().map(std::borrow::Cow::into_owned));
        let entry = tar_entry(path, packed.header(), link.as_deref(), &files)?;
        let head = if is_beside_another(&entry) { first_bytes(&mut packed)? } else { Vec::new() };
        if head == APPLE_DOUBLE {
            std::io::copy(&mut Metered::new(&mut packed, meter), &mut std::io::sink()).map_err(broken)?;
            continue;
        }
        if matches!(entry.kind, Kind::File { .. }) {
            files.insert(entry.path.clone());
        }
        visit_one(&entry, &mut head.as_slice().chain(&mut packed), meter, visit)?;
    }
    Ok(())
}

fn is_beside_another(entry: &ArchiveEntry) -> bool {
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    name.starts_with("._") && matches!(entry.kind, Kind::File { .. })
}

fn first_bytes(packed: &mut impl Read) -> Result<Vec<u8>, ArchiveError> {
    let mut head = Vec::new();
    packed.take(APPLE_DOUBLE.len() as u64).read_to_end(&mut head).map_err(broken)?;
    Ok(head)
}

/// What special entries say about the next entry.
#[derive(Default)]
struct Long {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Long {
    /// Reads an entry that only describes the next entry or the archive. Returns whether it was one.
    fn takes(&mut self, packed: &mut tar::Entry<'_, impl Read>, meter: &mut Meter) -> Result<bool, ArchiveError> {
        let kind = packed.header().entry_type();
        if !matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader) {
            return Ok(false);
        }
        meter.count()?;
        let mut text = Vec::new();
        Metered::new(packed, meter).take(EXTENSION_BYTES_MAX + 1).read_to_end(&mut text).map_err(broken)?;
        if text.len() as u64 > EXTENSION_BYTES_MAX {
            return Err(ArchiveError::TooLarge("a name or an extended header of its tar has more than 64 KiB"));
        }
        let until_nul = || text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        match kind {
            EntryType::GNULongName => self.path = until_nul(),
            EntryType::GNULongLink => self.link = until_nul(),
            EntryType::XHeader => self.read_extensions(&text)?,
            _ => (),
        }
        Ok(true)
    }

    fn read_extensions(&mut self, text: &[u8]) -> Result<(), ArchiveError> {
        for extension in tar::PaxExtensions::new(text) {
            let extension = extension.map_err(broken)?;
            match extension.key_bytes() {
                b"path" => self.path = Some(extension.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(extension.value_bytes().to_vec()),
                b"size" => self.size = extension.value().ok().and_then(|size| size.parse().ok()),
                _ => (),
            }
        }
        Ok(())
    }
}

fn tar_entry(
    path: String,
    header: &tar::Header,
    link: Option<&[u8]>,
    files: &HashSet<String>,
) -> Result<ArchiveEntry, ArchiveError> {
    let kind = match header.entry_type() {
        // Very old archives mark a folder only by a `/` at the end of its name.
        EntryType::Regular | EntryType::Continuous if header.path_bytes().ends_with(b"/") => Kind::Folder,
        EntryType::Regular | EntryType::Continuous => Kind::File { size: header.entry_size().map_err(broken)? },
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::Link(target(&path, link)?),
        EntryType::Link => {
            let written = target(&path, link)?;
            let plain = written.trim_start_matches("./");
            if !files.contains(plain) {
                return Err(ArchiveError::Kind(path, "hard link to a file that does not come before it"));
            }
            Kind::HardLink(plain.to_owned())
        }
        EntryType::Char | EntryType::Block => return Err(ArchiveError::Kind(path, "device")),
        EntryType::Fifo => return Err(ArchiveError::Kind(path, "pipe")),
        EntryType::GNUSparse => return Err(ArchiveError::Kind(path, "sparse file")),
        _ => return Err(ArchiveError::Kind(path, "special entry")),
    };
    Ok(ArchiveEntry { path, kind, mode: header.mode().unwrap_or(0o644) & 0o777, mtime: header.mtime().unwrap_or(0) })
}
