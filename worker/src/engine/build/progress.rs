//! Writes a build's messages to the log, and reads the current step and the layers from them.
//!
//! Bounds: [`LINE_BYTES_MAX`] for a line, those of [`Made`], and [`PULLED_MAX`]. The log has its own bounds and keeps its end, where the
//! reason of a failed build is.

use std::collections::HashMap;

use protocol::Step;

use super::disk::Made;
use super::traced::Traced;
use crate::engine::{BuildWord, JobLog};

const LINE_BYTES_MAX: usize = protocol::limits::LOG_LINE_BYTES_MAX;
const PULLED_MAX: usize = 1_000;
pub(super) const STEP_CHARS_MAX: usize = 200;

/// The state of a build, from its messages.
#[derive(Debug, Default)]
pub(super) struct Progress {
    unfinished: String,
    /// The current step, such as `2/3 : RUN false`.
    step: Option<String>,
    /// Ids of the layers and containers that this build made, from its messages.
    pub(super) made: Made,
    /// Whether the next layer that the builder names existed before the build.
    is_cached: bool,
    /// Last state of each layer of a base image.
    pulled: HashMap<String, String>,
    /// Steps of `BuildKit`.
    traced: Traced,
}

impl Progress {
    /// Takes a message, and logs the lines that it completes.
    pub(super) async fn take(&mut self, log: &JobLog, word: BuildWord) {
        match word {
            BuildWord::Output(text) => {
                for line in self.lines(&text) {
                    self.note(&line);
                    log.line(Step::Build, line).await;
                }
            }
            BuildWord::Progress(status) => {
                let (layer, state) = status.split_once(": ").unwrap_or(("", &status));
                let is_news = self.pulled.get(layer).is_none_or(|last| last != state) && self.pulled.len() < PULLED_MAX;
                if is_news {
                    self.pulled.insert(layer.to_owned(), state.to_owned());
                    log.line(Step::Build, status).await;
                }
            }
            BuildWord::Steps(steps) => {
                for step in steps {
                    for line in self.traced.lines(step) {
                        log.line(Step::Build, line).await;
                    }
                }
            }
            BuildWord::Nothing => (),
        }
    }

    /// Logs the unfinished lines.
    pub(super) async fn end(&mut self, log: &JobLog) {
        let line = std::mem::take(&mut self.unfinished);
        for line in self.traced.end().into_iter().chain((!line.is_empty()).then_some(line)) {
            log.line(Step::Build, line).await;
        }
    }

    /// The builder's line about the current instruction. A command's output may look the same: see `ends`.
    pub(super) fn step(&self) -> Option<&str> {
        self.traced.place().or(self.step.as_ref()).map(String::as_str)
    }

    /// The current step, for the sentence about a failure.
    pub(super) fn place(&self) -> String {
        self.traced.place().or(self.step.as_ref()).map_or_else(String::new, |step| format!(" at step {step}"))
    }

    fn lines(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in text.split_inclusive('\n') {
            self.unfinished.push_str(piece);
            let is_whole = self.unfinished.ends_with('\n');
            if is_whole || self.unfinished.len() >= LINE_BYTES_MAX {
                let line = std::mem::take(&mut self.unfinished);
                let line = line.trim_end_matches(['\r', '\n']);
                // A terminal would show only the text after the last carriage return.
                lines.extend(cut(line.rsplit('\r').next().unwrap_or(line)));
            }
        }
        lines
    }

    /// Reads the lines of the classic builder and of Podman's. A command may write the same lines, so nothing may trust what is read from
    /// them.
    fn note(&mut self, line: &str) {
        if let Some(step) = step_in(line) {
            let text = step.split_once(" : ").map_or("", |(_, text)| text.trim_start());
            self.is_cached = text.to_ascii_uppercase().starts_with("FROM");
            self.step = Some(step);
        } else if line == " ---> Using cache" || line.starts_with("--> Using cache ") {
            self.is_cached = true;
        } else if let Some(id) = line.strip_prefix(" ---> Running in ") {
            self.made.container(id);
        } else if let Some(id) = line.strip_prefix(" ---> ").or_else(|| line.strip_prefix("--> ")).filter(|_| !self.is_cached) {
            self.made.layer(id);
        }
    }
}

/// Reads `2/3 : RUN false` from the line `Step 2/3 : RUN false`, or from Podman's `STEP 2/3: RUN false`.
fn step_in(line: &str) -> Option<String> {
    let step = match line.strip_prefix("STEP ") {
        Some(step) => step.replacen(": ", " : ", 1),
        None => line.strip_prefix("Step ")?.to_owned(),
    };
    step.starts_with(|c: char| c.is_ascii_digit()).then(|| step.chars().take(STEP_CHARS_MAX).collect())
}

/// Cuts a line into pieces that fit into log lines.
pub(super) fn cut(line: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in line.chars() {
        if pieces.last().is_some_and(|piece| piece.len() + c.len_utf8() > LINE_BYTES_MAX) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_and_layers_are_read_from_the_builders_lines() {
        let mut progress = Progress::default();
        let said = "Step 1/4 : FROM a\n ---> c794a6700e50\nStep 2/4 : RUN x\n ---> Running in 1f3\nout\rput\nRemoving intermediate \
                    container 1f3\n ---> aaaaaaaaaaaa\nStep 3/4 : RUN y\n ---> Using cache\n ---> bbbbbbbbbbbb\nStep 4/4 : RUN false\n \
                    ---> Running in 2a4\nunfin";
        let lines: Vec<_> = said.split_inclusive(' ').flat_map(|piece| progress.lines(piece)).collect();
        lines.iter().for_each(|line| progress.note(line));
        assert!(lines.contains(&"put".to_owned()) && progress.unfinished == "unfin");
        assert_eq!(progress.place(), " at step 4/4 : RUN false");
        assert_eq!(progress.made.layers(), ["aaaaaaaaaaaa"]);
    }

    #[test]
    fn step_and_layers_are_read_from_podmans_lines() {
        let mut progress = Progress::default();
        let said = "STEP 1/4: FROM a\n--> 111111111111\nSTEP 2/4: RUN echo x: y\nx: y\n--> aaaaaaaaaaa\nSTEP 3/4: RUN y\n--> Using cache \
                    bbbbbbbbbbbbb\n--> bbbbbbbbbbb\nSTEP 4/4: RUN exit 7\n";
        for line in progress.lines(said) {
            progress.note(&line);
        }
        assert_eq!(progress.place(), " at step 4/4 : RUN exit 7");
        assert_eq!(progress.made.layers(), ["aaaaaaaaaaa"]);
    }

    #[test]
    fn long_lines_are_cut_at_characters() {
        let pieces = cut(&"ä".repeat(LINE_BYTES_MAX));
        assert_eq!(pieces.len(), 2);
        assert!(pieces.iter().all(|piece| piece.len() <= LINE_BYTES_MAX));
    }
}
