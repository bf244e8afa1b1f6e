//! The worker's own image. It has two programs: one that waits until it is killed, and the `helper`.
//!
//! The first program is machine code in this file, so that a worker needs no registry, no compiler and no other program. The file is an ELF
//! executable (System V ABI, ELF-64) with one segment, which is the whole file.

use super::helper;

/// Path of the program in the image.
pub(super) const PROGRAM: &str = "/pause";
/// Address of the segment in memory: the usual one of x86-64, which is free on every system.
const ADDRESS: u64 = 0x40_0000;
const HEADER_BYTES: u16 = 64;
const SEGMENT_HEADER_BYTES: u16 = 56;

/// `loop { pause() }`.
const X86_64: (u16, &[u8]) = (
    62,
    &[
        0xb8, 0x22, 0x00, 0x00, 0x00, // mov eax, 34 (pause)
        0x0f, 0x05, // syscall
        0xeb, 0xf7, // jmp to the beginning
    ],
);
/// `loop { ppoll(null, 0, null, null, 0) }`: this architecture has no `pause`.
const AARCH64: (u16, &[u8]) = (
    183,
    &[
        0x00, 0x00, 0x80, 0xd2, // mov x0, 0
        0x01, 0x00, 0x80, 0xd2, // mov x1, 0
        0x02, 0x00, 0x80, 0xd2, // mov x2, 0
        0x03, 0x00, 0x80, 0xd2, // mov x3, 0
        0x04, 0x00, 0x80, 0xd2, // mov x4, 0
        0x28, 0x09, 0x80, 0xd2, // mov x8, 73 (ppoll)
        0x01, 0x00, 0x00, 0xd4, // svc 0
        0xf9, 0xff, 0xff, 0x17, // b to the beginning
    ],
);

/// The root file system as a tar, for an architecture as the engine names it. None when there is no program for it.
pub(super) fn rootfs(architecture: &str) -> Option<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, PROGRAM, &program(architecture)?).ok()?;
    if helper::is_for(architecture) {
        append(&mut tar, helper::PROGRAM, helper::BYTES).ok()?;
    }
    tar.into_inner().ok()
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, program: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    tar.append_data(&mut header, path.trim_start_matches('/'), program)
}

fn program(architecture: &str) -> Option<Vec<u8>> {
    let (machine, code) = match architecture {
        "x86_64" | "amd64" => X86_64,
        "aarch64" | "arm64" => AARCH64,
        _ => return None,
    };
    let headers = u64::from(HEADER_BYTES + SEGMENT_HEADER_BYTES);
    let size = headers + code.len() as u64;
    // 64 bits, least significant byte first, version 1, the plain System V ABI.
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let (executable, version) = (2_u16, 1_u32);
    file.extend([executable.to_le_bytes(), machine.to_le_bytes()].concat());
    file.extend(version.to_le_bytes());
    // Entry, the segment's header, no sections.
    file.extend([ADDRESS + headers, u64::from(HEADER_BYTES), 0].map(u64::to_le_bytes).concat());
    let flags = 0_u32;
    file.extend(flags.to_le_bytes());
    file.extend([HEADER_BYTES, SEGMENT_HEADER_BYTES, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    let (loaded, read_and_execute) = (1_u32, 5_u32);
    file.extend([loaded, read_and_execute].map(u32::to_le_bytes).concat());
    // Offset, addresses, sizes in the file and in memory, alignment.
    file.extend([0, ADDRESS, ADDRESS, size, size, 0x1_0000].map(u64::to_le_bytes).concat());
    file.extend(code);
    Some(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_program_waits_until_it_is_killed_and_uses_no_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pause");
        std::fs::write(&path, program(std::env::consts::ARCH).unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = Command::new(&path).spawn().unwrap();
        // It sleeps from its first system call on.
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !state().contains("(pause) S") {
            assert!(std::time::Instant::now() < end, "{}", state());
            std::thread::yield_now();
        }
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn an_unknown_architecture_has_no_program() {
        assert!(rootfs("x86_64").is_some() && rootfs("aarch64").is_some());
        assert!(rootfs("riscv64").is_none());
    }
}
