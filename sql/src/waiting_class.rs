//! Classes of waiting jobs: which of them somebody present can run.

use std::time::{Duration, Instant};

use protocol::Qid;

use crate::{Db, Result};

const TIDY: &str = include_str!("../queries/waiting_class/tidy.sql");
const TIDY_IDLE: &str = include_str!("../queries/waiting_class/tidy_idle.sql");

/// Classes that one statement looks at: it holds up nobody for long.
const TIDIED_AT_ONCE: i32 = 2_000;
/// Longest time that a new worker's first claim waits for the classes that nobody has looked at yet. Without it, claims would walk
/// past them until they are.
const PATIENCE: Duration = Duration::from_secs(2);
/// Queues of one statement of maintenance, at most: each takes two locks.
const IDLE_AT_ONCE: i32 = 500;
/// Statements of one run of maintenance.
const IDLE_ROUNDS: u32 = 50;

impl Db {
    /// Looks at some classes of a queue: those without a waiting job go, and those that nobody present can run are no longer looked
    /// at by claims. False when there is nothing more to do now.
    pub async fn tidy_classes(&self, qid: Qid, of_workers: bool) -> Result<bool> {
        let query = sqlx::query_scalar(TIDY).bind(qid).bind(TIDIED_AT_ONCE).bind(of_workers);
        let n_seen: i32 = query.fetch_one(&self.pool).await?;
        Ok(n_seen >= TIDIED_AT_ONCE)
    }

    pub(crate) async fn tidy_new_classes(&self, qid: Qid) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE && self.tidy_classes(qid, true).await? {}
        Ok(())
    }

    /// The same for the queues whose classes nobody has looked at for longest.
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
