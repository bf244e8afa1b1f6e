//! Follows a job through its event stream to the end, over any number of broken connections.
//!
//! No line is shown twice: the stream resumes after the last event, and every log event says up to which line it reaches
//! (`cursor`), so repeated lines are dropped.

use std::time::Duration;

use futures_util::TryStreamExt;
use protocol::{JobId, JobState, LogLine, QueueName};
use serde::Deserialize;

use crate::client::{Client, Error, reason};
use crate::say;
use crate::sse::{Event, Parser};

const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Which log a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogKind {
    /// Pull, clone and build.
    Build,
    /// The container's output.
    Run,
}

impl LogKind {
    /// The name of the log in its route.
    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::Build => "build-logs.json",
            Self::Run => "run-logs.json",
        }
    }
}

/// One thing that the stream reports.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen<'a> {
    /// A log line.
    Line(LogKind, &'a LogLine),
    /// The job is in this state now.
    State(JobState),
}

#[derive(Deserialize)]
struct Lines {
    lines: Vec<LogLine>,
    cursor: u64,
}

#[derive(Deserialize)]
struct Now {
    state: JobState,
}

#[expect(clippy::needless_pass_by_value, reason = "so that it can be named in `map_err`")]
fn unreadable(error: serde_json::Error) -> Error {
    Error::Broken(format!("its log cannot be read: {error}"))
}

/// The position in the stream.
#[derive(Debug, Default)]
struct Progress {
    last_id: Option<String>,
    build_cursor: u64,
    run_cursor: u64,
    is_final: bool,
    /// Whether this connection has received anything.
    is_fresh: bool,
}

/// Passes every log line and every state to `sink`, in order, until the job has ended. It fails only when the API refuses.
pub(super) async fn follow(client: &Client, queue: &QueueName, id: &JobId, sink: &mut impl FnMut(Seen<'_>)) -> Result<(), Error> {
    let mut progress = Progress::default();
    let mut wait = RETRY_MIN;
    let mut is_told = false;
    loop {
        progress.is_fresh = false;
        let error = match read(client, queue, id, &mut progress, sink).await {
            Ok(()) if progress.is_final => return Ok(()),
            Ok(()) => "the stream ended early".to_owned(),
            Err(error @ (Error::Refused { .. } | Error::UnknownJob)) => return Err(error),
            Err(error) => error.to_string(),
        };
        if progress.is_fresh {
            (wait, is_told) = (RETRY_MIN, false);
        }
        if !std::mem::replace(&mut is_told, wait > RETRY_MIN) && wait > RETRY_MIN {
            say::note(&format!("Lost the connection to the API ({error}); trying again until it is back. The job continues."));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

async fn read(
    client: &Client,
    queue: &QueueName,
    id: &JobId,
    progress: &mut Progress,
    sink: &mut impl FnMut(Seen<'_>),
) -> Result<(), Error> {
    let response = client.stream(queue, id, progress.last_id.as_deref()).await?;
    let mut bytes = response.bytes_stream();
    let mut parser = Parser::default();
    while let Some(chunk) = bytes.try_next().await.map_err(|error| Error::Broken(reason(&error)))? {
        for event in parser.push(&chunk).map_err(|error| Error::impossible(error.to_string()))? {
            progress.take(&event, sink)?;
            if progress.is_final {
                return Ok(());
            }
        }
    }
    Ok(())
}

impl Progress {
    fn take(&mut self, event: &Event, sink: &mut impl FnMut(Seen<'_>)) -> Result<(), Error> {
        self.is_fresh = true;
        match event.name.as_str() {
            "build-log" => self.take_lines(LogKind::Build, &event.data, sink)?,
            "run-log" => self.take_lines(LogKind::Run, &event.data, sink)?,
            "state" => {
                let now: Now = serde_json::from_str(&event.data).map_err(unreadable)?;
                sink(Seen::State(now.state));
            }
            "final" => self.is_final = true,
            _ => {}
        }
        // Stored only now: if an event cannot be read, the stream must send it again.
        if event.id.is_some() {
            self.last_id.clone_from(&event.id);
        }
        Ok(())
    }

    fn take_lines(&mut self, kind: LogKind, data: &str, sink: &mut impl FnMut(Seen<'_>)) -> Result<(), Error> {
        let new: Lines = serde_json::from_str(data).map_err(unreadable)?;
        let cursor = match kind {
            LogKind::Build => &mut self.build_cursor,
            LogKind::Run => &mut self.run_cursor,
        };
        let start = new.cursor.saturating_sub(new.lines.len() as u64);
        let seen = usize::try_from(cursor.saturating_sub(start)).unwrap_or(usize::MAX);
        new.lines.iter().skip(seen).for_each(|line| sink(Seen::Line(kind, line)));
        *cursor = new.cursor.max(*cursor);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_come_again_are_dropped() {
        let mut progress = Progress::default();
        let mut seen = Vec::new();
        let mut sink = |new: Seen<'_>| {
            if let Seen::Line(kind, line) = new {
                seen.push((kind, line.text.clone()));
            }
        };
        for (name, data) in [
            ("run-log", r#"{"lines":[["a",1],["b",1]],"cursor":2}"#),
            ("run-log", r#"{"lines":[["a",1],["b",1],["c",1]],"cursor":3}"#),
            ("build-log", r#"{"lines":[["pull",1]],"cursor":1}"#),
            ("run-log", r#"{"lines":[["a",1]],"cursor":1}"#),
            ("run-log", r#"{"lines":[["d",1,true]],"cursor":4}"#),
        ] {
            let event = Event { name: name.into(), data: data.into(), id: None };
            progress.take(&event, &mut sink).unwrap();
        }
        let want = [(LogKind::Run, "a"), (LogKind::Run, "b"), (LogKind::Run, "c"), (LogKind::Build, "pull"), (LogKind::Run, "d")];
        assert_eq!(seen, want.map(|(kind, text)| (kind, text.to_owned())));
    }
}
