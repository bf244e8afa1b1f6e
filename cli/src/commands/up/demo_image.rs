//! The image `asman/demo`: one static busybox with a link for each of its tools. It is made here, so that a first job needs no
//! registry.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::commands::worker::failure;
use crate::failure::Failure;
use crate::say;

/// The image's name.
pub(super) const IMAGE: &str = "asman/demo:latest";
/// Long enough, because the engine answers from memory.
const TIMEOUT: Duration = Duration::from_secs(5);
const FIX: &str = "install one (Debian and Ubuntu: `apt-get install busybox-static`) and start again";

/// Makes the image if it is missing.
pub(super) async fn ensure() -> Result<(), Failure> {
    if is_there().await {
        return Ok(());
    }
    let busybox = find().ok_or_else(|| Failure::Missing(format!("no static busybox was found; {FIX}")))?;
    let rootfs = rootfs(&busybox).map_err(|error| Failure::io("read", &busybox, &error))?;
    worker::import_image(IMAGE, rootfs).await.map_err(|error| failure(&error))?;
    say::note(&format!("Made the image {IMAGE}"));
    Ok(())
}

/// Asks the engine whether the image exists. If each start made the image again, untagged images would be left behind.
async fn is_there() -> bool {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let builder = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
    let (builder, base) = match host.split_once("://") {
        Some(("unix", path)) => (builder.unix_socket(path), "http://localhost".to_owned()),
        Some((_, address)) => (builder, format!("http://{address}")),
        None => return false,
    };
    let Ok(client) = builder.build() else { return false };
    let answer = client.get(format!("{base}/images/{IMAGE}/json")).send().await;
    answer.is_ok_and(|response| response.status().is_success())
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("busybox")).collect::<Vec<_>>();
    let places = ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(PathBuf::from).chain(on_path);
    places.into_iter().find(|place| std::fs::read(place).is_ok_and(|bytes| is_static(&bytes)))
}

/// Whether a 64-bit ELF program has no interpreter (`PT_INTERP`), because the image contains no C library.
fn is_static(elf: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let is_interpreted = || -> Option<bool> {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let entry = |index: u64| number(usize::try_from(table.checked_add(index * size)?).ok()?, 4);
        (0..count).map(entry).map(|kind| Some(kind? == PT_INTERP)).try_fold(false, |any, is| Some(any || is?))
    };
    elf.starts_with(b"\x7fELF\x02\x01") && is_interpreted() == Some(false)
}

/// The tar of the image's file system.
fn rootfs(busybox: &Path) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (folder, mode) in [("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("usr", 0o755)] {
        add(&mut tar, folder, tar::EntryType::Directory, mode, b"")?;
    }
    add(&mut tar, "bin/busybox", tar::EntryType::Regular, 0o755, &std::fs::read(busybox)?)?;
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    add(&mut tar, "etc/passwd", tar::EntryType::Regular, 0o644, passwd)?;
    add(&mut tar, "etc/group", tar::EntryType::Regular, 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    let tools = Command::new(busybox).arg("--list").output()?;
    for tool in String::from_utf8_lossy(&tools.stdout).lines().filter(|tool| *tool != "busybox") {
        link(&mut tar, &format!("bin/{tool}"), "busybox")?;
    }
    // Scripts begin with `#!/usr/bin/env` and `#!/sbin/…` too.
    link(&mut tar, "usr/bin", "../bin")?;
    link(&mut tar, "sbin", "bin")?;
    tar.into_inner()
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size as u64);
    header
}

fn add(tar: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, mode: u32, data: &[u8]) -> std::io::Result<()> {
    tar.append_data(&mut header(kind, mode, data.len()), path, data)
}

fn link(tar: &mut tar::Builder<Vec<u8>>, path: &str, target: &str) -> std::io::Result<()> {
    tar.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), path, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_not_static() {
        let shell = std::fs::read("/bin/sh").unwrap();
        assert!(!is_static(&shell));
        assert!(!is_static(b"#!/bin/sh"));
        assert!(!is_static(b"\x7fELF\x02\x01"));
    }

    #[test]
    fn the_file_system_holds_busybox_and_a_link_for_each_tool() {
        let Some(busybox) = find() else { return };
        assert!(is_static(&std::fs::read(&busybox).unwrap()));
        let tar = rootfs(&busybox).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let names: Vec<String> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        for name in ["bin/busybox", "bin/sh", "bin/awk", "tmp", "etc/passwd", "usr/bin"] {
            assert!(names.iter().any(|n| n.trim_end_matches('/') == name), "{name} in {names:?}");
        }
    }
}
