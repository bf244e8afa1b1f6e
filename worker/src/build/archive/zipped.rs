//! Zip files. The directory is read at once, so its size is judged before.
//!
//! As people have them: macOS adds a folder of attributes, which is left out; some programs on Windows write `\` between folders, in
//! names of the machine's own code page, and keep no modes. There every file can be executed, as Docker has it on Windows.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use zip::read::ZipFile;
use zip::{HasZipMetadata, ZipArchive};

use super::{ArchiveError, Entry, Kind, LINK_BYTES_MAX, Meter, Metered, NAMES_BYTES_MAX, Visit, broken, target, visit_one};

/// The directory of a zip file is read at once, and costs several times its size.
const ZIP_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The end record of a zip file is followed by a comment of this size at most.
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

/// Reads what nobody wants, since it counts.
fn visit_nothing(bytes: &mut dyn Read, meter: &mut Meter) -> Result<(), ArchiveError> {
    io::copy(&mut Metered::new(bytes, meter), &mut io::sink()).map(|_| ()).map_err(broken)
}

/// As it is kept; else one that lets everything be read and run.
fn mode_of<R: Read>(packed: &ZipFile<'_, R>) -> u32 {
    let kept = packed.get_metadata().external_attributes >> 16;
    match packed.unix_mode() {
        Some(mode) if kept & 0o777 != 0 => mode,
        _ => kept & 0o170_000 | 0o755,
    }
}

fn zip_entry<R: Read>(path: String, packed: &mut ZipFile<'_, R>) -> Result<Entry, ArchiveError> {
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
    Ok(Entry { path, kind, mode: mode & 0o777, mtime: 0 })
}

/// Refuses a zip file whose directory is too large to be read at once.
fn check_zip_directory(file: &mut File, size: u64) -> Result<(), ArchiveError> {
    if size > ZIP_BYTES_MAX {
        return Err(ArchiveError::TooLarge("a zip file may have 512 MiB; larger contexts come as .tar.gz"));
    }
    let from = size.saturating_sub(ZIP_COMMENT_MAX + 22);
    file.seek(SeekFrom::Start(from)).map_err(ArchiveError::Disk)?;
    let mut tail = Vec::new();
    file.by_ref().take(ZIP_COMMENT_MAX + 22).read_to_end(&mut tail).map_err(ArchiveError::Disk)?;
    file.rewind().map_err(ArchiveError::Disk)?;
    let cut_off = || ArchiveError::Broken("it has no end record".to_owned());
    let at = tail.windows(4).rposition(|window| window == b"PK\x05\x06").ok_or_else(cut_off)?;
    let record = tail.get(at..at + 22).ok_or_else(cut_off)?;
    let n_entries = u16::from_le_bytes([record[10], record[11]]);
    let [a, b, c, d] = [record[12], record[13], record[14], record[15]];
    let n_bytes = u32::from_le_bytes([a, b, c, d]);
    if n_entries == u16::MAX || n_bytes == u32::MAX {
        return Err(ArchiveError::TooLarge("zip files of more than 65534 entries come as .tar.gz"));
    }
    if n_bytes as usize > NAMES_BYTES_MAX * 2 {
        return Err(ArchiveError::TooLarge("its directory has more than 32 MiB"));
    }
    Ok(())
}
