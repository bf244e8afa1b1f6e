//! Archives of strangers. They are read entry by entry and never unpacked.
//!
//! The first bytes of an archive, not its name, decide its format. [`Archive::each`] is the only way to read it. It gives entries with
//! relative names of plain segments, and refuses everything else: absolute names, drives, `..`, NUL, devices, encrypted files, and hard
//! links to a file that does not come before them. Bounds: [`ENTRIES_MAX`] entries, [`NAMES_BYTES_MAX`] of names, [`BYTES_MAX`] unpacked,
//! and a ratio of [`RATIO_MAX`] above [`RATIO_FREE_BYTES`]. The bytes are counted as they are read; sizes in headers are not trusted.
//!
//! The calls block their thread.

mod tarred;
mod written;
mod zipped;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use protocol::check_input_path;
pub(super) use written::{append, header_of};

/// Most entries.
pub(super) const ENTRIES_MAX: usize = 100_000;
const NAMES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of all files together.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// An archive may unpack to at most this many times its size.
const RATIO_MAX: u64 = 200;
/// The ratio counts only above this size.
const RATIO_FREE_BYTES: u64 = 64 * 1024 * 1024;
const LINK_BYTES_MAX: u64 = 4096;

/// Why an archive is refused. The sentences are for the job's author.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// Its first bytes are not those of an archive.
    #[error("the context is neither a tar (plain or gzip) nor a zip archive")]
    Unknown,
    /// It is an archive of a format that is not supported.
    #[error("the context is a {0} archive, which this worker does not read; pack it as .tar.gz, .tar or .zip")]
    Unread(&'static str),
    /// A name is not UTF-8.
    #[error(
        "the context's archive has an entry named {0:?}, which is not UTF-8; rename it, or pack the archive with UTF-8 names"
    )]
    NotUtf8(String),
    /// It is incomplete or damaged.
    #[error("the context's archive cannot be read: {0}")]
    Broken(String),
    /// A name leads out of the context.
    #[error("the context's archive has an entry named {0:?}, which is not a relative path of plain segments; rename it")]
    Name(String),
    /// The same name is there twice, or a file is where a folder must be.
    #[error("the context's archive has {0:?} twice, or a file with the name of its folder; pack the archive again")]
    Duplicate(String),
    /// An entry is not a file, a folder or a symbolic link.
    #[error("the context's archive has {0:?}, which is a {1}; remove it, since only files, folders and links are supported")]
    Kind(String, &'static str),
    /// It exceeds one of the bounds.
    #[error("the context is too large: {0}")]
    TooLarge(&'static str),
    /// Reading from disk failed.
    #[error("cannot read the context from disk: {0}")]
    Disk(io::Error),
    /// The visitor stopped the reading.
    #[error("stopped")]
    Stopped,
}

/// Format of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Tar,
    TarGz,
    Zip,
}

/// An archive on disk.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    path: PathBuf,
    format: Format,
    size: u64,
}

/// Kind of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File {
        size: u64,
    },
    Folder,
    /// A symbolic link with its target as written.
    Link(String),
    /// Another name of an earlier file.
    HardLink(String),
}

/// One entry with a checked name.
#[derive(Clone, Debug)]
pub(super) struct ArchiveEntry {
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) mtime: u64,
}

type Visit<'a> = &'a mut dyn FnMut(&ArchiveEntry, &mut dyn Read) -> Result<(), ArchiveError>;

impl Archive {
    /// Opens a file and detects its format.
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let mut file = File::open(path).map_err(ArchiveError::Disk)?;
        let size = file.metadata().map_err(ArchiveError::Disk)?.len();
        let mut head = Vec::new();
        file.by_ref().take(512).read_to_end(&mut head).map_err(ArchiveError::Disk)?;
        let format = match head.as_slice() {
            [0x1f, 0x8b, ..] => Format::TarGz,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Format::Zip,
            _ if tarred::is_header(&head) => Format::Tar,
            _ => return Err(unread(&head).map_or(ArchiveError::Unknown, ArchiveError::Unread)),
        };
        Ok(Self { path: path.to_owned(), format, size })
    }

    /// Visits every entry in order, with its bytes.
    pub(super) fn each(&self, visit: Visit<'_>) -> Result<(), ArchiveError> {
        let file = File::open(&self.path).map_err(ArchiveError::Disk)?;
        let mut meter = Meter::new(self.size);
        match self.format {
            Format::Zip => zipped::each(file, self.size, &mut meter, visit),
            Format::Tar => tarred::each(BufReader::new(file), &mut meter, visit),
            Format::TarGz => tarred::each(MultiGzDecoder::new(BufReader::new(file)), &mut meter, visit),
        }
    }

    /// The bytes of one file. None when there is no such file. Of a file larger than `max`, returns the first `max` + 1 bytes.
    pub(super) fn read(&self, path: &str, max: usize) -> Result<Option<Vec<u8>>, ArchiveError> {
        let mut found = None;
        let result = self.each(&mut |entry, bytes| {
            if entry.path != path || !matches!(entry.kind, Kind::File { .. }) {
                return Ok(());
            }
            let mut content = Vec::new();
            bytes.take(max as u64 + 1).read_to_end(&mut content).map_err(broken)?;
            found = Some(content);
            Err(ArchiveError::Stopped)
        });
        match result {
            Ok(()) | Err(ArchiveError::Stopped) => Ok(found),
            Err(error) => Err(error),
        }
    }
}

