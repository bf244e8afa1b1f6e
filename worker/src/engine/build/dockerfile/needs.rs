//! Finds the features of an instruction that only `BuildKit` has.

use super::lines::{Instruction, words};
use super::{InvalidDockerfile, Need};

/// The features of one instruction that only `BuildKit` has. Fails for a flag that is refused with every builder.
pub(super) fn needs_of(instruction: &Instruction) -> Result<Vec<Need>, InvalidDockerfile> {
    let (keyword, flags) = effective(instruction);
    let mut needs = Vec::new();
    for flag in flags {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let is_forbidden = matches!((name, value.trim_matches('"')), ("--network", "host") | ("--security", "insecure"));
        if keyword == "RUN" && is_forbidden {
            return Err(InvalidDockerfile::Forbidden { line: instruction.line, flag: format!("RUN {flag}") });
        }
        if !is_plain(&keyword, name, instruction) {
            needs.push(Need { line: instruction.line, what: format!("{keyword} {name}") });
        }
    }
    Ok(needs)
}

/// The keyword and flags to check. For `ONBUILD` they are those of the instruction in it, which runs in another image's build.
fn effective(instruction: &Instruction) -> (String, Vec<&str>) {
    let (keyword, flags): (&str, Vec<&str>) = match instruction.keyword.as_str() {
        "ONBUILD" => {
            let mut words = instruction.rest.split_whitespace();
            let inner = words.next().unwrap_or_default();
            (inner, words.take_while(|word| word.starts_with("--")).collect())
        }
        keyword => (keyword, instruction.flags.iter().map(String::as_str).collect()),
    };
    (keyword.to_ascii_uppercase(), flags)
}

/// Whether every builder can run the rewritten instruction: it knows the flag, or the rewriting removes the flag.
fn is_plain(keyword: &str, flag: &str, instruction: &Instruction) -> bool {
    match (keyword, flag) {
        ("COPY" | "ADD", "--chmod") => {
            let is_heredocs = words(&instruction.rest, '\\').len() == instruction.heredocs.len() + 1;
            is_heredocs && !instruction.heredocs.is_empty()
        }
        ("COPY", "--from") | ("COPY" | "ADD", "--chown" | "--link") | ("FROM", "--platform") => true,
        ("RUN" | "COPY" | "ADD", _) => false,
        _ => true,
    }
}
