//! Zip files. The crate reads the whole directory at once, so this module checks its size first.
//!
//! Zip files of macOS have a folder with attributes, which is left out. Some programs on Windows write `\` between folders, use a code page
//! of the machine for names, and store no modes. Every file without a stored mode becomes executable, as with Docker on Windows.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use zip::read::ZipFile;
use zip::{HasZipMetadata, ZipArchive};

use super::{
    ArchiveEntry, ArchiveError, Kind, LINK_BYTES_MAX, Meter, Metered, NAMES_BYTES_MAX, Visit, broken, target, visit_one,
};

/// Most bytes of a zip file. The bound is needed because the directory in it is read at once and takes more memory than its size.
const ZIP_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Most bytes of the comment after the end record of a zip file.
const ZIP_COMMENT_MAX: u64 = 65_535;

/// Folder of attributes that macOS adds.
const MACOS_FOLDER: &str = "__MACOSX";

/// Visits every entry.
pub(super) fn each(mut file: File, size: u64, meter: &mut Meter, visit: Visit<'_>) -> Result<(), ArchiveError> {
    check_zip_directory(&mut file, size)?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    for index in 0..zip.len() {
        let mut packed = zip.by_index(index).map_err(broken)?;
        let Some(path) = meter.name(name_of(&packed).as_bytes())? else { continue };
        if path.split('/').next() == Some(MACOS_FOLDER) {
            visit_nothing(&mut packed, meter)?;
            continue;
        }
        let entry = zip_entry(path, &mut packed)?;
        visit_one(&entry, &mut packed, meter, visit)?;
    }
    Ok(())
}

/// The name in UTF-8, with `/` between its segments.
fn name_of<R: Read>(packed: &ZipFile<'_, R>) -> String {
    std::str::from_utf8(packed.name_raw()).unwrap_or_else(|_| packed.name()).replace('\\', "/")
}

/// Reads the bytes of an entry that is left out, because they count for the bounds.
fn visit_nothing(bytes: &mut dyn Read, meter: &mut Meter) -> Result<(), ArchiveError> {
    io::copy(&mut Metered::new(bytes, meter), &mut io::sink()).map(|_| ()).map_err(broken)
}

/// The stored mode, else one that lets every user read and execute the file.
fn mode_of<R: Read>(packed: &ZipFile<'_, R>) -> u32 {
    let kept = packed.get_metadata().external_attributes >> 16;
    match packed.unix_mode() {
        Some(mode) if kept & 0o777 != 0 => mode,
        _ => kept & 0o170_000 | 0o755,
    }
}

fn zip_entry<R: Read>(path: String, packed: &mut ZipFile<'_, R>) -> Result<ArchiveEntry, ArchiveError> {
    let mode = mode_of(packed);
    let kind = match mode & 0o170_000 {
        0o120_000 => {
            let mut written = Vec::new();
            packed.by_ref().take(LINK_BYTES_MAX + 1).read_to_end(&mut written).map_err(broken)?;
            Kind::Link(target(&path, Some(&written))?)
        }
        _ if packed.is_dir() => Kind::Folder,
        0 | 0o100_000 => Kind::File { size: packed.size() },
        _ => return Err(ArchiveError::Kind(path, "special file")),
    };
    Ok(ArchiveEntry { path, kind, mode: mode & 0o777, mtime: 0 })
}

/// Refuses a zip file with a directory that is too large to be read at once.
fn check_zip_directory(file: &mut File, size: u64) -> Result<(), ArchiveError> {
    if size > ZIP_BYTES_MAX {
        return Err(ArchiveError::TooLarge("a zip file may have at most 512 MiB; pack a larger context as .tar.gz"));
    }
    let from = size.saturating_sub(ZIP_COMMENT_MAX + 22);
    file.seek(SeekFrom::Start(from)).map_err(ArchiveError::Disk)?;
    let mut tail = Vec::new();
    file.by_ref().take(ZIP_COMMENT_MAX + 22).read_to_end(&mut tail).map_err(ArchiveError::Disk)?;
    file.rewind().map_err(ArchiveError::Disk)?;
    let cut_off = || ArchiveError::Broken("it has no end record, so it may be incomplete".to_owned());
    let at = tail.windows(4).rposition(|window| window == b"PK\x05\x06").ok_or_else(cut_off)?;
    let record = tail.get(at..at + 22).ok_or_else(cut_off)?;
    let n_entries = u16::from_le_bytes([record[10], record[11]]);
    let [a, b, c, d] = [record[12], record[13], record[14], record[15]];
    let n_bytes = u32::from_le_bytes([a, b, c, d]);
    if n_entries == u16::MAX || n_bytes == u32::MAX {
        return Err(ArchiveError::TooLarge("a zip file may have at most 65534 entries; pack a larger context as .tar.gz"));
    }
    if n_bytes as usize > NAMES_BYTES_MAX * 2 {
        return Err(ArchiveError::TooLarge("its directory has more than 32 MiB"));
    }
    Ok(())
}
