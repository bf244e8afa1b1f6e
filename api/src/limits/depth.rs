//! The number of waiting jobs in a queue, counted every [`FRESH`] and only up to the limit. Jobs that arrive in between may
//! exceed the limit.

use std::time::Duration;

use moka::future::Cache;
use protocol::Qid;
use sql::Db;

use super::Count;
use crate::error::ApiError;

/// How long a count is valid.
const FRESH: Duration = Duration::from_secs(2);
/// Queues whose counts are cached.
const KEPT: u64 = 50_000;

/// Counts by queue.
#[derive(Debug)]
pub(super) struct Depths {
    max: Count,
    known: Cache<Qid, u32>,
}

impl Depths {
    pub(super) fn new(max: Count) -> Self {
        Self { max, known: Cache::builder().max_capacity(KEPT).time_to_live(FRESH).build() }
    }

    pub(super) async fn is_full(&self, db: &Db, qid: Qid) -> Result<bool, ApiError> {
        let Count(max @ 1..) = self.max else { return Ok(false) };
        let n = self.known.try_get_with(qid, db.queue_depth(qid, max)).await.map_err(ApiError::Database)?;
        Ok(n >= max)
    }
}
