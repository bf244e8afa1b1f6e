//! Finds out why a program could not be run when a shell or an init only says `No such file or directory`.
//!
//! An exit code is the job's result, except in two cases: the image is made for another platform, or the container's own program was
//! never run. In the second case, the container's init ends with the exit code that a shell would use. The container's files decide
//! whether the program could be run, never its output.
//! For the job's author, this module also looks for the files that the command names. A check that fails reports nothing.

use futures_util::StreamExt;
use protocol::{EndCode, Step};

use super::Containers;
use crate::ends::RunError;
use crate::engine::{Docker, Fault, Head, Job, Program};

/// Most files that are checked.
const FILES_MAX: usize = 8;
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most bytes that are read of a container's output.
const RECORD_BYTES_MAX: usize = 64 * 1024;
/// The kernel's words for a program of another architecture.
const FOREIGN: &str = "exec format error";
/// How the message of an engine's init begins when the init could not run a program, and text that follows in the message.
const INITS: [(&str, &str); 2] = [("[fatal tini (", " failed: "), ("error (catatonit:", "failed to exec ")];

impl Containers {
    /// Explains to the job's author an exit code that means that a program could not be run. Fails if that program is the container's own,
    /// or if the image is made for another platform.
    pub(super) async fn program_note(&self, job: &Job<'_>, id: &str, exit_code: i64) -> Result<Option<String>, RunError> {
        if exit_code == 0 {
            return Ok(None);
        }
        let docker = &self.docker;
        // If the container cannot be inspected, there is nothing to report.
        let Ok(program) = docker.program(id).await else { return Ok(None) };
        if let Some(sentence) = self.foreign(id, &program).await {
            return Err(RunError::failed(EndCode::ImagePlatformMismatch, Step::Running, sentence));
        }
        // The record is read only where its words can change the code: 1 is the most common exit code of a job that fails.
        let code_of_init = if exit_code == 1 && docker.dialect.has_own_init_code() {
            docker.dialect.init_exit_code(exit_code, &self.said(id).await)
        } else {
            exit_code
        };
        if !matches!(code_of_init, 126 | 127) {
            return Ok(None);
        }
        let looked = Looked { docker, id, program: &program };
        if let Ok(Some(why)) = looked.not_run(code_of_init).await {
            let code = if code_of_init == 126 { EndCode::CommandNotExecutable } else { EndCode::CommandNotFound };
            return Err(RunError::failed(code, Step::Running, why + &self.words_of_init(id).await));
        }
        let note = why_not_run(&looked, exit_code).await.unwrap_or_default();
        if let Some(note) = &note {
            job.log.error(Step::Running, note).await;
        }
        Ok(note)
    }

    /// A sentence, if the program is made for another platform. An engine may emulate other platforms, so the image alone proves nothing:
    /// the kernel must have refused the program. A job that only prints the kernel's message harms only itself, because this failure is
    /// not cached.
    async fn foreign(&self, id: &str, program: &Program) -> Option<String> {
        let said = self.said(id).await.to_ascii_lowercase();
        // When the kernel refuses a program, an init runs it with a shell. If the image has no shell, only the init's own message remains.
        let by_init = INITS.iter().any(|(start, words)| said.contains(start) && said.contains(words));
        if !said.contains(FOREIGN) && !by_init {
            return None;
        }
        let image = self.docker.image_platform(&program.image).await.ok()?;
        let own = &self.docker.platform;
        let is_other = |platform: &str| !platform.is_empty() && !own.is_empty() && platform != own;
        let of_file = machine_of(&self.docker, id, program).await.filter(|platform| is_other(platform));
        if of_file.is_none() && !said.contains(FOREIGN) {
            return None;
        }
        let of_file = of_file.filter(|_| !is_other(&image));
        let (made_for, what) = match of_file {
            Some(platform) => (platform, "the image's program"),
            None if is_other(&image) => (image, "the image"),
            None => return None,
        };
        Some(format!(
            "{what} is made for {made_for}, but this worker runs {own}; give an image for {own}, or run the job on a worker for {made_for}"
        ))
    }

    /// The message of the engine's init about the program that it could not run.
    async fn words_of_init(&self, id: &str) -> String {
        let said = self.said(id).await;
        let line = said.lines().find(|line| INITS.iter().any(|(start, _)| line.to_ascii_lowercase().starts_with(start)));
        line.map(|line| format!("; the engine says: {}", line.trim_end())).unwrap_or_default()
    }

