//! Holds that end because their namespace has a newer job.

use protocol::Qid;

use crate::{Db, Result};

const END_ONE: &str = include_str!("../queries/supersession/end_one.sql");

/// One hold that was due.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SupersededRow {
    /// Which queue.
    pub qid: Qid,
    outcome: String,
}

impl SupersededRow {
    /// Whether a job changed. It did not if the namespace had submitted the job again, or the job had ended by itself.
    pub fn is_change(&self) -> bool {
        matches!(self.outcome.as_str(), "ended" | "left")
    }
}

impl Db {
    /// Ends one hold that is due. `None` when no hold is due.
    pub async fn supersede(&self) -> Result<Option<SupersededRow>> {
        Ok(sqlx::query_as(END_ONE).fetch_optional(&self.pool).await?)
    }
}
