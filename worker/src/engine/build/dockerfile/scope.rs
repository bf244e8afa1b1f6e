//! The values of `ARG` and `ENV` for the text of here-documents, stage by stage.
//!
//! Variables that only a base image sets are unknown here and count as empty, except `PATH`.

use std::collections::HashMap;

use super::lines::words;
use super::platform::Platforms;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A text is not expanded further when it has more bytes than this. Values may contain other values, so they could grow very large.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The values at one instruction.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    values: HashMap<String, String>,
    /// The shell for commands in shell form.
    pub(super) shell: Vec<String>,
}

impl Default for Scope {
    fn default() -> Self {
        let values = HashMap::from([("PATH".to_owned(), PATH.to_owned())]);
        Self { values, shell: vec!["/bin/sh".to_owned(), "-c".to_owned()] }
    }
}

impl Scope {
    pub(super) fn value(&self, name: &str) -> Option<&String> {
        self.values.get(name)
    }

    pub(super) fn note_args(&mut self, rest: &str, given: &HashMap<String, String>, outer: &Self, platforms: &Platforms) {
        for word in words(rest, '\\') {
            let (name, default) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let default = default.map(|value| self.expand(&bare(value)));
            let inherited = || outer.value(name).cloned().or_else(|| platforms.value(name));
            if let Some(value) = given.get(name).cloned().or(default).or_else(inherited) {
                self.values.insert(name.to_owned(), value);
            }
        }
    }

    pub(super) fn note_env(&mut self, rest: &str) {
        let all = words(rest, '\\');
        let pairs: Vec<(String, String)> = match all.first() {
            Some(first) if !first.contains('=') => {
                let value = rest.trim_start().get(first.len()..).unwrap_or_default().trim();
                vec![((*first).to_owned(), self.expand(&bare(value)))]
            }
            _ => all
                .iter()
                .filter_map(|word| word.split_once('='))
                .map(|(name, value)| (name.to_owned(), self.expand(&bare(value))))
                .collect(),
        };
        self.values.extend(pairs);
    }

    /// A text with the values of `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}`; `\$` is a `$`.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['$', '\\']) {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if rest.as_bytes()[at] == b'\\' {
                let taken = after.chars().next().filter(|c| matches!(c, '$' | '\\' | '`'));
                out.push(taken.unwrap_or('\\'));
                rest = &after[taken.map_or(0, char::len_utf8)..];
                continue;
            }
            let (value, behind) = self.variable(after);
            out.push_str(&value);
            rest = behind;
            if out.len() > VALUE_BYTES_MAX {
                break;
            }
        }
        out.push_str(rest);
        out
    }

    /// The value of the variable after a `$`, and the text after it.
    fn variable<'a>(&self, after: &'a str) -> (String, &'a str) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if let Some((inner, behind)) = after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            let (name, operator) = inner.split_at(inner.find(|c| !is_name(c)).unwrap_or(inner.len()));
            let value = self.values.get(name).filter(|value| !operator.starts_with(':') || !value.is_empty());
            let word = operator.trim_start_matches(':');
            return match (value, word.chars().next()) {
                (None, Some('-')) | (Some(_), Some('+')) => (self.expand(&word[1..]), behind),
                (None, _) | (Some(_), Some('?')) if word.is_empty() || value.is_none() => (String::new(), behind),
                (value, _) => (value.cloned().unwrap_or_default(), behind),
            };
        }
        let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
        match end {
            0 => ("$".to_owned(), after),
            _ => (self.values.get(&after[..end]).cloned().unwrap_or_default(), &after[end..]),
        }
    }
}

/// A value without its quotes.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '"' | '\'')).collect()
}
