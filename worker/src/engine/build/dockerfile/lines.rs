//! Parses the lines of a Dockerfile into instructions, as `BuildKit` does: directives, comments, joined lines, flags, here-documents.

use super::InvalidDockerfile;
use crate::engine::build::bases::escape_of;

/// Instructions whose words may be here-documents.
const WITH_HEREDOCS: [&str; 3] = ["RUN", "COPY", "ADD"];

/// One instruction.
#[derive(Debug, Default)]
pub(super) struct Instruction {
    /// Number of its first line in the file, from 1.
    pub(super) line: usize,
    /// The lines as written, with the bodies of here-documents.
    pub(super) written: Vec<String>,
    /// Keyword in capital letters.
    pub(super) keyword: String,
    /// Flags such as `--from=a`.
    pub(super) flags: Vec<String>,
    /// The rest of the instruction, on one line.
    pub(super) rest: String,
    pub(super) heredocs: Vec<Heredoc>,
}

/// A here-document: a text below an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heredoc {
    /// Its word in the instruction, such as `<<-"EOF"`.
    pub(super) word: String,
    pub(super) name: String,
    /// Whether variables in it are replaced: its name has no quotes.
    pub(super) expands: bool,
    /// Whether tabs at the start of lines are removed: its word begins with `<<-`.
    pub(super) chomps: bool,
    /// The text as written.
    pub(super) text: String,
}

impl Heredoc {
    /// The text without the removed tabs.
    pub(super) fn content(&self) -> String {
        if !self.chomps {
            return self.text.clone();
        }
        self.text.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// A part of the file.
#[derive(Debug)]
pub(super) enum Piece {
    Instruction(Instruction),
    /// A comment or an empty line, with its number.
    Other(usize, String),
}

/// All parts of a text in order.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, InvalidDockerfile> {
    let lines: Vec<&str> = text.lines().collect();
    let escape = escape_of(text);
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < lines.len() {
        if is_other(lines[at]) {
            pieces.push(Piece::Other(at + 1, lines[at].to_owned()));
            at += 1;
            continue;
        }
        let first = at;
        let joined = join(&lines, &mut at, escape);
        let mut instruction = split(first + 1, &joined);
        if WITH_HEREDOCS.contains(&instruction.keyword.as_str()) {
            for word in words(&instruction.rest, escape) {
                let Some(mut heredoc) = heredoc_of(word) else { continue };
                heredoc.text = body(&lines, &mut at, &heredoc, first + 1)?;
                instruction.heredocs.push(heredoc);
            }
        }
        instruction.written = lines[first..at].iter().map(|line| (*line).to_owned()).collect();
        pieces.push(Piece::Instruction(instruction));
    }
    Ok(pieces)
}

fn is_other(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// The instruction that begins at a line, joined into one line.
fn join(lines: &[&str], at: &mut usize, escape: char) -> String {
    let mut joined = String::new();
    while let Some(line) = lines.get(*at) {
        *at += 1;
        if !joined.is_empty() && is_other(line) {
            continue;
        }
        let line = if joined.is_empty() { line.trim_start() } else { line };
        let bare = line.trim_end_matches([' ', '\t']);
        let Some(begun) = bare.strip_suffix(escape).filter(|begun| !begun.ends_with(escape)) else {
            joined.push_str(line);
            break;
        };
        joined.push_str(begun);
    }
    joined
}

fn split(line: usize, joined: &str) -> Instruction {
    let word = |text: &str| text.find(char::is_whitespace).unwrap_or(text.len());
    let joined = joined.trim();
    let (keyword, mut rest) = joined.split_at(word(joined));
    let mut flags = Vec::new();
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            break;
        }
        let (flag, behind) = rest.split_at(word(rest));
        flags.push(flag.to_owned());
        rest = behind;
    }
    Instruction { line, keyword: keyword.to_ascii_uppercase(), flags, rest: rest.to_owned(), ..Instruction::default() }
}

/// Words of a command, with their quotes.
pub(super) fn words(text: &str, escape: char) -> Vec<&str> {
    let (mut words, mut start, mut quote, mut is_escaped) = (Vec::new(), None, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (None | Some('"'), c) if c == escape => is_escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => {
                words.extend(start.take().map(|start| &text[start..at]));
                continue;
            }
            _ => (),
        }
        start.get_or_insert(at);
    }
    words.extend(start.map(|start| &text[start..]));
    words
}

/// Parses a word such as `<<NAME`, `<<-NAME` or `3<<"NAME"`. None when it is not the word of a here-document.
pub(super) fn heredoc_of(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, chomps) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    let name: String = rest.chars().filter(|c| !matches!(c, '"' | '\'' | '\\')).collect();
    if name.is_empty() || rest.contains('<') {
        return None;
    }
    let expands = name.len() == rest.len();
    Some(Heredoc { word: word.to_owned(), name, expands, chomps, text: String::new() })
}

fn body(lines: &[&str], at: &mut usize, heredoc: &Heredoc, line: usize) -> Result<String, InvalidDockerfile> {
    let mut text = String::new();
    while let Some(next) = lines.get(*at) {
        *at += 1;
        let bare = if heredoc.chomps { next.trim_start_matches('\t') } else { next };
        if bare == heredoc.name {
            return Ok(text);
        }
        text.push_str(next);
        text.push('\n');
    }
    Err(InvalidDockerfile::NoEnd { line, name: heredoc.name.clone() })
}
