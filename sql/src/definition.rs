//! Texts of definitions.

use protocol::Qid;

use crate::{Db, Result};

const GET: &str = include_str!("../queries/definition/get.sql");

impl Db {
    /// The text of a job's definition, as it was submitted.
    pub async fn get_definition(&self, qid: Qid, job_id: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(GET).bind(qid).bind(job_id).fetch_optional(&self.pool).await?)
    }
}
