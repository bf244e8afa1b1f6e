//! The helper program in the worker's own image. It does what must be done inside a container, or as root of a container.
//!
//! It uses no C library and no standard library, so the image needs only this file. `build.rs` compiles it for Linux on the worker's own
//! architecture, and the worker's program contains it.
//!
//! - `helper copy SOURCE TARGET [SOURCE TARGET]…`: copies the first bytes of each file. Skips a pair whose source cannot be read. The
//!   exit code is 3 when the first source cannot be read, and 4 when a target cannot be written.
//! - `helper open FOLDER`: lets every user read and remove everything below a folder. Does not follow links. The exit code is 5 when
//!   the rights of a file or folder cannot be changed.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::ffi::CStr;

mod system;

const O_WRONLY_CREATE_TRUNCATE: usize = 0o1101;
const O_NONBLOCK: usize = 0o4000;
const O_CLOEXEC: usize = 0o2_000_000;
/// The working folder.
const HERE: usize = -100_isize as usize;
const NOT_A_FOLDER: isize = -20;
/// Deepest nesting that is followed: a job may nest folders very deep, and the stack has 8 MiB.
const DEPTH_MAX: usize = 3000;
const COPY_MAX: usize = 64 * 1024;
/// Bytes before the name in one entry of a folder.
const NAME_AT: usize = 19;

// The kernel starts a program with the number of its arguments and pointers to them on the stack.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {main}", "brk #1", main = sym main);

#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the functions below give the arguments of each call. The memory that the arguments point to outlives the call.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             lateout("rcx") _, lateout("r11") _);
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: as above.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d);
    }
    result
}

fn exit(code: usize) -> ! {
    // SAFETY: the call takes numbers and does not return.
    unsafe { call(system::EXIT_GROUP, code, 0, 0, 0) };
    loop {}
}

fn open(folder: usize, name: *const u8, flags: usize) -> isize {
    // SAFETY: `name` ends with a zero, as arguments and entries of folders do.
    unsafe { call(system::OPENAT, folder, name as usize, flags | O_CLOEXEC, 0o666) }
}

fn close(file: isize) {
    // SAFETY: the call takes a number.
    unsafe { call(system::CLOSE, file as usize, 0, 0, 0) };
}

/// Adds rights. Removes the sticky bit, which prevents other users from removing files.
fn add_rights(file: isize, rights: u32) -> bool {
    let mut about = [0_u8; 256];
    // SAFETY: the kernel fills less than the buffer's size.
    if unsafe { call(system::FSTAT, file as usize, about.as_mut_ptr() as usize, 0, 0) } != 0 {
        return false;
    }
    let at = system::MODE_AT;
    let mode = u32::from_ne_bytes([about[at], about[at + 1], about[at + 2], about[at + 3]]);
    let wanted = (mode & 0o777) | rights;
    // SAFETY: the call takes numbers.
    mode & 0o1777 == wanted || unsafe { call(system::FCHMOD, file as usize, wanted as usize, 0, 0) == 0 }
}

fn read(file: isize, buffer: &mut [u8]) -> isize {
    // SAFETY: the kernel writes into the buffer, at most its length.
    unsafe { call(system::READ, file as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0) }
}

fn entries(folder: isize, buffer: &mut [u8]) -> isize {
    // SAFETY: as above.
    unsafe { call(system::GETDENTS64, folder as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0) }
}

fn write_all(file: isize, mut from: *const u8, mut length: usize) -> bool {
    while length > 0 {
        // SAFETY: the caller's buffer has `length` bytes from here on.
        let n = unsafe { call(system::WRITE, file as usize, from as usize, length, 0) };
        if n <= 0 {
            return false;
        }
        // SAFETY: at most `length` bytes were written.
        from = unsafe { from.add(n as usize) };
        length -= n as usize;
    }
    true
}

/// Copies one file. Returns 0 or an exit code.
fn copy(source: *const u8, target: *const u8) -> usize {
    let from = open(HERE, source, O_NONBLOCK);
    if from < 0 {
        return 3;
    }
    let to = open(HERE, target, O_WRONLY_CREATE_TRUNCATE);
    if to < 0 {
        return 4;
    }
    let mut buffer = [0_u8; 4096];
    let mut total = 0;
    while total < COPY_MAX {
        let n = read(from, &mut buffer);
        if n < 0 {
            return 3;
        }
        if n == 0 {
            break;
        }
        if !write_all(to, buffer.as_ptr(), n as usize) {
            return 4;
        }
        total += n as usize;
    }
    close(from);
    close(to);
    0
}

