//! Finds what a Dockerfile makes the engine fetch: base images, images to copy from, and files from URLs.
//!
//! This is only for builds of strangers, and it is strict: it refuses everything that it does not understand, because the engine may
//! understand it. It also checks every physical line, not only the joined lines.
//!
//! It cannot see the `ONBUILD` instructions of a base image, which the engine runs too.

use std::collections::HashMap;

use crate::engine::images::ImageReference;

/// Why a Dockerfile of a stranger is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnclearBase {
    #[error(
        "this worker serves strangers and cannot tell what {0:?} stands for in its Dockerfile; write the image's name without \
         quotes, escapes and variables that have no value"
    )]
    Image(String),
    #[error("this worker serves strangers and does not fetch URLs for ADD; use a build context, or fetch the file in a RUN step")]
    Url,
    #[error("this worker serves strangers and cannot read the Dockerfile; it must be a plain text file in UTF-8")]
    Unreadable,
}

/// The images that a Dockerfile names, without its own stages. `args` replace the values of its `ARG`s.
pub(super) fn images_of(text: &str, args: &HashMap<String, String>) -> Result<Vec<ImageReference>, UnclearBase> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader { args, values: HashMap::new(), stages: Vec::new(), images: Vec::new(), has_stage: false };
    for line in joined(text, escape_of(text)) {
        reader.take(&line)?;
    }
    // The engine might join lines differently, so the images in single lines are checked too.
    for line in text.lines() {
        let mut other =
            Reader { args, values: reader.values.clone(), stages: reader.stages.clone(), images: Vec::new(), has_stage: true };
        if other.take(line).is_ok() {
            reader.images.append(&mut other.images);
        }
    }
    Ok(reader.images)
}

/// The character that joins lines, from the directive at the top of the file.
pub(super) fn escape_of(text: &str) -> char {
    for line in text.lines() {
        let Some((key, value)) = line.trim().strip_prefix('#').and_then(|rest| rest.split_once('=')) else { break };
        if key.trim().eq_ignore_ascii_case("escape") {
            return value.trim().chars().next().unwrap_or('\\');
        }
    }
    '\\'
}

/// The instructions, each on one line, without comments and blank lines.
fn joined(text: &str, escape: char) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for piece in text.lines().map(str::trim).filter(|piece| !piece.is_empty() && !piece.starts_with('#')) {
        if let Some(begun) = piece.strip_suffix(escape) {
            line.push_str(begun);
            continue;
        }
        line.push_str(piece);
        lines.push(std::mem::take(&mut line));
    }
    lines.push(line);
    lines
}

struct Reader<'a> {
    args: &'a HashMap<String, String>,
    /// Values of the `ARG`s before the first stage.
    values: HashMap<String, String>,
    stages: Vec<String>,
    images: Vec<ImageReference>,
    has_stage: bool,
}

impl Reader<'_> {
    fn take(&mut self, line: &str) -> Result<(), UnclearBase> {
        let (word, rest) = split(line);
        match word.to_ascii_uppercase().as_str() {
            "ONBUILD" => self.take(rest),
            "ARG" if !self.has_stage => {
                self.note_args(rest);
                Ok(())
            }
            "FROM" => self.take_from(rest),
            "COPY" => self.take_copy(rest),
            "ADD" => check_add(rest).and_then(|()| self.take_copy(rest)),
            _ => Ok(()),
        }
    }

    fn note_args(&mut self, rest: &str) {
        for word in rest.split_whitespace() {
            let (name, default) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let bare = |text: &str| text.trim_matches('"').trim_matches('\'').to_owned();
            match self.args.get(name).cloned().or_else(|| default.map(bare)) {
                Some(value) => self.values.insert(name.to_owned(), value),
                None => self.values.remove(name),
            };
        }
    }

    fn take_from(&mut self, rest: &str) -> Result<(), UnclearBase> {
        self.has_stage = true;
        let mut words = rest.split_whitespace().skip_while(|word| word.starts_with("--"));
        let Some(name) = words.next() else { return Ok(()) };
        self.take_image(name)?;
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("as")) {
            self.stages.extend(words.next().map(str::to_lowercase));
        }
        Ok(())
    }

    fn take_copy(&mut self, rest: &str) -> Result<(), UnclearBase> {
        for word in rest.split_whitespace().take_while(|word| word.starts_with("--")) {
            if let Some(name) = word.strip_prefix("--from=") {
                self.take_image(name)?;
            } else if word.to_ascii_lowercase().contains("from") {
                return Err(unclear(word));
            }
        }
        Ok(())
    }

    fn take_image(&mut self, name: &str) -> Result<(), UnclearBase> {
        let written = self.expand(name).ok_or_else(|| unclear(name))?;
        // Names and numbers of stages have no slash. If the engine takes one for an image, it uses its default registry, which is allowed.
        let is_stage = self.stages.contains(&written.to_lowercase()) || written.bytes().all(|b| b.is_ascii_digit());
        if is_stage || written.eq_ignore_ascii_case("scratch") {
            return Ok(());
        }
        self.images.push(written.parse().map_err(|_| unclear(name))?);
        Ok(())
    }

    /// The text with the values of `$NAME` and `${NAME}`. None when a name has no value.
    fn expand(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, behind) = match after.strip_prefix('{') {
                Some(inner) => inner.split_once('}')?,
                None => after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())),
            };
            out.push_str(self.values.get(name)?);
            rest = behind;
        }
        out.push_str(rest);
        Some(out)
    }
}

