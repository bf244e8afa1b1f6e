//! Texts of definitions, and their logins, which are stored separately.

use protocol::{Qid, with_login};

use crate::{Db, Result};

const GET: &str = include_str!("../queries/definition/get.sql");
const LIST: &str = include_str!("../queries/definition/list.sql");
const PUT_LOGINS: &str = include_str!("../queries/login/put.sql");

/// A stored definition. Readers do not get the login of its build context's URL.
#[derive(Clone, sqlx::FromRow)]
pub struct StoredDefinition {
    /// Its text without a login, as it may be shown.
    pub body: String,
    /// The login of its build context.
    pub login: Option<String>,
}

impl StoredDefinition {
    /// The text as it was submitted.
    pub fn whole(self) -> String {
        whole(self.body, self.login.as_deref())
    }
}

/// A definition of a job that waits or runs, as far as one worker may see it.
#[derive(Clone, sqlx::FromRow)]
pub struct ListedDefinition {
    /// Which job.
    pub job_id: String,
    /// Its text without a login.
    pub body: String,
    /// The login of its build context, if the worker has claimed the job.
    pub login: Option<String>,
    /// It has a login, and the worker has not claimed the job.
    pub is_withheld: bool,
}

impl ListedDefinition {
    /// The text that the worker can run; nothing while the worker may not see it.
    pub fn whole(self) -> Option<String> {
        if self.is_withheld { None } else { Some(whole(self.body, self.login.as_deref())) }
    }
}

/// A text as it was submitted.
pub fn whole(body: String, login: Option<&str>) -> String {
    match login {
        Some(login) => with_login(body, login),
        None => body,
    }
}

impl Db {
    /// A job's definition.
    pub async fn get_definition(&self, qid: Qid, job_id: &str) -> Result<Option<StoredDefinition>> {
        Ok(sqlx::query_as(GET).bind(qid).bind(job_id).fetch_optional(&self.pool).await?)
    }

    /// The definitions of these jobs for a worker, as far as they are container jobs that wait or run.
    pub async fn list_definitions(&self, qid: Qid, job_ids: &[&str], worker_id: Option<&str>) -> Result<Vec<ListedDefinition>> {
        Ok(sqlx::query_as(LIST).bind(qid).bind(job_ids).bind(worker_id).fetch_all(&self.pool).await?)
    }

    /// Stores logins by the hashes of their definitions, which are stored after that.
    pub(crate) async fn keep_logins(&self, logins: impl Iterator<Item = (Vec<u8>, &str)>) -> Result<()> {
        let (hashes, logins): (Vec<_>, Vec<_>) = logins.unzip();
        if !hashes.is_empty() {
            sqlx::query(PUT_LOGINS).bind(hashes).bind(logins).execute(&self.pool).await?;
        }
        Ok(())
    }
}
