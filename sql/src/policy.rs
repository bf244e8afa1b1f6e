//! Policies of queues. Tokens come here as hashes and leave as hashes.

use protocol::Qid;

use crate::{Db, Result};

const POLICY: &str = include_str!("../queries/policy/policy.sql");
const CHANGE: &str = include_str!("../queries/policy/change.sql");
const CLEAR: &str = include_str!("../queries/policy/clear.sql");
const DEPTH: &str = include_str!("../queries/queued/depth.sql");

/// The settings that a queue's owner has made for the queue: its policy. The default is a queue without a policy: open to everyone who knows its name.
#[derive(Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct PolicyRow {
    /// Whether the queue is paused: claims return no jobs.
    pub is_paused: bool,
    /// SHA-256 of the owner's token, which gives every permission.
    pub owner_token_hash: Option<Vec<u8>>,
    /// SHA-256 of the token of the worker API.
    pub worker_token_hash: Option<Vec<u8>>,
    /// SHA-256 of the token for submissions and cancels.
    pub submit_token_hash: Option<Vec<u8>>,
    /// SHA-256 of the token of readers.
    pub read_token_hash: Option<Vec<u8>>,
    /// Whether deliveries are signed. The secret itself stays in the database.
    pub has_webhook_secret: bool,
    /// Most jobs that may wait.
    pub n_queued_max: Option<i32>,
    /// Most jobs of one namespace that may wait.
    pub n_namespace_max: Option<i32>,
    /// Longest run, seconds.
    pub max_seconds: Option<i32>,
    /// Results are kept for this long.
    pub retention_days: Option<i32>,
}

impl std::fmt::Debug for PolicyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyRow").field("is_paused", &self.is_paused).finish_non_exhaustive()
    }
}

/// Changed parts of a policy. `None` keeps a part, and `Some(None)` removes it.
#[derive(Clone, Default)]
pub struct PolicyChange {
    /// Whether the queue is paused: claims return no jobs.
    pub is_paused: Option<Option<bool>>,
    /// SHA-256 of the owner's token.
    pub owner_token_hash: Option<Option<Vec<u8>>>,
    /// SHA-256 of the workers' token.
    pub worker_token_hash: Option<Option<Vec<u8>>>,
    /// SHA-256 of the submitters' token.
    pub submit_token_hash: Option<Option<Vec<u8>>>,
    /// SHA-256 of the readers' token.
    pub read_token_hash: Option<Option<Vec<u8>>>,
    /// The secret that signs deliveries, so it is stored in plain text.
    pub webhook_secret: Option<Option<String>>,
    /// Most jobs that may wait.
    pub n_queued_max: Option<Option<i32>>,
    /// Most jobs of one namespace that may wait.
    pub n_namespace_max: Option<Option<i32>>,
    /// Longest run, seconds.
    pub max_seconds: Option<Option<i32>>,
    /// Results are kept for this long.
    pub retention_days: Option<Option<i32>>,
}

impl PolicyChange {
    /// Columns that change.
    fn parts(&self) -> Vec<&'static str> {
        let all = [
            ("is_paused", self.is_paused.is_some()),
            ("owner_token_hash", self.owner_token_hash.is_some()),
            ("worker_token_hash", self.worker_token_hash.is_some()),
            ("submit_token_hash", self.submit_token_hash.is_some()),
            ("read_token_hash", self.read_token_hash.is_some()),
            ("webhook_secret", self.webhook_secret.is_some()),
            ("n_queued_max", self.n_queued_max.is_some()),
            ("n_namespace_max", self.n_namespace_max.is_some()),
            ("max_seconds", self.max_seconds.is_some()),
            ("retention_days", self.retention_days.is_some()),
        ];
        all.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
    }
}

impl Db {
    /// The policy of a queue, or the defaults.
    pub async fn policy(&self, qid: Qid) -> Result<PolicyRow> {
        Ok(sqlx::query_as(POLICY).bind(qid).fetch_optional(&self.pool).await?.unwrap_or_default())
    }

    /// Changes a policy if its owner is still `expected_owner`. Returns whether it did.
    pub async fn change_policy(&self, qid: Qid, expected_owner: Option<&[u8]>, change: &PolicyChange) -> Result<bool> {
        let changed: Option<bool> = sqlx::query_scalar(CHANGE)
            .bind(qid)
            .bind(expected_owner)
            .bind(change.parts())
            .bind(change.is_paused.flatten().unwrap_or(false))
            .bind(change.owner_token_hash.clone().flatten())
            .bind(change.worker_token_hash.clone().flatten())
            .bind(change.submit_token_hash.clone().flatten())
            .bind(change.read_token_hash.clone().flatten())
            .bind(change.webhook_secret.clone().flatten())
            .bind(change.n_queued_max.flatten())
            .bind(change.n_namespace_max.flatten())
            .bind(change.max_seconds.flatten())
            .bind(change.retention_days.flatten())
            .fetch_optional(&self.pool)
            .await?;
        Ok(changed.unwrap_or(false))
    }

    /// Resets a queue to the defaults if its owner is still `expected_owner`. Returns whether it did.
    pub async fn clear_policy(&self, qid: Qid, expected_owner: Option<&[u8]>) -> Result<bool> {
        Ok(sqlx::query_scalar(CLEAR).bind(qid).bind(expected_owner).fetch_one(&self.pool).await?)
    }

    /// Jobs that wait in a queue, counted up to `max`.
    pub async fn queue_depth(&self, qid: Qid, max: u32) -> Result<u32> {
        let n: i64 = sqlx::query_scalar(DEPTH).bind(qid).bind(i64::from(max)).fetch_one(&self.pool).await?;
        Ok(u32::try_from(n).unwrap_or(max))
    }
}