/// The name of a format that is not supported, from the first bytes.
fn unread(head: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 8] = [
        (b"\xfd7zXZ\0", "xz (.tar.xz)"),
        (b"\x28\xb5\x2f\xfd", "Zstandard (.tar.zst)"),
        (b"BZh", "bzip2 (.tar.bz2)"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"Rar!", "RAR"),
        (b"\x5d\0\0", "LZMA (.tar.lzma)"),
        (b"\x04\x22\x4d\x18", "LZ4 (.tar.lz4)"),
        (b"\x1f\x9d", "compress (.tar.Z)"),
    ];
    MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}

/// Visits an entry and reads the bytes that the visitor did not read, so that every byte is counted and every checksum and size is
/// checked.
fn visit_one(entry: &ArchiveEntry, bytes: &mut dyn Read, meter: &mut Meter, visit: Visit<'_>) -> Result<(), ArchiveError> {
    let mut metered = Metered::new(bytes, meter);
    visit(entry, &mut metered)?;
    io::copy(&mut metered, &mut io::sink()).map_err(broken)?;
    match entry.kind {
        Kind::File { size } if size != metered.n_read => Err(ArchiveError::Kind(entry.path.clone(), "file of two sizes")),
        _ => Ok(()),
    }
}

fn target(path: &str, written: Option<&[u8]>) -> Result<String, ArchiveError> {
    let text = written.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let is_plain = |text: &&str| !text.is_empty() && text.len() as u64 <= LINK_BYTES_MAX && !text.chars().any(char::is_control);
    text.filter(is_plain).map(str::to_owned).ok_or_else(|| ArchiveError::Kind(path.to_owned(), "link with an invalid target"))
}

/// Counts the entries and bytes of an archive.
struct Meter {
    n_entries: usize,
    names_left: usize,
    n_bytes: u64,
    bytes_max: u64,
}

impl Meter {
    fn new(packed: u64) -> Self {
        let bytes_max = packed.saturating_mul(RATIO_MAX).clamp(RATIO_FREE_BYTES, BYTES_MAX);
        Self { n_entries: 0, names_left: NAMES_BYTES_MAX, n_bytes: 0, bytes_max }
    }

    fn count(&mut self) -> Result<(), ArchiveError> {
        self.n_entries += 1;
        if self.n_entries > ENTRIES_MAX {
            return Err(ArchiveError::TooLarge("it has more than 100000 entries"));
        }
        Ok(())
    }

    /// Checks a name. Returns None for the archive's own folder.
    fn name(&mut self, raw: &[u8]) -> Result<Option<String>, ArchiveError> {
        self.count()?;
        self.names_left =
            self.names_left.checked_sub(raw.len()).ok_or(ArchiveError::TooLarge("its names have more than 16 MiB"))?;
        let shown = || ArchiveError::Name(String::from_utf8_lossy(raw).chars().take(80).collect());
        let text = std::str::from_utf8(raw)
            .map_err(|_| ArchiveError::NotUtf8(String::from_utf8_lossy(raw).chars().take(80).collect()))?;
        let mut plain = text;
        while let Some(rest) = plain.strip_prefix("./") {
            plain = rest;
        }
        let plain = plain.strip_suffix('/').unwrap_or(plain);
        if matches!(plain, "" | ".") && !text.starts_with('/') {
            return Ok(None);
        }
        let is_drive = plain.as_bytes().get(1) == Some(&b':') && plain.as_bytes()[0].is_ascii_alphabetic();
        if is_drive || check_input_path(plain).is_err() {
            return Err(shown());
        }
        Ok(Some(plain.to_owned()))
    }
}

struct Metered<'a> {
    inner: &'a mut dyn Read,
    meter: &'a mut Meter,
    n_read: u64,
}

impl<'a> Metered<'a> {
    fn new(inner: &'a mut dyn Read, meter: &'a mut Meter) -> Self {
        Self { inner, meter, n_read: 0 }
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.n_read += n as u64;
        self.meter.n_bytes += n as u64;
        if self.meter.n_bytes > self.meter.bytes_max {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it unpacks to more than 4 GiB, or to 200 times its size"));
        }
        Ok(n)
    }
}

/// The error for a failed read: too large, or damaged.
fn broken(error: impl Into<io::Error>) -> ArchiveError {
    let error = error.into();
    match error.kind() {
        io::ErrorKind::FileTooLarge => ArchiveError::TooLarge("it unpacks to more than 4 GiB, or to 200 times its size"),
        io::ErrorKind::StorageFull => ArchiveError::Disk(error),
        _ => ArchiveError::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
