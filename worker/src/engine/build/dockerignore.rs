//! `.dockerignore`: which files of a context are not sent to the engine.
//!
//! It supports what Docker documents: one pattern per line, `#` comments, `*`, `?`, `[…]`, `**` across folders, `\` before a plain character,
//! a leading `/` without meaning, and `!` for exceptions. The last matching pattern decides. A pattern that matches a folder matches
//! everything in it. Bounds: [`BYTES_MAX`] and [`PATTERNS_MAX`].

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Most bytes of the file.
pub(super) const BYTES_MAX: usize = 64 * 1024;
const PATTERNS_MAX: usize = 1_000;

/// Why a `.dockerignore` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidIgnore {
    /// It is too large.
    #[error(".dockerignore is larger than {} KiB or has more than {PATTERNS_MAX} patterns", BYTES_MAX / 1024)]
    TooLarge,
    /// A pattern is invalid, such as `[` without its end.
    #[error(".dockerignore has an invalid pattern: {0:?}")]
    Pattern(String),
}

/// A parsed `.dockerignore`. An empty one ignores nothing.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: GlobSet,
    /// For each pattern in order, whether it is an exception.
    is_exception: Vec<bool>,
}

impl Ignore {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, InvalidIgnore> {
        if bytes.len() > BYTES_MAX {
            return Err(InvalidIgnore::TooLarge);
        }
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}');
        let (mut patterns, mut is_exception) = (GlobSetBuilder::new(), Vec::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (is_exempt, pattern) = match line.trim().strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line.trim()),
            };
            let Some(pattern) = clean(pattern) else { continue };
            let refuse = |_| InvalidIgnore::Pattern(line.chars().take(60).collect());
            patterns.add(GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build().map_err(refuse)?);
            is_exception.push(is_exempt);
            if is_exception.len() > PATTERNS_MAX {
                return Err(InvalidIgnore::TooLarge);
            }
        }
        let patterns = patterns.build().map_err(|_| InvalidIgnore::TooLarge)?;
        Ok(Self { patterns, is_exception })
    }

    /// Whether a path of the context is not sent.
    pub(super) fn ignores(&self, path: &str) -> bool {
        let mut last = None;
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        for part in above.chain([path]) {
            last = last.max(self.patterns.matches(part).into_iter().max());
        }
        last.is_some_and(|at| !self.is_exception[at])
    }
}

/// Removes what has no meaning in a pattern: `/` at its ends, `.` segments, `x/..`. Escapes braces, which are plain characters for Docker.
fn clean(pattern: &str) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in pattern.split('/') {
        match segment {
            "" | "." => (),
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let cleaned = segments.join("/").replace('{', "[{]").replace('}', "[}]");
    (!cleaned.is_empty()).then_some(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, ignored: &[&str], kept: &[&str]) {
        let ignore = Ignore::read(file.as_bytes()).unwrap();
        for path in ignored {
            assert!(ignore.ignores(path), "{path} by {file:?}");
        }
        for path in kept {
            assert!(!ignore.ignores(path), "{path} by {file:?}");
        }
    }

    #[test]
    fn patterns_mean_what_docker_says() {
        check("", &[], &["a", "a/b"]);
        check("# c\n\n/a/\n", &["a", "a/b/c"], &["b/a", "ab"]);
        check("*.md\n!README.md", &["x.md"], &["README.md", "a/x.md"]);
        check("**/*.pyc\n**/node_modules", &["x.pyc", "a/b/x.pyc", "node_modules/a", "a/node_modules/b"], &["x.py"]);
        check("*/temp*\n*/*/temp*\ntemp?", &["a/temp.txt", "a/b/temp", "tempa"], &["temp", "a/b/c/temp"]);
        check("a/**\n!a/b/keep", &["a/x", "a/b/x"], &["a", "a/b/keep"]);
        check("*\n!src\n!Dockerfile", &["x", "y/z"], &["src/a/b", "Dockerfile"]);
        check("!a\na", &["a"], &[]);
        check("{a,b}\n[x-z]?", &["{a,b}", "xa"], &["a", "b", "wa"]);
        check("./a/../b", &["b"], &["a"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert_eq!(Ignore::read(b"ok\n[a").unwrap_err(), InvalidIgnore::Pattern("[a".to_owned()));
        assert_eq!(Ignore::read(&vec![b'#'; BYTES_MAX + 1]).unwrap_err(), InvalidIgnore::TooLarge);
        assert_eq!(Ignore::read("a\n".repeat(PATTERNS_MAX + 1).as_bytes()).unwrap_err(), InvalidIgnore::TooLarge);
    }
}