fn is_dot(name: *const u8) -> bool {
    // SAFETY: names end with a zero, and the second byte is read only if the first is not zero.
    unsafe { *name == b'.' && (*name.add(1) == 0 || (*name.add(1) == b'.' && *name.add(2) == 0)) }
}

/// Gives every user rights to a folder and everything in it. Returns false when that fails.
#[inline(never)]
fn open_below(folder: isize, depth: usize) -> bool {
    let mut is_open = add_rights(folder, 0o777);
    if depth == DEPTH_MAX {
        return false;
    }
    let mut buffer = [0_u8; 1024];
    loop {
        let n = entries(folder, &mut buffer);
        if n <= 0 {
            return is_open && n == 0;
        }
        let mut at = 0;
        while at < n as usize {
            // SAFETY: the kernel wrote whole entries: the inode (8 bytes), the offset (8), the length (2), the type (1), then the name.
            let (length, name) = unsafe {
                let entry = buffer.as_ptr().add(at);
                (u16::from_ne_bytes([*entry.add(16), *entry.add(17)]), entry.add(NAME_AT))
            };
            if !is_dot(name) {
                is_open &= open_entry(folder, name, depth);
            }
            at += length as usize;
        }
    }
}

fn open_entry(folder: isize, name: *const u8, depth: usize) -> bool {
    let inner = open(folder as usize, name, system::O_DIRECTORY | system::O_NOFOLLOW);
    if inner >= 0 {
        let is_open = open_below(inner, depth + 1);
        close(inner);
        return is_open;
    }
    // A folder that cannot be opened is a failure. Other entries that cannot be opened, such as links and sockets, need no rights.
    if inner != NOT_A_FOLDER {
        return false;
    }
    let file = open(folder as usize, name, system::O_NOFOLLOW | O_NONBLOCK);
    if file < 0 {
        return true;
    }
    let is_open = add_rights(file, 0o666);
    close(file);
    is_open
}

fn is(argument: *const u8, word: &CStr) -> bool {
    // SAFETY: arguments end with a zero.
    let argument = unsafe { CStr::from_ptr(argument.cast()) };
    argument.to_bytes() == word.to_bytes()
}

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel's layout: the number of arguments, then a pointer to each argument.
    let argument = |n: usize| unsafe { *stack.add(n + 1) as *const u8 };
    // SAFETY: the same.
    let n_arguments = unsafe { *stack };
    if n_arguments >= 4 && is(argument(1), c"copy") {
        let mut code = 0;
        let mut at = 2;
        while at + 1 < n_arguments {
            let copied = copy(argument(at), argument(at + 1));
            if copied == 4 || (copied == 3 && at == 2) {
                code = copied;
            }
            at += 2;
        }
        exit(code);
    }
    if n_arguments == 3 && is(argument(1), c"open") {
        let folder = open(HERE, argument(2), system::O_DIRECTORY | system::O_NOFOLLOW);
        exit(if folder >= 0 && open_below(folder, 0) { 0 } else { 5 });
    }
    exit(2)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(6)
}

// The compiler may generate calls of these functions.

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(target: *mut u8, byte: i32, length: usize) -> *mut u8 {
    for n in 0..length {
        // SAFETY: the memory belongs to the caller. The write is volatile, because the compiler would otherwise turn this loop into a call
        // of this function.
        unsafe { target.add(n).write_volatile(byte as u8) };
    }
    target
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, length: usize) -> *mut u8 {
    for n in 0..length {
        // SAFETY: as above.
        unsafe { target.add(n).write_volatile(*source.add(n)) };
    }
    target
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    for n in 0..length {
        // SAFETY: as above.
        let (a, b) = unsafe { (one.add(n).read_volatile(), other.add(n).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: as above.
    unsafe { memcmp(one, other, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: the text ends with a zero.
    while unsafe { text.add(n).read_volatile() } != 0 {
        n += 1;
    }
    n
}