    /// The beginning of a container's output.
    async fn said(&self, id: &str) -> String {
        let mut text = Vec::new();
        let mut frames = self.docker.recorded(id, false);
        while let Some(Ok(frame)) = frames.next().await {
            text.extend_from_slice(&frame.bytes);
            if text.len() > RECORD_BYTES_MAX {
                break;
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The platform of a container's program, from its first bytes.
async fn machine_of(docker: &Docker, id: &str, program: &Program) -> Option<String> {
    let word = program.words.first()?;
    for path in places(program, word) {
        if let Ok(Some(head)) = docker.head(id, &path).await {
            return elf_platform(&head.bytes);
        }
    }
    None
}

/// The platform in the header of an ELF file.
fn elf_platform(bytes: &[u8]) -> Option<String> {
    let machine = bytes.starts_with(b"\x7fELF").then(|| bytes.get(18..20)).flatten()?;
    let machine = if bytes.get(5) == Some(&2) {
        u16::from_be_bytes([machine[0], machine[1]])
    } else {
        u16::from_le_bytes([machine[0], machine[1]])
    };
    let name = match machine {
        3 => "386",
        8 => "mips",
        21 => "ppc64le",
        22 => "s390x",
        40 => "arm",
        62 => "amd64",
        183 => "arm64",
        243 => "riscv64",
        258 => "loong64",
        _ => return None,
    };
    Some(format!("linux/{name}"))
}

/// A container whose files are checked.
struct Looked<'a> {
    docker: &'a Docker,
    id: &'a str,
    program: &'a Program,
}

impl Looked<'_> {
    /// Why the container's own program was not run, if its file or a missing file proves that.
    async fn not_run(&self, exit_code: i64) -> Result<Option<String>, Fault> {
        let Some(first) = self.program.words.first() else { return Ok(None) };
        // A path means one file. A name means a file in any folder of PATH.
        let n_places = if first.contains('/') { 1 } else { usize::MAX };
        for path in places(self.program, first).iter().take(n_places) {
            match self.docker.head(self.id, path).await? {
                Some(head) if head.is_file => return defect(self, exit_code, path, &head).await,
                Some(_) if exit_code == 126 => return Ok(Some(format!("{path} is a folder; give a program that is in it"))),
                _ => {}
            }
        }
        let sentence = format!("the image has no program {first:?}; check its name, and that the image contains it");
        Ok((exit_code == 127).then_some(sentence))
    }

    /// Whether the image has a program of this name.
    async fn has(&self, name: &str) -> Result<bool, Fault> {
        for place in places(self.program, name) {
            if self.docker.head(self.id, &place).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Checks the files that a shell was told to run.
async fn why_not_run(looked: &Looked<'_>, exit_code: i64) -> Result<Option<String>, Fault> {
    let is_between = |c: char| c.is_whitespace() || ";&|()'\"`<>".contains(c);
    let words = looked.program.words.iter().skip(1).flat_map(|word| word.split(is_between));
    let words = words.filter(|word| word.contains('/') && !word.starts_with('-') && !word.contains("//"));
    for path in words.take(FILES_MAX).flat_map(|word| places(looked.program, word)) {
        let Some(head) = looked.docker.head(looked.id, &path).await? else { continue };
        if head.is_file
            && let Some(defect) = defect(looked, exit_code, &path, &head).await?
        {
            return Ok(Some(defect));
        }
    }
    Ok(None)
}

/// Why a file cannot be run, if the reason matches the exit code: 126 means that the file is not executable, 127 that something is missing.
async fn defect(looked: &Looked<'_>, exit_code: i64, path: &str, head: &Head) -> Result<Option<String>, Fault> {
    if exit_code == 126 {
        // `chmod` does not help for an input: the worker sets its mode, and the job cannot change it.
        let other = if path.starts_with("/inputs/") { "" } else { ", or run `chmod +x` on it first" };
        let sentence = format!("{path} is not executable; run it as `sh {path}`{other}");
        return Ok((!head.is_executable).then_some(sentence));
    }
    let Some(line) = head.bytes.strip_prefix(b"#!").map(|rest| rest.split(|b| *b == b'\n').next().unwrap_or_default()) else {
        return Ok(None);
    };
    let line = String::from_utf8_lossy(line).into_owned();
    if line.ends_with('\r') {
        return Ok(Some(format!(
            "{path} has Windows line ends (CRLF), so the name of its interpreter {:?} ends with a carriage return; save it \
             with Unix line ends (LF)",
            line.trim()
        )));
    }
    let mut words = line.split_whitespace();
    let Some(interpreter) = words.next() else { return Ok(None) };
    let mut missing = (!looked.has(interpreter).await?).then_some(interpreter);
    if missing.is_none() && interpreter.ends_with("/env") {
        // `env` looks for its program in PATH.
        let asked = words.find(|word| !word.starts_with('-') && !word.contains('='));
        missing = match asked {
            Some(asked) if !looked.has(asked).await? => Some(asked),
            _ => None,
        };
    }
    Ok(missing.map(|name| format!("{path} needs the interpreter {name}, which the image does not have; add it to the image")))
}

/// The paths at which a program of this name may be.
fn places(program: &Program, word: &str) -> Vec<String> {
    if word.starts_with('/') {
        return vec![word.to_owned()];
    }
    if word.contains('/') {
        let relative = word.trim_start_matches("./");
        // The shell may have changed its working folder to `/inputs`.
        return ["/inputs", &program.workdir]
            .iter()
            .rev()
            .map(|folder| format!("{}/{relative}", folder.trim_end_matches('/')))
            .collect();
    }
    let path = program.env.iter().find_map(|line| line.strip_prefix("PATH=")).unwrap_or(PATH_DEFAULT);
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| format!("{}/{word}", folder.trim_end_matches('/')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_elf_header_names_its_platform() {
        let header = |order: u8, machine: [u8; 2]| [&b"\x7fELF\x02"[..], &[order], &[0; 12], &machine].concat();
        assert_eq!(elf_platform(&header(1, [183, 0])), Some("linux/arm64".to_owned()));
        assert_eq!(elf_platform(&header(2, [0, 22])), Some("linux/s390x".to_owned()));
        assert_eq!(elf_platform(b"#!/bin/sh"), None);
    }

    #[test]
    fn a_name_is_looked_for_where_a_shell_would() {
        let program = Program { workdir: "/work".to_owned(), env: vec!["PATH=/a:/b/".to_owned()], ..Program::default() };
        assert_eq!(places(&program, "x"), ["/a/x", "/b/x"]);
        assert_eq!(places(&program, "./x"), ["/work/x", "/inputs/x"]);
        assert_eq!(places(&program, "/x"), ["/x"]);
    }
}
