//! Archives as an attacker makes them.

use std::io::Write;

use tar::EntryType;

use super::*;

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A tar with names exactly as given; the crate's own writer would refuse them.
fn tar_of(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if is_link {
            header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text.as_bytes());
        }
        let content = if is_link { "" } else { *text };
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn names(bytes: &[u8]) -> Result<Vec<String>, ArchiveError> {
    let file = file(bytes);
    let mut names = Vec::new();
    Archive::open(file.path())?.each(&mut |entry, _| {
        names.push(entry.path.clone());
        Ok(())
    })?;
    Ok(names)
}

#[test]
fn the_first_bytes_tell_what_an_archive_is() {
    let tar = tar_of(&[("./", EntryType::Directory, ""), ("./a/b", EntryType::Regular, "x"), ("c/", EntryType::Directory, "")]);
    assert_eq!(names(&tar).unwrap(), ["a/b", "c"]);
    assert_eq!(names(&gzip(&tar)).unwrap(), ["a/b", "c"]);
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    zip.start_file("a/b", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(b"x").unwrap();
    assert_eq!(names(&zip.finish().unwrap().into_inner()).unwrap(), ["a/b"]);
    for bytes in [&b""[..], b"<html>", b"BZh91AY", &[0; 600]] {
        assert!(matches!(names(bytes), Err(ArchiveError::Unknown)), "{bytes:?}");
    }
}

#[test]
fn names_that_leave_the_context_are_refused() {
    for name in ["/etc/passwd", "../x", "a/../../x", "a/./b", "a//b", "C:\\x", "c:x", "a\\..\\x", "a\nb", ".."] {
        let tar = tar_of(&[(name, EntryType::Regular, "x")]);
        assert!(matches!(names(&tar), Err(ArchiveError::Name(_))), "{name:?}");
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        assert!(matches!(names(&zip.finish().unwrap().into_inner()), Err(ArchiveError::Name(_))), "{name:?} in a zip");
    }
}

#[test]
fn what_is_no_file_folder_or_symbolic_link_is_refused() {
    for kind in [EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::GNUSparse] {
        let tar = tar_of(&[("a", kind, "b")]);
        assert!(names(&tar).is_err(), "{kind:?}");
    }
    assert!(names(&tar_of(&[("a", EntryType::Symlink, "b")])).is_ok());
}

#[test]
fn bombs_are_refused_before_they_fill_anything() {
    // 96 MiB of zeros in half a MiB.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(96 << 20);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..96 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(names(&bomb), Err(ArchiveError::TooLarge(_))));

    let empty = tar_of(&[("a", EntryType::Regular, "")]);
    let many = empty[..512].repeat(ENTRIES_MAX + 1);
    assert!(matches!(names(&many), Err(ArchiveError::TooLarge(_))));
}

#[test]
fn a_zip_whose_end_record_claims_a_huge_directory_is_refused() {
    let mut zip = b"PK\x05\x06".to_vec();
    zip.extend([0, 0, 0, 0, 1, 0, 1, 0]);
    zip.extend(u32::to_le_bytes(1 << 30));
    zip.extend([0; 6]);
    assert!(matches!(names(&zip), Err(ArchiveError::TooLarge(_))));
    assert!(names(b"PK\x03\x04 cut off").is_err());
}

#[test]
fn an_archive_that_is_cut_off_says_so() {
    let whole = gzip(&tar_of(&[("a", EntryType::Regular, &"x".repeat(4000))]));
    assert!(matches!(names(&whole[..whole.len() / 2]), Err(ArchiveError::Broken(_))));
}
