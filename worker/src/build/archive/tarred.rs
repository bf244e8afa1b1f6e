//! Tar files, plain ones or out of a decompressor. Long names and extended headers are read here, with a bound.

use std::io::Read;

use tar::EntryType;

use super::{ArchiveError, BYTES_MAX, ENTRIES_MAX, Entry, Kind, Meter, Metered, Visit, broken, target, visit_one};

/// Most bytes of an entry that tells of the next one.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;

/// Visits every entry.
pub(super) fn each(reader: impl Read, meter: &mut Meter, visit: Visit<'_>) -> Result<(), ArchiveError> {
    // What lies between the files is bounded too: a header may claim any size.
    let limited = reader.take(BYTES_MAX + (ENTRIES_MAX as u64) * 4096);
    let mut tar = tar::Archive::new(limited);
    let mut long = Long::default();
    // Raw, because the reader would take a long name of any length into memory.
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
        let entry = tar_entry(path, packed.header(), link.as_deref())?;
        visit_one(&entry, &mut packed, meter, visit)?;
    }
    Ok(())
}

/// What entries of their own say of the entry after them.
#[derive(Default)]
struct Long {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Long {
    /// Whether an entry only tells of the next one, or of the archive.
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

fn tar_entry(path: String, header: &tar::Header, link: Option<&[u8]>) -> Result<Entry, ArchiveError> {
    let kind = match header.entry_type() {
        // Very old archives mark a folder by its name alone.
        EntryType::Regular | EntryType::Continuous if header.path_bytes().ends_with(b"/") => Kind::Folder,
        EntryType::Regular | EntryType::Continuous => Kind::File { size: header.entry_size().map_err(broken)? },
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::Link(target(&path, link)?),
        EntryType::Link => return Err(ArchiveError::Kind(path, "hard link")),
        EntryType::Char | EntryType::Block => return Err(ArchiveError::Kind(path, "device")),
        EntryType::Fifo => return Err(ArchiveError::Kind(path, "pipe")),
        EntryType::GNUSparse => return Err(ArchiveError::Kind(path, "sparse file")),
        _ => return Err(ArchiveError::Kind(path, "special entry")),
    };
    Ok(Entry { path, kind, mode: header.mode().unwrap_or(0o644) & 0o777, mtime: header.mtime().unwrap_or(0) })
}
