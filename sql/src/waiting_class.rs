//! Classes of waiting jobs: which of them a connected worker can run.

use std::time::{Duration, Instant};

use protocol::Qid;

use crate::{Db, Result};

const TIDY: &str = include_str!("../queries/waiting_class/tidy.sql");
const TIDY_IDLE: &str = include_str!("../queries/waiting_class/tidy_idle.sql");

/// Most classes that one statement checks, so that it does not block others for long.
const TIDIED_AT_ONCE: i32 = 2_000;
/// Longest time that a new worker's first claim waits for the check of unchecked classes. Without this check every claim would have
/// to read these classes.
const TIDY_TIMEOUT: Duration = Duration::from_secs(2);
/// Most queues in one statement of maintenance: each takes two locks.
const IDLE_AT_ONCE: i32 = 500;
/// Most statements of one run of maintenance.
const IDLE_ROUNDS: u32 = 50;

impl Db {
    /// Checks some classes of a queue: those without a waiting job are deleted, and claims no longer look at those that no
    /// connected worker can run. False when nothing is left to do.
    pub async fn tidy_classes(&self, qid: Qid, of_workers: bool) -> Result<bool> {
        let query = sqlx::query_scalar(TIDY).bind(qid).bind(TIDIED_AT_ONCE).bind(of_workers);
        let n_seen: i32 = query.fetch_one(&self.pool).await?;
        Ok(n_seen >= TIDIED_AT_ONCE)
    }

    pub(crate) async fn tidy_new_classes(&self, qid: Qid) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < TIDY_TIMEOUT && self.tidy_classes(qid, true).await? {}
        Ok(())
    }

    /// Checks the classes of the queues whose classes were not checked for the longest time.
    pub async fn tidy_idle_classes(&self) -> Result<()> {
        for _ in 0..IDLE_ROUNDS {
            let n_queues: i32 = sqlx::query_scalar(TIDY_IDLE).bind(IDLE_AT_ONCE).fetch_one(&self.pool).await?;
            if n_queues == 0 {
                break;
            }
        }
        Ok(())
    }
}