fn unclear(name: &str) -> UnclearBase {
    UnclearBase::Image(name.chars().take(80).collect())
}

fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    line.split_once(char::is_whitespace).map_or((line, ""), |(word, rest)| (word, rest.trim_start()))
}

/// Refuses URLs, because the engine fetches them from its own network. Quotes and variables may hide a URL.
fn check_add(rest: &str) -> Result<(), UnclearBase> {
    let bare: String = rest.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
    let may_be_url = bare.contains("://") || bare.contains("git@") || bare.contains(['$', '\\', '`']);
    if may_be_url { Err(UnclearBase::Url) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, args: &[(&str, &str)]) -> Result<Vec<String>, UnclearBase> {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut images: Vec<_> = images_of(text, &args)?.iter().map(ToString::to_string).collect();
        images.sort();
        images.dedup();
        Ok(images)
    }

    #[test]
    fn every_image_that_the_engine_would_fetch_is_found() {
        for (text, found) in [
            ("FROM a", vec!["a:latest"]),
            (
                "\u{feff}# syntax=x\n\nfrom --platform=linux/amd64 a.b/c:1 AS base\nFROM base\nCOPY --from=base /a /b",
                vec!["a.b/c:1"],
            ),
            ("FROM a AS x\nCOPY --chown=1:1 --from=10.0.0.1/y /a /b\nCOPY --from=0 a b", vec!["10.0.0.1/y:latest", "a:latest"]),
            ("FROM a\nONBUILD COPY --from=localhost:5000/y a b", vec!["a:latest", "localhost:5000/y:latest"]),
            ("FROM \\\n# a comment\n\n  localhost/x", vec!["localhost/x:latest"]),
            ("# escape=`\nFROM `\nlocalhost/x", vec!["localhost/x:latest"]),
            ("FROM scratch\nRUN echo \\\nFROM localhost/x", vec!["localhost/x:latest"]),
            ("ARG R=localhost\nARG T=\"v1\"\nFROM ${R}/x:$T", vec!["localhost/x:v1"]),
        ] {
            assert_eq!(read(text, &[]).unwrap(), found, "{text}");
        }
        assert_eq!(read("ARG R=a.b\nFROM $R/x", &[("R", "localhost")]).unwrap(), ["localhost/x:latest"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "FROM \"localhost\"/x",
            "FROM loc\\alhost/x",
            "FROM [::1]:5000/x",
            "FROM ${R:-localhost}/x",
            "ARG R\nFROM $R/x",
            "FROM a\nARG R=localhost\nFROM $R/x",
            "FROM a\nCOPY --from=$X a b",
            "FROM a\nCOPY --\"from\"=localhost/x a b",
        ] {
            assert!(matches!(read(text, &[]), Err(UnclearBase::Image(_))), "{text}");
        }
        for text in [
            "ADD http://10.0.0.1/ /x",
            "add [\"ht\" \"tp://a/b\", \"/\"]",
            "ADD http:\\//a /x",
            "ADD $URL /",
            "ONBUILD ADD https://a/ /",
        ] {
            assert_eq!(read(&format!("FROM a\n{text}"), &[]), Err(UnclearBase::Url), "{text}");
        }
        assert!(read("FROM a\nADD file.tar /x", &[]).is_ok());
    }
}
