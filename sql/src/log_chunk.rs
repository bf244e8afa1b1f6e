//! Log lines, in chunks.

use protocol::{LogLine, Qid, Step, limits};

use crate::{ClaimKey, Db, Error, JobRow, Result};

const APPEND: &str = include_str!("../queries/log_chunk/append.sql");
const READ: &str = include_str!("../queries/log_chunk/read.sql");
const TAIL: &str = include_str!("../queries/log_chunk/tail.sql");
const LAST: &str = include_str!("../queries/log_chunk/last.sql");
const NEXT_SEQ: &str = include_str!("../queries/log_chunk/next_seq.sql");
const HAS_RUN: &str = include_str!("../queries/log_chunk/has_run.sql");
const COUNT: &str = include_str!("../queries/log_chunk/count.sql");
const NEWER: &str = include_str!("../queries/log_chunk/newer.sql");

/// Most chunks of one page.
const PAGE_CHUNKS_MAX: i64 = 256;
/// Bytes of text after which a page ends. With the last chunk and with the JSON around short lines, a page may reach about 1 MiB.
const PAGE_BYTES: i64 = 128 * 1024;

/// One new chunk.
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

/// The outcome of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Kept.
    Stored,
    /// Kept earlier.
    Repeated,
    /// The job has reached its log limit.
    Full,
    /// The claim is not live.
    Stale,
}

/// The position in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// Lines before this position.
    pub n_lines: i64,
    /// The chunk that was read last. The next read needs it only to be cheap.
    chunk: (i64, i32),
}

impl LogPlace {
    /// The position after so many lines.
    pub fn after(n_lines: i64) -> Self {
        Self { n_lines: n_lines.max(0), chunk: (0, -1) }
    }
}

/// Lines after a position.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    /// The lines as the elements of a JSON array, without its brackets.
    pub lines: String,
    /// The position after the last of them.
    pub end: LogPlace,
    /// Whether there may be more lines.
    pub has_more: bool,
}

/// The end of the build's or the run's log of one claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogTail {
    /// The last lines.
    pub lines: Vec<LogLine>,
    /// Lines of the claim before them.
    pub n_omitted: u64,
}

/// The last chunk of a job that was sent to viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCursor {
    /// Which job.
    pub job_id: String,
    /// Epoch of the chunk.
    pub epoch: i64,
    /// Its number; -1 before the first.
    pub seq: i32,
    /// When the job was submitted, epoch milliseconds: earlier submissions of it logged under the same id.
    pub queued_ms: i64,
}

#[derive(sqlx::FromRow)]
struct PageRow {
    epoch: i64,
    seq: i32,
    lines_after: i64,
    n_lines: i32,
    lines: String,
    n_found: i64,
}

