//! Writes `BuildKit`'s steps as lines. Its messages say which step begins, what its command writes and how it ends. Several steps run at a
//! time.
//!
//! Bounds: [`STEPS_MAX`] steps. A line is cut like the lines of the log.

use std::collections::HashMap;

use super::progress::{STEP_CHARS_MAX, cut};
use crate::engine::BuildStep;

const STEPS_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Traced {
    steps: HashMap<String, Step>,
    /// The failed step, else the step that began last.
    place: Option<String>,
    has_failed: bool,
}

#[derive(Debug, Default)]
struct Step {
    name: String,
    /// The unfinished line.
    unfinished: String,
}

impl Traced {
    /// The lines of a message.
    pub(super) fn lines(&mut self, step: BuildStep) -> Vec<String> {
        match step {
            BuildStep::Begun { id, name } => self.begin(id, &name, ""),
            BuildStep::Cached { id, name } => self.begin(id, &name, " (as built before)"),
            BuildStep::Output { id, text } => self.steps.get_mut(&id).map(|step| step.write(&text)).unwrap_or_default(),
            BuildStep::Ended { id, error } => self.ended(&id, error),
        }
    }

    /// The unfinished lines of all steps.
    pub(super) fn end(&mut self) -> Vec<String> {
        self.steps.values_mut().filter_map(Step::rest).collect()
    }

    pub(super) fn place(&self) -> Option<&String> {
        self.place.as_ref()
    }

    fn begin(&mut self, id: String, name: &str, how: &str) -> Vec<String> {
        if self.steps.contains_key(&id) || self.steps.len() >= STEPS_MAX {
            return Vec::new();
        }
        let name: String = name.chars().take(STEP_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let lines = if is_of_dockerfile(&name) { vec![format!("Step {name}{how}")] } else { Vec::new() };
        if !self.has_failed {
            self.place = place_of(&name).or(self.place.take());
        }
        self.steps.insert(id, Step { name, ..Step::default() });
        lines
    }

    fn ended(&mut self, id: &str, error: Option<String>) -> Vec<String> {
        let Some(step) = self.steps.get_mut(id) else { return Vec::new() };
        let mut lines: Vec<_> = step.rest().into_iter().collect();
        // When one step fails, `BuildKit` cancels the others, so an error that ends with "context canceled" is not the cause.
        if let Some(error) = error.filter(|error| !self.has_failed && !error.ends_with("context canceled")) {
            self.has_failed = true;
            lines.push(format!("{}: {error}", step.name));
            self.place = place_of(&step.name);
        }
        lines.iter().flat_map(|line| cut(line)).collect()
    }
}

impl Step {
    fn write(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        self.unfinished.push_str(text);
        while let Some(at) = self.unfinished.find('\n') {
            let line: String = self.unfinished.drain(..=at).collect();
            lines.extend(shown(&line));
        }
        if self.unfinished.len() >= protocol::limits::LOG_LINE_BYTES_MAX {
            lines.extend(self.rest());
        }
        lines
    }

    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.unfinished);
        (!line.is_empty()).then(|| shown(&line).concat())
    }
}

/// The line as a terminal would show it: only the text after the last carriage return.
fn shown(line: &str) -> Vec<String> {
    let line = line.trim_end_matches(['\r', '\n']);
    cut(line.rsplit('\r').next().unwrap_or(line))
}

/// The step in the classic builder's form, such as `2/3 : RUN true`. A lookup of a base image counts as its `FROM`.
fn place_of(name: &str) -> Option<String> {
    if let Some(image) = name.strip_prefix("[internal] load metadata for ") {
        return Some(format!("1 : FROM {image}"));
    }
    let (place, instruction) = name.strip_prefix('[').filter(|_| is_of_dockerfile(name))?.split_once("] ")?;
    Some(format!("{} : {instruction}", place.rsplit(' ').next().unwrap_or(place)))
}

/// Whether a step belongs to the Dockerfile, such as `[2/3] RUN true` or `[build 1/2] FROM a`, and not to `BuildKit` itself.
fn is_of_dockerfile(name: &str) -> bool {
    name.starts_with('[') && !name.starts_with("[internal]") && !name.starts_with("[auth]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_run_in_parallel_make_whole_lines_and_the_failed_one_is_named() {
        let mut traced = Traced::default();
        let begun = |id: &str, name: &str| BuildStep::Begun { id: id.to_owned(), name: name.to_owned() };
        let output = |id: &str, text: &str| BuildStep::Output { id: id.to_owned(), text: text.to_owned() };
        let ended = |id: &str, error: Option<&str>| BuildStep::Ended { id: id.to_owned(), error: error.map(str::to_owned) };
        assert!(traced.lines(begun("0", "[internal] load remote build context")).is_empty());
        assert_eq!(traced.lines(begun("1", "[a 1/2] RUN x")), ["Step [a 1/2] RUN x"]);
        assert!(traced.lines(begun("1", "[a 1/2] RUN x")).is_empty());
        assert_eq!(traced.lines(begun("2", "[b 1/2] RUN y")), ["Step [b 1/2] RUN y"]);
        let cached = BuildStep::Cached { id: "3".to_owned(), name: "[a 2/2] RUN z".to_owned() };
        assert_eq!(traced.lines(cached), ["Step [a 2/2] RUN z (as built before)"]);
        assert!(traced.lines(output("1", "one")).is_empty());
        assert_eq!(traced.lines(output("2", "50%\rtwo\nthree\n")), ["two", "three"]);
        assert_eq!(traced.lines(output("1", " more\nrest")), ["one more"]);
        assert_eq!(traced.lines(ended("1", Some("exit code: 7"))), ["rest", "[a 1/2] RUN x: exit code: 7"]);
        assert!(traced.lines(ended("2", Some("context canceled"))).is_empty());
        assert_eq!(traced.place().unwrap(), "1/2 : RUN x");
        assert_eq!(place_of("[internal] load metadata for docker.io/library/a:1").unwrap(), "1 : FROM docker.io/library/a:1");
        assert_eq!(place_of("[2/3] COPY a b").unwrap(), "2/3 : COPY a b");
    }
}
