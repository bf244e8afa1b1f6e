//! Rewrites a Dockerfile so that every builder of the engine can read it.

use std::collections::HashMap;

use super::lines::{Heredoc, Instruction, Piece, pieces, words};
use super::needs::needs_of;
use super::platform::Platforms;
use super::scope::Scope;
use super::{InvalidDockerfile, Need};

/// Most files of here-documents.
const FILES_MAX: usize = 200;
/// Names of Docker's own frontend, in every version.
const FRONTENDS: [&str; 4] =
    ["docker/dockerfile", "docker.io/docker/dockerfile", "docker/dockerfile-upstream", "docker.io/docker/dockerfile-upstream"];
/// Delimiter of a script inside another one.
const SCRIPT_END: &str = "ASMAN_END_OF_SCRIPT";

/// A Dockerfile that can be built.
#[derive(Debug, Default)]
pub(in crate::engine::build) struct Lowered {
    pub(in crate::engine::build) text: String,
    /// Files for `COPY --from=<files>`. Empty when no here-document is copied.
    pub(in crate::engine::build) files: Vec<File>,
    /// The instructions that only `BuildKit` can run, in order.
    pub(in crate::engine::build) needs: Vec<Need>,
    /// Names of stages.
    pub(in crate::engine::build) stages: Vec<String>,
    pub(in crate::engine::build) n_stages: usize,
    /// Declared arguments about platforms, with their values.
    pub(in crate::engine::build) platform_args: HashMap<String, String>,
    /// Whether the text differs from the original.
    pub(in crate::engine::build) is_changed: bool,
}

/// A here-document that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine::build) struct File {
    /// Path in the image with the here-documents, without a leading `/`.
    pub(in crate::engine::build) path: String,
    pub(in crate::engine::build) mode: u32,
    pub(in crate::engine::build) content: String,
}

/// Rewrites a Dockerfile. `files` is the name of the image that will contain its here-documents.
pub(in crate::engine::build) fn lower(
    text: &str,
    args: &HashMap<String, String>,
    platforms: &Platforms,
    files: &str,
) -> Result<Lowered, InvalidDockerfile> {
    let mut lowering = Lowering::new(args, platforms, files);
    let mut lines = Vec::new();
    let mut is_head = true;
    for piece in pieces(text)? {
        match piece {
            Piece::Other(line, written) => lines.push(if is_head { lowering.directive(line, written)? } else { written }),
            Piece::Instruction(instruction) => {
                is_head = false;
                let n_lines = instruction.written.len();
                let mut new = lowering.take(instruction)?;
                new.resize_with(n_lines.max(new.len()), String::new);
                lines.append(&mut new);
            }
        }
    }
    // Builders read a directive only at the top of the file, and `# syntax=` has become a comment. So the escape directive moves to line 1.
    if let Some(at) = lines.iter().take_while(|line| line.trim_start().starts_with('#')).position(|line| is_escape(line)) {
        lines.swap(0, at);
    }
    let mut out = lowering.out;
    out.text = lines.join("\n") + "\n";
    Ok(out)
}

fn is_escape(line: &str) -> bool {
    directive_of(line).is_some_and(|(key, _)| key == "escape")
}

fn directive_of(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let key = key.trim().to_ascii_lowercase();
    (!key.contains(char::is_whitespace)).then(|| (key, value.trim()))
}

struct Lowering<'a> {
    args: &'a HashMap<String, String>,
    platforms: &'a Platforms,
    files: &'a str,
    /// Values before the first stage.
    outer: Scope,
    here: Scope,
    /// Values of earlier stages.
    stages: HashMap<String, Scope>,
    name: Option<String>,
    out: Lowered,
}

impl<'a> Lowering<'a> {
    fn new(args: &'a HashMap<String, String>, platforms: &'a Platforms, files: &'a str) -> Self {
        let (outer, here) = (Scope::default(), Scope::default());
        Self { args, platforms, files, outer, here, stages: HashMap::new(), name: None, out: Lowered::default() }
    }

