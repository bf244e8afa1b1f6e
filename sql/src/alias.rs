//! The ids of definitions that have two: see `sql/procedures/alias.sql`.

use protocol::{ParsedDefinition, Qid};

use crate::{Db, Result};

const KEEP: &str = include_str!("../queries/alias/keep.sql");
const ROWS: &str = include_str!("../queries/alias/rows.sql");

impl Db {
    /// The id of the row of this job in a queue, for either of its true ids. An unknown id, or one without an alias, is returned
    /// unchanged.
    pub async fn row_id(&self, qid: Qid, id: &str) -> Result<String> {
        if !protocol::is_sha256(id) {
            return Ok(id.to_owned());
        }
        Ok(self.row_ids(qid, &[id]).await?.pop().unwrap_or_else(|| id.to_owned()))
    }

    /// The same for several ids, in order.
    pub async fn row_ids(&self, qid: Qid, ids: &[&str]) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(ROWS).bind(qid).bind(ids).fetch_all(&self.pool).await?)
    }

    /// Stores both ids of the definitions that have two, by their hashes. The definitions are stored after that.
    pub(crate) async fn keep_aliases(&self, definitions: impl Iterator<Item = (Vec<u8>, &ParsedDefinition)>) -> Result<()> {
        let two = definitions.filter_map(|(hash, d)| Some(((hash, d.old_job_id.as_ref()?.as_str()), d.job_id.as_str())));
        let ((hashes, old_ids), job_ids): ((Vec<_>, Vec<_>), Vec<_>) = two.unzip();
        if !hashes.is_empty() {
            sqlx::query(KEEP).bind(hashes).bind(old_ids).bind(job_ids).execute(&self.pool).await?;
        }
        Ok(())
    }
}
