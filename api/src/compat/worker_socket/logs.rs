//! Log lines of workers that do not number their chunks.

use protocol::{ErrorCode, JobStatusLogs, LogLine, Step, limits};
use sql::{Appended, ClaimKey, NewChunk};

use super::Worker;
use crate::error::ApiError;
use crate::hint::Kinds;
use crate::routes::socket::refuse;

/// How often a chunk is tried: another socket of the same worker may take its number in the meantime.
const TRIES: usize = 5;

impl Worker {
    /// Stores lines of a job that the worker has claimed.
    pub(super) async fn keep_logs(&mut self, message: JobStatusLogs) {
        let Some(worker) = self.id.clone() else { return refuse() };
        let kept = match self.held(&worker, &message.job_id).await {
            Ok(key) => self.append(&key, message.step, &message.logs).await,
            Err(error) => Err(error),
        };
        if kept.is_err() {
            refuse();
        }
    }

    /// Appends lines in chunks of at most [`limits::LOG_CHUNK_BYTES_MAX`]. A longer line is a chunk of its own.
    pub(super) async fn append(&mut self, key: &ClaimKey, step: Step, lines: &[LogLine]) -> Result<(), ApiError> {
        for lines in chunks(lines) {
            self.append_chunk(key, step, lines).await?;
        }
        self.connection.app.hint(key.qid, Kinds::LOGS);
        Ok(())
    }

    async fn append_chunk(&mut self, key: &ClaimKey, step: Step, lines: &[LogLine]) -> Result<(), ApiError> {
        let db = &self.connection.app.db;
        for _ in 0..TRIES {
            let seq = db.next_log_seq(key).await?;
            match db.append_log(&NewChunk { key: key.clone(), seq, step, lines }).await? {
                Appended::Stored | Appended::Full => return Ok(()),
                Appended::Repeated => {}
                Appended::Stale => return Err(ApiError::StaleEpoch),
            }
        }
        Err(ApiError::refused(ErrorCode::InvalidRequest, "several sockets write this log at the same time".to_owned()))
    }
}

/// Pieces of the lines, none of them empty.
fn chunks(mut lines: &[LogLine]) -> Vec<&[LogLine]> {
    let mut pieces = Vec::new();
    while !lines.is_empty() {
        let mut n_bytes = 0;
        let fits = |line: &&LogLine| {
            n_bytes += line.text.len();
            n_bytes <= limits::LOG_CHUNK_BYTES_MAX
        };
        let n = lines.iter().take_while(fits).count().max(1);
        let (piece, rest) = lines.split_at(n);
        pieces.push(piece);
        lines = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_into_chunks_without_loss_even_when_one_line_is_too_long() {
        let line = |n: usize| LogLine { text: "x".repeat(n), time: 0, is_stderr: false };
        let lines = [line(40_000), line(40_000), line(200_000), line(1), line(1)];
        let sizes: Vec<usize> = chunks(&lines).iter().map(|piece| piece.len()).collect();
        assert_eq!(sizes, [1, 1, 1, 2]);
        assert!(chunks(&[]).is_empty());
    }
}