    fn directive(&mut self, line: usize, written: String) -> Result<String, InvalidDockerfile> {
        let Some((_, value)) = directive_of(&written).filter(|(key, _)| key == "syntax") else { return Ok(written) };
        let name = value.split(['@']).next().unwrap_or(value);
        let name = name.rsplit_once(':').map_or(name, |(name, tag)| if tag.contains('/') { value } else { name });
        if !FRONTENDS.contains(&name) {
            return Err(InvalidDockerfile::Syntax { line, name: value.chars().take(80).collect() });
        }
        self.out.is_changed = true;
        Ok("#".to_owned())
    }

    /// The rewritten lines of an instruction.
    fn take(&mut self, instruction: Instruction) -> Result<Vec<String>, InvalidDockerfile> {
        self.out.needs.extend(needs_of(&instruction)?);
        match instruction.keyword.as_str() {
            "FROM" => Ok(self.from(&instruction)),
            "ARG" => {
                self.arg(&instruction);
                Ok(instruction.written)
            }
            "ENV" => {
                self.here.note_env(&instruction.rest);
                Ok(instruction.written)
            }
            "SHELL" => {
                self.here.shell = serde_json::from_str(&instruction.rest).unwrap_or_else(|_| self.here.shell.clone());
                Ok(instruction.written)
            }
            "RUN" if !instruction.heredocs.is_empty() => Ok(vec![self.run(&instruction)]),
            "COPY" | "ADD" => self.copy(&instruction),
            _ => Ok(instruction.written),
        }
    }

    fn from(&mut self, instruction: &Instruction) -> Vec<String> {
        if let Some(name) = self.name.take() {
            self.stages.insert(name, self.here.clone());
        }
        let mut rest = instruction.rest.split_whitespace();
        let image = self.with_platforms(rest.next().unwrap_or_default());
        self.here = self.stages.get(&image.to_lowercase()).cloned().unwrap_or_default();
        self.out.n_stages += 1;
        if rest.next().is_some_and(|word| word.eq_ignore_ascii_case("as")) {
            self.name = rest.next().map(str::to_lowercase);
            self.out.stages.extend(self.name.clone());
        }
        let kept = |flag: &String| flag.strip_prefix("--platform=").is_none_or(|platform| !self.platforms.is_target(platform));
        let flags: Vec<_> = instruction.flags.iter().map(|flag| self.with_platforms(flag)).filter(kept).collect();
        let line = line_of("FROM", &flags, &self.with_platforms(&instruction.rest));
        self.or_written(line, instruction)
    }

    /// Replaces platform variables, which only `BuildKit` knows without an `ARG`.
    fn with_platforms(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for name in
            ["PLATFORM", "OS", "ARCH", "VARIANT"].iter().flat_map(|part| [format!("TARGET{part}"), format!("BUILD{part}")])
        {
            let value = self.args.get(&name).or(self.outer.value(&name)).cloned().or_else(|| self.platforms.value(&name));
            let value = value.unwrap_or_default();
            text = text.replace(&format!("${{{name}}}"), &value);
            while let Some(at) = find_variable(&text, &name) {
                text.replace_range(at..=at + name.len(), &value);
            }
        }
        text
    }

    fn arg(&mut self, instruction: &Instruction) {
        for word in words(&instruction.rest, '\\') {
            let name = word.split('=').next().unwrap_or(word);
            if let Some(value) = self.platforms.value(name).filter(|_| name == word && !self.args.contains_key(name)) {
                self.out.platform_args.insert(name.to_owned(), value);
            }
        }
        if self.out.n_stages == 0 {
            let none = Scope::default();
            self.outer.note_args(&instruction.rest, self.args, &none, self.platforms);
        } else {
            self.here.note_args(&instruction.rest, self.args, &self.outer, self.platforms);
        }
    }

