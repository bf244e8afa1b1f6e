//! Archives of strangers, read entry by entry and never unpacked.
//!
//! What an archive is follows from its first bytes, not from its name. [`Archive::each`] is the one way in: it gives entries whose
//! names are relative and of plain segments, and refuses everything else: absolute names, drives, `..`, NUL, hard links, devices,
//! encrypted files. Bounds: [`ENTRIES_MAX`] entries, [`NAMES_BYTES_MAX`] of names, [`BYTES_MAX`] unpacked, and a ratio of
//! [`RATIO_MAX`] above [`RATIO_FREE_BYTES`], counted as the bytes come, whatever the headers claim.
//!
//! Blocking calls.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use protocol::check_input_path;
use tar::EntryType;
use zip::ZipArchive;
use zip::read::ZipFile;

/// Most entries.
pub(super) const ENTRIES_MAX: usize = 100_000;
const NAMES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of all files together, and so of each.
const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// An archive may unpack to so many times its size.
const RATIO_MAX: u64 = 200;
/// Below this size no ratio is a bomb.
const RATIO_FREE_BYTES: u64 = 64 * 1024 * 1024;
/// The directory of a zip file is read at once, and costs several times its size.
const ZIP_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The end record of a zip file is followed by a comment of this size at most.
const ZIP_COMMENT_MAX: u64 = 65_535;
const LINK_BYTES_MAX: u64 = 4096;
/// Most bytes of an entry that tells of the next one.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;

/// Why an archive is not taken. The sentences are for whoever made it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// By its first bytes.
    #[error("the context is neither a tar (plain or gzip) nor a zip archive")]
    Unknown,
    /// Cut off, or no archive after all.
    #[error("the context's archive cannot be read: {0}")]
    Broken(String),
    /// A name that would leave the context.
    #[error("the context's archive has an entry named {0:?}, which is no relative path of plain segments")]
    Name(String),
    /// Twice the same file, or a file where a folder must be.
    #[error("the context's archive has {0:?} twice, or below a file")]
    Duplicate(String),
    /// Not a file, a folder or a symbolic link.
    #[error("the context's archive has {0:?}, which is a {1}; only files, folders and symbolic links are taken")]
    Kind(String, &'static str),
    /// Over one of the bounds.
    #[error("the context is too large: {0}")]
    TooLarge(&'static str),
    /// Not the archive's fault.
    #[error("reading the context: {0}")]
    Disk(io::Error),
    /// Whoever looked has seen enough.
    #[error("stopped")]
    Stopped,
}

/// How the bytes are packed.
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

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File {
        size: u64,
    },
    Folder,
    /// Where it points, as written.
    Link(String),
}

/// One entry with a checked name.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) mtime: u64,
}

type Visit<'a> = &'a mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), ArchiveError>;

impl Archive {
    /// Looks at a file's first bytes.
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let mut file = File::open(path).map_err(ArchiveError::Disk)?;
        let size = file.metadata().map_err(ArchiveError::Disk)?.len();
        let mut head = Vec::new();
        file.by_ref().take(512).read_to_end(&mut head).map_err(ArchiveError::Disk)?;
        let format = match head.as_slice() {
            [0x1f, 0x8b, ..] => Format::TarGz,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Format::Zip,
            _ if head.get(257..262) == Some(b"ustar") => Format::Tar,
            _ => return Err(ArchiveError::Unknown),
        };
        Ok(Self { path: path.to_owned(), format, size })
    }

    /// Visits every entry in order, with its bytes.
    pub(super) fn each(&self, visit: Visit<'_>) -> Result<(), ArchiveError> {
        let file = File::open(&self.path).map_err(ArchiveError::Disk)?;
        let mut meter = Meter::new(self.size);
        match self.format {
            Format::Zip => self.each_of_zip(file, &mut meter, visit),
            Format::Tar => each_of_tar(BufReader::new(file), &mut meter, visit),
            Format::TarGz => each_of_tar(MultiGzDecoder::new(BufReader::new(file)), &mut meter, visit),
        }
    }

    /// The bytes of one file, when it is there and has `max` at most; an empty one when it is larger.
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

    fn each_of_zip(&self, mut file: File, meter: &mut Meter, visit: Visit<'_>) -> Result<(), ArchiveError> {
        check_zip_directory(&mut file, self.size)?;
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
        for index in 0..zip.len() {
            let mut packed = zip.by_index(index).map_err(broken)?;
            let Some(path) = meter.name(packed.name_raw())? else { continue };
            let entry = zip_entry(path, &mut packed)?;
            visit_one(&entry, &mut packed, meter, visit)?;
        }
        Ok(())
    }
}

/// Has an entry visited and reads what the visitor has left, so that every byte is counted and every checksum and size tested.
fn visit_one(entry: &Entry, bytes: &mut dyn Read, meter: &mut Meter, visit: Visit<'_>) -> Result<(), ArchiveError> {
    let mut metered = Metered::new(bytes, meter);
    visit(entry, &mut metered)?;
    io::copy(&mut metered, &mut io::sink()).map_err(broken)?;
    match entry.kind {
        Kind::File { size } if size != metered.n_read => Err(ArchiveError::Kind(entry.path.clone(), "file of two sizes")),
        _ => Ok(()),
    }
}

fn each_of_tar(reader: impl Read, meter: &mut Meter, visit: Visit<'_>) -> Result<(), ArchiveError> {
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

fn zip_entry<R: Read>(path: String, packed: &mut ZipFile<'_, R>) -> Result<Entry, ArchiveError> {
    let mode = packed.unix_mode().unwrap_or(if packed.is_dir() { 0o755 } else { 0o644 });
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

fn target(path: &str, written: Option<&[u8]>) -> Result<String, ArchiveError> {
    let text = written.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let is_plain = |text: &&str| !text.is_empty() && text.len() as u64 <= LINK_BYTES_MAX && !text.chars().any(char::is_control);
    text.filter(is_plain).map(str::to_owned).ok_or_else(|| ArchiveError::Kind(path.to_owned(), "link to nothing that can be"))
}

/// Counts what an archive gives.
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

    /// Checks a name; nothing for the archive's own folder.
    fn name(&mut self, raw: &[u8]) -> Result<Option<String>, ArchiveError> {
        self.count()?;
        self.names_left =
            self.names_left.checked_sub(raw.len()).ok_or(ArchiveError::TooLarge("its names have more than 16 MiB"))?;
        let shown = || ArchiveError::Name(String::from_utf8_lossy(raw).chars().take(80).collect());
        let text = std::str::from_utf8(raw).map_err(|_| shown())?;
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

/// By the error's kind: too large, or no archive.
fn broken(error: impl Into<io::Error>) -> ArchiveError {
    let error = error.into();
    match error.kind() {
        io::ErrorKind::FileTooLarge => ArchiveError::TooLarge("it unpacks to more than 4 GiB, or to 200 times its size"),
        io::ErrorKind::StorageFull => ArchiveError::Disk(error),
        _ => ArchiveError::Broken(error.to_string()),
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
