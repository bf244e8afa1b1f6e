//! One line of a job's log on the wire.
//!
//! Invariant: all texts of one stream of one run, joined, are what the program wrote, in lossy UTF-8.

use std::fmt;

use serde::de::{self, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One line: `[text, epochMs]` for stdout, `[text, epochMs, true]` for stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "typescript",
    derive(ts_rs::TS),
    ts(type = "[text: string, epochMs: number] | [text: string, epochMs: number, isStdErr: boolean]")
)]
pub struct LogLine {
    /// The line with its line end: `\n`, `\r\n` or `\r`. The last line of a stream and a piece of a very long line have none. The text from a
    /// worker of another kind may have several lines.
    pub text: String,
    /// When the worker read it, epoch milliseconds.
    pub time: i64,
    /// Whether the container wrote it to stderr.
    pub is_stderr: bool,
}

impl LogLine {
    /// The text for a viewer with a row for each line: without its `\n` or `\r\n`. A single `\r` stays, because the next text overwrites the
    /// line.
    pub fn shown(&self) -> &str {
        let Some(line) = self.text.strip_suffix('\n') else { return &self.text };
        line.strip_suffix('\r').unwrap_or(line)
    }
}

impl Serialize for LogLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_stderr {
            (&self.text, self.time, true).serialize(serializer)
        } else {
            (&self.text, self.time).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for LogLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Line)
    }
}

struct Line;

impl<'de> Visitor<'de> for Line {
    type Value = LogLine;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a log line [text, epochMs] or [text, epochMs, isStdErr]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LogLine, A::Error> {
        let text = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let time: f64 = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
        let is_stderr: Option<bool> = seq.next_element()?.flatten();
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(4, &self));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
        Ok(LogLine { text, time: time as i64, is_stderr: is_stderr.unwrap_or(false) })
    }
}

/// What a job was doing when it wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum Step {
    /// Fetching the image.
    #[serde(rename = "docker image pull")]
    Pull,
    /// Fetching the build context.
    #[serde(rename = "cloning repo")]
    Clone,
    /// Building the image.
    #[serde(rename = "docker build")]
    Build,
    /// Running the container.
    Running,
    /// Storing a built image.
    #[serde(rename = "docker image push")]
    Push,
}

impl Step {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "docker image pull",
            Self::Clone => "cloning repo",
            Self::Build => "docker build",
            Self::Running => "Running",
            Self::Push => "docker image push",
        }
    }

    /// Whether the step's lines belong to the run's log. All other lines belong to the build's log.
    pub const fn is_run(self) -> bool {
        matches!(self, Self::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stdout_lines_have_two_members_and_stderr_lines_three() {
        let line = |is_stderr| LogLine { text: "a".into(), time: 5, is_stderr };
        assert_eq!(serde_json::to_string(&line(false)).unwrap(), r#"["a",5]"#);
        assert_eq!(serde_json::to_string(&line(true)).unwrap(), r#"["a",5,true]"#);
        for text in [r#"["a",5]"#, r#"["a",5.0,false]"#, r#"["a",5,null]"#] {
            assert_eq!(serde_json::from_str::<LogLine>(text).unwrap(), line(false), "{text}");
        }
    }
}