    /// Rewrites `RUN` to the command that `BuildKit` would run.
    fn run(&mut self, instruction: &Instruction) -> String {
        let (first, words) = (&instruction.heredocs[0], words(&instruction.rest, '\\'));
        let is_whole = words == [first.word.as_str()];
        let script = match first.content() {
            content if is_whole && content.starts_with("#!") => script_of(&content, instruction.line),
            content if is_whole => content,
            _ => {
                let bodies = instruction.heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.text, heredoc.name));
                bodies.fold(instruction.rest.clone(), |all, body| all + &body)
            }
        };
        self.out.is_changed = true;
        let mut command = self.here.shell.clone();
        command.push(script);
        line_of("RUN", &instruction.flags, &serde_json::json!(command).to_string())
    }

    fn copy(&mut self, instruction: &Instruction) -> Result<Vec<String>, InvalidDockerfile> {
        let mut flags = instruction.flags.clone();
        flags.retain(|flag| flag != "--link" && !flag.starts_with("--link="));
        if instruction.heredocs.is_empty() {
            let line = line_of(&instruction.keyword, &flags, &instruction.rest);
            return Ok(self.or_written(line, instruction));
        }
        let place = InvalidDockerfile::Place { line: instruction.line };
        if flags.iter().any(|flag| flag.starts_with("--from=")) {
            return Err(place);
        }
        let all = words(&instruction.rest, '\\');
        let Some((target, sources)) = all.split_last() else { return Err(place) };
        let is_heredoc = |word: &&str| instruction.heredocs.iter().any(|heredoc| heredoc.word == **word);
        if is_heredoc(target) {
            return Err(place);
        }
        let mode = flags.iter().find_map(|flag| u32::from_str_radix(flag.strip_prefix("--chmod=")?, 8).ok());
        let mut own = flags.clone();
        own.retain(|flag| !flag.starts_with("--chmod="));
        own.insert(0, format!("--from={}", self.files));
        let paths = self.keep(&instruction.heredocs, mode.unwrap_or(0o644))?;
        let mut lines = vec![line_of("COPY", &own, &format!("{} {target}", paths.join(" ")))];
        let others: Vec<_> = sources.iter().filter(|word| !is_heredoc(word)).copied().collect();
        if !others.is_empty() {
            lines.push(line_of(&instruction.keyword, &flags, &format!("{} {target}", others.join(" "))));
        }
        self.out.is_changed = true;
        Ok(lines)
    }

    /// Adds here-documents to the files of the image that will contain them. Returns their paths in it.
    fn keep(&mut self, heredocs: &[Heredoc], mode: u32) -> Result<Vec<String>, InvalidDockerfile> {
        let mut paths = Vec::new();
        for heredoc in heredocs {
            let content = heredoc.content();
            let content = if heredoc.expands { self.here.expand(&content) } else { content };
            let name: String = heredoc.name.chars().map(|c| if c == '/' { '_' } else { c }).collect();
            let path = format!("{}/{name}", self.out.files.len());
            paths.push(format!("/{path}"));
            self.out.files.push(File { path, mode, content });
        }
        if self.out.files.len() > FILES_MAX { Err(InvalidDockerfile::TooMany(FILES_MAX)) } else { Ok(paths) }
    }

    fn or_written(&mut self, line: String, instruction: &Instruction) -> Vec<String> {
        if line == line_of(&instruction.keyword, &instruction.flags, &instruction.rest) {
            return instruction.written.clone();
        }
        self.out.is_changed = true;
        vec![line]
    }
}

fn line_of(keyword: &str, flags: &[String], rest: &str) -> String {
    [keyword].into_iter().chain(flags.iter().map(String::as_str)).chain([rest]).collect::<Vec<_>>().join(" ")
}

/// The position of `$NAME`, but not of a longer name.
fn find_variable(text: &str, name: &str) -> Option<usize> {
    let needle = format!("${name}");
    let is_end = |at: usize| text[at + needle.len()..].chars().next().is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
    text.match_indices(&needle).map(|(at, _)| at).find(|at| is_end(*at))
}

/// A command that runs a script with the program that the first line of the script names.
fn script_of(content: &str, line: usize) -> String {
    let file = format!("/tmp/.asman-line-{line}");
    let end = if content.ends_with('\n') { "" } else { "\n" };
    format!(
        "mkdir -p /tmp && cat > {file} <<'{SCRIPT_END}' && chmod 755 {file} || exit 1\n{content}{end}{SCRIPT_END}\n{file}\nstatus=$?\nrm -f {file}\nexit $status\n"
    )
}
