//! Texts of definitions.

use protocol::Qid;

use crate::{Db, Result};

const GET: &str = include_str!("../queries/definition/get.sql");
const LIST: &str = include_str!("../queries/definition/list.sql");

impl Db {
    /// The text of a job's definition, as it was submitted.
    pub async fn get_definition(&self, qid: Qid, job_id: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(GET).bind(qid).bind(job_id).fetch_optional(&self.pool).await?)
    }

    /// The texts of these jobs' definitions by job id, as far as they are container jobs that wait or run.
    pub async fn list_definitions(&self, qid: Qid, job_ids: &[&str]) -> Result<Vec<(String, String)>> {
        Ok(sqlx::query_as(LIST).bind(qid).bind(job_ids).fetch_all(&self.pool).await?)
    }
}