#[derive(sqlx::FromRow)]
struct TailRow {
    lines_after: i64,
    lines: String,
    begins_at: i64,
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
    /// Number of the last of its lines in the build's or the run's log, as cursors count them.
    pub lines_after: i64,
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

/// Appends the elements of a JSON array except the first few.
fn push_elements(elements: &mut String, array: &str, n_skipped: usize) -> Result<()> {
    let rest;
    let array = if n_skipped == 0 {
        array
    } else {
        let lines: Vec<&serde_json::value::RawValue> =
            serde_json::from_str(array).map_err(|error| Error::UnknownWord(error.to_string()))?;
        let lines = lines.get(n_skipped..).unwrap_or_default();
        rest = serde_json::to_string(lines).map_err(|error| Error::UnknownWord(error.to_string()))?;
        &rest
    };
    let inner = array.trim().strip_prefix('[').and_then(|array| array.strip_suffix(']'));
    let inner = inner.ok_or_else(|| Error::UnknownWord("a chunk of a log that is not an array".to_owned()))?;
    if !elements.is_empty() && !inner.is_empty() {
        elements.push(',');
    }
    elements.push_str(inner);
    Ok(())
}

impl Db {
    /// Stores a chunk. It is acknowledged before it is on disk: a crash of the server may lose the last moments of a log.
    pub async fn append_log(&self, chunk: &NewChunk<'_>) -> Result<Appended> {
        let n_bytes: usize = chunk.lines.iter().map(|line| line.text.len()).sum();
        let lines = serde_json::to_string(chunk.lines).map_err(|error| Error::UnknownWord(error.to_string()))?;
        // Several times the worker's limit, because a job that is claimed again logs again.
        let bytes_max = i64::try_from(limits::LOG_BYTES_STORED_MAX).unwrap_or(i64::MAX);
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

    /// A page of a job's build or run log after a position, over all attempts since it was submitted.
    pub async fn read_log(&self, job: &JobRow, is_run: bool, from: LogPlace) -> Result<LogPage> {
        let query = sqlx::query_as(READ).bind(job.qid).bind(&job.job_id).bind(is_run).bind(from.n_lines);
        let query = query.bind(from.chunk.0).bind(from.chunk.1).bind(PAGE_CHUNKS_MAX).bind(PAGE_BYTES).bind(job.queued_ms());
        let rows: Vec<PageRow> = query.fetch_all(&self.pool).await?;
        let n_found = rows.first().map_or(0, |row| row.n_found);
        let has_more = n_found > i64::try_from(rows.len()).unwrap_or(i64::MAX) || n_found == PAGE_CHUNKS_MAX;
        let mut page = LogPage { lines: String::new(), end: from, has_more };
        for row in rows {
            // Only the first chunk may contain lines that were read.
            let n_seen = page.end.n_lines - (row.lines_after - i64::from(row.n_lines));
            push_elements(&mut page.lines, &row.lines, usize::try_from(n_seen).unwrap_or(0))?;
            page.end = LogPlace { n_lines: row.lines_after, chunk: (row.epoch, row.seq) };
        }
        Ok(page)
    }

    /// The end of the build's or the run's log of one claim, as much as a result contains.
    pub async fn read_tail(&self, key: &ClaimKey, is_run: bool) -> Result<LogTail> {
        let most = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let query = sqlx::query_as(TAIL).bind(key.qid).bind(&key.job_id).bind(key.epoch);
        let query = query.bind(most(limits::RESULT_LOG_LINES_MAX)).bind(most(limits::RESULT_LOG_BYTES_MAX)).bind(is_run);
        let rows: Vec<TailRow> = query.fetch_all(&self.pool).await?;
        let (mut newest_first, mut n_bytes) = (Vec::new(), 0);
        let Some(newest) = rows.first() else { return Ok(LogTail::default()) };
        let n_all = u64::try_from(newest.lines_after - newest.begins_at).unwrap_or(0);
        'chunks: for row in &rows {
            for line in parse(&row.lines)?.into_iter().rev() {
                n_bytes += line.text.len() + 1;
                if newest_first.len() == limits::RESULT_LOG_LINES_MAX || n_bytes > limits::RESULT_LOG_BYTES_MAX {
                    break 'chunks;
                }
                newest_first.push(line);
            }
        }
        newest_first.reverse();
        Ok(LogTail { n_omitted: n_all.saturating_sub(newest_first.len() as u64), lines: newest_first })
    }

    /// How many lines the build's or the run's log of a job has, as cursors count them.
    pub async fn count_log(&self, qid: Qid, job_id: &str, is_run: bool) -> Result<i64> {
        let n_lines: Option<i64> =
            sqlx::query_scalar(COUNT).bind(qid).bind(job_id).bind(is_run).fetch_optional(&self.pool).await?;
        Ok(n_lines.unwrap_or(0))
    }

    /// The newest chunk of each of these jobs: epoch and number.
    pub async fn last_logs(&self, qid: Qid, job_ids: &[&str]) -> Result<Vec<(String, i64, i32)>> {
        Ok(sqlx::query_as(LAST).bind(qid).bind(job_ids).fetch_all(&self.pool).await?)
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
        let queued: Vec<i64> = cursors.iter().map(|c| c.queued_ms).collect();
        Ok(sqlx::query_as(NEWER).bind(qid).bind(job_ids).bind(epochs).bind(seqs).bind(queued).fetch_all(&self.pool).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_read_are_left_out_of_the_first_chunk() {
        let mut elements = String::new();
        push_elements(&mut elements, r#"[["a",1],["b",2,true]]"#, 1).unwrap();
        push_elements(&mut elements, r#"[["c",3]]"#, 0).unwrap();
        assert_eq!(elements, r#"["b",2,true],["c",3]"#);
        push_elements(&mut elements, r#"[["d",3]]"#, 2).unwrap();
        assert_eq!(elements, r#"["b",2,true],["c",3]"#);
    }
}
