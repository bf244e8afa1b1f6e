//! Reads the engine's record of an output, for a worker that takes a run over.
//!
//! The worker follows the record while the run continues, so that the log continues too. A followed record may break off, or end with the
//! run but without its last lines, and the worker cannot distinguish this from a complete record. So the worker reads the record once more
//! after the run has ended, and only that reading decides where the log ends. Every reading starts at the record's beginning and leaves out
//! the lines that were read before.
//!
//! Bounds: a record that breaks off while the run continues is followed again after [`END_TIMEOUT`]. The last reading is tried
//! [`READINGS_MAX`] times.

use std::sync::Arc;
use std::time::Duration;

use protocol::{LogLine, Step};
use tokio::time::timeout;

use super::position::{Gap, Position, Skip};
use super::{Log, Origin, Reader, Written};
use crate::backoff::Backoff;
use crate::engine::{Fault, Frames, Runs};

const READINGS_MAX: usize = 6;
/// Time for the engine to report the end of a run whose record has ended.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The log line where a log continues after a gap.
const GAP: &str =
    "lines may be missing or repeated here: while its worker was away, the job wrote more log than the engine keeps";
/// The log line at the end of a log whose record lost its beginning while it was read.
const UNSURE: &str =
    "lines may be missing here: the job wrote more log than the engine keeps, so the last lines may be incomplete";

/// Why a reading is not complete.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    Gap(#[from] Gap),
    #[error(transparent)]
    Engine(#[from] Fault),
}

/// Whether more output can follow after a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Final,
}

/// The state of the readings.
struct Taking<'a> {
    log: &'a Log,
    position: Position,
    written: Written,
    /// A reading has found the log's position in the record and has read the lines after it.
    is_found: bool,
}

impl Log {
    /// Continues the log of a run that another worker process began, until the run's end.
    pub(crate) async fn resume(self, runs: Arc<dyn Runs>, id: String) -> Result<Written, Fault> {
        let position = self.resumed.unwrap_or_default().position;
        let mut taking = Taking { log: &self, position, written: Written::default(), is_found: false };
        loop {
            match taking.read(runs.replay(&id).await?, End::Open).await {
                Ok(()) => (),
                Err(Unread::Gap(Gap)) => taking.begin_again().await,
                Err(Unread::Engine(fault)) => tracing::debug!(%fault, container = %id, "the engine's record broke off"),
            }
            if let Ok(ended) = timeout(END_TIMEOUT, runs.wait(&id)).await {
                ended?;
                break;
            }
        }
        taking.read_to_end(&*runs, &id).await?;
        Ok(taking.written)
    }
}

