//! Tests with archives such as an attacker makes.

use std::io::Write;

use tar::EntryType;

use super::*;

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A tar with exactly the given names. The crate's own writer would refuse some of them.
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
fn the_first_bytes_decide_the_format_of_an_archive() {
    let tar = tar_of(&[("./", EntryType::Directory, ""), ("./a/b", EntryType::Regular, "x"), ("c/", EntryType::Directory, "")]);
    assert_eq!(names(&tar).unwrap(), ["a/b", "c"]);
    assert_eq!(names(&gzip(&tar)).unwrap(), ["a/b", "c"]);
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    zip.start_file("a/b", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(b"x").unwrap();
    assert_eq!(names(&zip.finish().unwrap().into_inner()).unwrap(), ["a/b"]);
    for bytes in [&b""[..], b"<html>", &[0; 600]] {
        assert!(matches!(names(bytes), Err(ArchiveError::Unknown)), "{bytes:?}");
    }
    for (bytes, name) in [
        (&b"BZh91AY"[..], "bzip2 (.tar.bz2)"),
        (b"\xfd7zXZ\0\0", "xz (.tar.xz)"),
        (b"\x28\xb5\x2f\xfd\x04", "Zstandard (.tar.zst)"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    ] {
        let error = names(bytes).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("pack it as .tar.gz"), "{error}");
    }
}

#[test]
fn a_tar_from_before_ustar_is_read() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_old();
    header.set_path("a").unwrap();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, &b"x"[..]).unwrap();
    assert_eq!(names(&tar.into_inner().unwrap()).unwrap(), ["a"]);
}

/// A zip as common programs write it.
fn zip_of(files: &[(&str, Option<u32>, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, mode, text) in files {
        let options = zip::write::SimpleFileOptions::default();
        let options = mode.map_or(options, |mode| options.unix_permissions(mode));
        zip.start_file(*name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn entries(bytes: &[u8]) -> Result<Vec<(String, u32)>, ArchiveError> {
    let file = file(bytes);
    let mut entries = Vec::new();
    Archive::open(file.path())?.each(&mut |entry, _| {
        entries.push((entry.path.clone(), entry.mode));
        Ok(())
    })?;
    Ok(entries)
}

#[test]
fn zips_of_macos_and_windows_are_read() {
    let macos = zip_of(&[
        ("top/", Some(0o755), ""),
        ("top/Dockerfile", Some(0o644), "FROM a"),
        ("__MACOSX/top/._Dockerfile", Some(0o644), "\0\u{5}\u{16}\u{7}"),
        ("top/run.sh", Some(0o755), "x"),
    ]);
    let read = entries(&macos).unwrap();
    let read: Vec<_> = read.iter().map(|(name, mode)| (name.as_str(), *mode)).collect();
    assert_eq!(read, [("top", 0o755), ("top/Dockerfile", 0o644), ("top/run.sh", 0o755)]);
    let mut windows = zip_of(&[("src\\app.py", None, "x"), ("src\\sub\\", None, "")]);
    // Write the fields as programs on Windows do: the system is one without modes, and the attributes are only the archive bit.
    let at = windows.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    windows[at + 5] = 0;
    windows[at + 38..at + 42].copy_from_slice(&[0x20, 0, 0, 0]);
    let read = entries(&windows).unwrap();
    assert_eq!((read[0].0.as_str(), read[0].1, read[1].0.as_str()), ("src/app.py", 0o755, "src/sub"));
}

#[test]
fn names_in_a_machines_own_code_page_are_read_in_a_zip_and_named_in_a_tar() {
    let mut zip = zip_of(&[("aXb", None, "x")]);
    for at in (0..zip.len() - 3).filter(|at| &zip[*at..at + 3] == b"aXb").collect::<Vec<_>>() {
        zip[at + 1] = 0x84;
    }
    assert_eq!(names(&zip).unwrap(), ["aäb"]);
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..3].copy_from_slice(b"a\x84b");
    header.set_size(0);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, io::empty()).unwrap();
    let error = names(&tar.into_inner().unwrap()).unwrap_err();
    assert!(matches!(&error, ArchiveError::NotUtf8(_)), "{error}");
}

#[test]
fn files_that_macos_adds_to_a_tar_are_left_out() {
    let files = [
        ("._top", EntryType::Regular, "\0\u{5}\u{16}\u{7}attributes"),
        ("top/x", EntryType::Regular, "1"),
        ("top/._x", EntryType::Regular, "\0\u{5}\u{16}\u{7}"),
        ("top/._mine", EntryType::Regular, "mine"),
    ];
    assert_eq!(names(&tar_of(&files)).unwrap(), ["top/x", "top/._mine"]);
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
fn entries_other_than_files_folders_and_symbolic_links_are_refused() {
    for kind in [EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::GNUSparse] {
        let tar = tar_of(&[("a", kind, "b")]);
        assert!(names(&tar).is_err(), "{kind:?}");
    }
    assert!(names(&tar_of(&[("a", EntryType::Symlink, "b")])).is_ok());
    assert_eq!(names(&tar_of(&[("b", EntryType::Regular, "x"), ("a", EntryType::Link, "b")])).unwrap(), ["b", "a"]);
}

#[test]
fn bombs_are_refused_before_they_fill_memory_or_disk() {
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
