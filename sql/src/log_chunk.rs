//! Log lines, in chunks.

use protocol::{LogLine, Qid, Step, limits};

use crate::{ClaimKey, Db, Error, Result};

const APPEND: &str = include_str!("../queries/log_chunk/append.sql");
const READ: &str = include_str!("../queries/log_chunk/read.sql");
const RUN_OF_CLAIM: &str = include_str!("../queries/log_chunk/run_of_claim.sql");
const NEXT_SEQ: &str = include_str!("../queries/log_chunk/next_seq.sql");
const HAS_RUN: &str = include_str!("../queries/log_chunk/has_run.sql");
const NEWER: &str = include_str!("../queries/log_chunk/newer.sql");

/// Most chunks of one read: with chunks of 64 KiB, 8 MiB.
const CHUNKS_PER_READ: i64 = 128;

/// One chunk on its way in.
#[derive(Clone, Debug)]
pub struct NewChunk<'a> {
    /// Whose log.
    pub key: ClaimKey,
    /// Its number in the claim.
    pub seq: i32,
    /// What the job was doing.
    pub step: Step,
    /// The lines, at least one.
    pub lines: &'a [LogLine],
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Kept.
    Stored,
    /// Kept earlier.
    Repeated,
    /// The job has logged all it may.
    Full,
    /// The claim is not live.
    Stale,
}

/// Lines after a cursor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Cursor of the first of them.
    pub start: i64,
    /// Cursor after the last of them.
    pub end: i64,
    /// Whether more lines are there already.
    pub has_more: bool,
}

/// The last chunk of a job that was passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCursor {
    /// Which job.
    pub job_id: String,
    /// Epoch of the chunk.
    pub epoch: i64,
    /// Its number; -1 before the first.
    pub seq: i32,
}

#[derive(sqlx::FromRow)]
struct ReadRow {
    lines_after: i64,
    n_lines: i32,
    lines: String,
}

/// A chunk that came after a cursor.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct NewerRow {
    /// Which job.
    pub job_id: String,
    /// Its epoch.
    pub epoch: i64,
    /// Its number.
    pub seq: i32,
    /// The step's word.
    pub step: String,
    lines: String,
}

impl NewerRow {
    /// Its lines.
    pub fn lines(&self) -> Result<Vec<LogLine>> {
        parse(&self.lines)
    }
}

fn parse(lines: &str) -> Result<Vec<LogLine>> {
    serde_json::from_str(lines).map_err(|error| Error::UnknownWord(error.to_string()))
}

impl Db {
    /// Keeps a chunk. Acknowledged before it is on disk: a crash of the server may forget the last moments of a log.
    pub async fn append_log(&self, chunk: &NewChunk<'_>) -> Result<Appended> {
        let n_bytes: usize = chunk.lines.iter().map(|line| line.text.len()).sum();
        let lines = serde_json::to_string(chunk.lines).map_err(|error| Error::UnknownWord(error.to_string()))?;
        // Twice the worker's bound: a job that was claimed again may log once more.
        let bytes_max = i64::try_from(2 * limits::LOG_BYTES_MAX).unwrap_or(i64::MAX);
        let word: String = sqlx::query_scalar(APPEND)
            .bind(chunk.key.qid)
            .bind(&chunk.key.job_id)
            .bind(chunk.key.epoch)
            .bind(chunk.seq)
            .bind(chunk.step.as_str())
            .bind(i32::try_from(chunk.lines.len()).unwrap_or(i32::MAX))
            .bind(i64::try_from(n_bytes).unwrap_or(i64::MAX))
            .bind(lines)
            .bind(bytes_max)
            .fetch_one(&self.relaxed)
            .await?;
        Ok(match word.as_str() {
            "stored" => Appended::Stored,
            "repeated" => Appended::Repeated,
            "full" => Appended::Full,
            "stale" => Appended::Stale,
            _ => return Err(Error::UnknownWord(word)),
        })
    }

    /// Lines of a job's build or run log after the first `since`, over all attempts, at most about 8 MiB.
    pub async fn read_log(&self, qid: Qid, job_id: &str, is_run: bool, since: i64) -> Result<Chunk> {
        let query = sqlx::query_as(READ).bind(qid).bind(job_id).bind(is_run).bind(since).bind(CHUNKS_PER_READ + 1);
        let mut rows: Vec<ReadRow> = query.fetch_all(&self.pool).await?;
        let has_more = rows.len() > usize::try_from(CHUNKS_PER_READ).unwrap_or(usize::MAX);
        if has_more {
            rows.pop();
        }
        let mut chunk = Chunk { start: since, end: since, has_more, ..Chunk::default() };
        for row in rows {
            let seen = usize::try_from(chunk.end - (row.lines_after - i64::from(row.n_lines))).unwrap_or(0);
            chunk.lines.extend(parse(&row.lines)?.into_iter().skip(seen));
            chunk.end = row.lines_after;
        }
        Ok(chunk)
    }

    /// The run log of one claim, whole: at most [`limits::LOG_BYTES_MAX`] twice.
    pub async fn read_run_log(&self, key: &ClaimKey) -> Result<Vec<LogLine>> {
        let query = sqlx::query_scalar(RUN_OF_CLAIM).bind(key.qid).bind(&key.job_id).bind(key.epoch);
        let chunks: Vec<String> = query.fetch_all(&self.pool).await?;
        let mut lines = Vec::new();
        for chunk in chunks {
            lines.append(&mut parse(&chunk)?);
        }
        Ok(lines)
    }

    /// The number of a claim's next chunk; 0 when there is none yet.
    pub async fn next_log_seq(&self, key: &ClaimKey) -> Result<i32> {
        Ok(sqlx::query_scalar(NEXT_SEQ).bind(key.qid).bind(&key.job_id).bind(key.epoch).fetch_one(&self.relaxed).await?)
    }

    /// Whether the run log of a claim has any line.
    pub async fn has_run_log(&self, key: &ClaimKey) -> Result<bool> {
        Ok(sqlx::query_scalar(HAS_RUN).bind(key.qid).bind(&key.job_id).bind(key.epoch).fetch_one(&self.relaxed).await?)
    }

    /// Chunks that came after these cursors, of jobs of one queue.
    pub async fn newer_logs(&self, qid: Qid, cursors: &[LogCursor]) -> Result<Vec<NewerRow>> {
        let job_ids: Vec<&str> = cursors.iter().map(|c| c.job_id.as_str()).collect();
        let epochs: Vec<i64> = cursors.iter().map(|c| c.epoch).collect();
        let seqs: Vec<i32> = cursors.iter().map(|c| c.seq).collect();
        Ok(sqlx::query_as(NEWER).bind(qid).bind(job_ids).bind(epochs).bind(seqs).fetch_all(&self.pool).await?)
    }
}