impl Taking<'_> {
    /// Reads the lines that the followed record did not contain.
    async fn read_to_end(&mut self, runs: &dyn Runs, id: &str) -> Result<(), Fault> {
        let mut backoff = Backoff::new();
        for n in 1.. {
            match self.read(runs.record(id).await?, End::Final).await {
                Ok(()) => break,
                Err(Unread::Gap(Gap)) if self.is_found => {
                    self.log.break_off(UNSURE).await;
                    break;
                }
                Err(Unread::Gap(Gap)) => self.begin_again().await,
                Err(Unread::Engine(fault)) if n >= READINGS_MAX => return Err(fault),
                Err(Unread::Engine(_)) => backoff.wait().await,
            }
        }
        Ok(())
    }

    /// Writes a log line about a gap, and makes the next reading take the whole record from its beginning.
    async fn begin_again(&mut self) {
        self.log.break_off(GAP).await;
        self.position = Position::default();
    }

    /// Reads the new lines of a record.
    async fn read(&mut self, frames: Frames, end: End) -> Result<(), Unread> {
        let mut reader = Reader::new(frames);
        let mut skip = Skip::until(self.position);
        while let Some(lines) = reader.next().await {
            self.take(lines?, &mut skip).await?;
        }
        // At an open end, an unfinished line may continue, and it is unknown whether the record is complete.
        if end == End::Final {
            self.take(reader.begun(), &mut skip).await?;
            skip.finish()?;
        }
        Ok(())
    }

    async fn take(&mut self, mut lines: Vec<LogLine>, skip: &mut Skip) -> Result<(), Gap> {
        self.written.note(&lines);
        self.log.redact(&mut lines);
        let mut new = Vec::new();
        let mut result = Ok(());
        for line in lines {
            match skip.is_new(&line) {
                Ok(false) => (),
                Ok(true) => {
                    self.position.pass(&line);
                    new.push(line);
                }
                Err(gap) => {
                    result = Err(gap);
                    break;
                }
            }
        }
        self.is_found |= skip.finish().is_ok();
        self.log.write(Step::Running, new, Origin::Output).await;
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use bytes::Bytes;
    use futures_util::StreamExt;
    use tokio::sync::mpsc;

    use super::super::Batch;
    use super::*;
    use crate::engine::Frame;

    fn log() -> (Log, mpsc::Receiver<Batch>) {
        let (batches, waiting) = mpsc::channel(100);
        (Log { batches, resumed: None, redactor: Arc::new(OnceLock::new()) }, waiting)
    }

    fn from_the_beginning(log: &Log) -> Taking<'_> {
        Taking { log, position: Position::default(), written: Written::default(), is_found: false }
    }

    fn record(pieces: &[(&'static str, bool)]) -> Frames {
        let frames = pieces
            .iter()
            .map(|(text, is_stderr)| Ok(Frame { is_stderr: *is_stderr, bytes: Bytes::from_static(text.as_bytes()) }));
        futures_util::stream::iter(frames.collect::<Vec<_>>()).boxed()
    }

    fn broken(pieces: &[(&'static str, bool)]) -> Frames {
        let fault = Err(Fault::Host("connection closed".to_owned()));
        record(pieces).chain(futures_util::stream::iter([fault])).boxed()
    }

    fn texts(mut waiting: mpsc::Receiver<Batch>) -> Vec<String> {
        let batches = std::iter::from_fn(|| waiting.try_recv().ok());
        batches.flat_map(|batch| batch.lines).map(|line| line.shown().to_owned()).collect()
    }

    #[tokio::test]
    async fn the_last_reading_gives_what_a_followed_record_left_out() {
        let (log, waiting) = log();
        let mut taking = from_the_beginning(&log);
        taking.read(record(&[("a\nb\nc", false), ("x\n", true)]), End::Open).await.unwrap();
        let again = broken(&[("a\n", false)]);
        assert!(
            matches!(taking.read(again, End::Open).await, Err(Unread::Engine(_))),
            "a record that broke off is not a complete one"
        );
        let whole = record(&[("x\ny\n", true), ("a\nb\ncc\nd", false), ("z", true)]);
        taking.read(whole, End::Final).await.unwrap();
        assert!(taking.written.has_stderr);
        assert_eq!(texts(waiting), ["a", "b", "x", "y", "cc", "d", "z"], "a line cut in two is one line");
    }

    #[tokio::test]
    async fn a_record_that_lost_its_beginning_meanwhile_is_not_repeated() {
        let (log, waiting) = log();
        let mut taking = from_the_beginning(&log);
        taking.read(record(&[("a\nb\n", false)]), End::Open).await.unwrap();
        for rest in ["b\n", "b\nc\nd\n"] {
            assert!(matches!(taking.read(record(&[(rest, false)]), End::Final).await, Err(Unread::Gap(Gap))));
        }
        assert!(taking.is_found);
        assert_eq!(texts(waiting), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_record_that_lost_its_beginning_before_is_taken_as_it_is() {
        let (log, waiting) = log();
        let mut taking = from_the_beginning(&log);
        for text in ["a", "b", "c"] {
            taking.position.pass(&LogLine { text: text.to_owned(), time: 0, is_stderr: false });
        }
        let kept = || record(&[("c\nd\n", false)]);
        taking.read(kept(), End::Open).await.unwrap();
        assert!(matches!(taking.read(kept(), End::Final).await, Err(Unread::Gap(Gap))));
        assert!(!taking.is_found);
        taking.begin_again().await;
        taking.read(kept(), End::Final).await.unwrap();
        assert_eq!(texts(waiting), [GAP, "c", "d"]);
    }
}
