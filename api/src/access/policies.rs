//! The policies of queues, as this process knows them.
//!
//! At most [`KEPT`] are cached, each for [`FRESH`]: in that time a queue costs one look-up by key, with or without a policy.
//! The process that changed a policy uses the new one at once. The others use it when the notification arrives, within
//! milliseconds, or without notifications after [`FRESH`]. The limits on waiting jobs and the pause do not depend on this
//! cache: the SQL statements read them from the database.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use protocol::Qid;
use sql::{Db, PolicyRow};

use super::{Caller, Right};
use crate::error::ApiError;

/// How old a cached policy may be when it decides about a permission.
const FRESH: Duration = Duration::from_secs(5);
/// Queues whose policies are cached.
const KEPT: u64 = 50_000;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Policies {
    db: Db,
    known: Cache<Qid, Arc<PolicyRow>>,
}

impl Policies {
    pub(crate) fn new(db: Db) -> Self {
        Self { db, known: Cache::builder().max_capacity(KEPT).time_to_live(FRESH).build() }
    }

    async fn get(&self, qid: Qid) -> Result<Arc<PolicyRow>, ApiError> {
        let look = async { self.db.policy(qid).await.map(Arc::new) };
        self.known.try_get_with(qid, look).await.map_err(ApiError::Database)
    }

    /// Forgets the policy of a queue, because it changed.
    pub(crate) async fn forget(&self, qid: Qid) {
        self.known.invalidate(&qid).await;
    }

    /// Forgets all policies: notifications were lost, so any policy may have changed.
    pub(crate) fn forget_all(&self) {
        self.known.invalidate_all();
    }

    /// Checks that a caller has a permission, or says why not.
    pub(crate) async fn check(&self, qid: Qid, right: Right, caller: &Caller) -> Result<(), ApiError> {
        let outcome = judge(&*self.get(qid).await?, right, caller);
        if outcome.is_err() {
            metrics::counter!("asman_requests_without_right_total").increment(1);
        }
        outcome
    }

    /// Whether the owner has paused the queue, for display only: claims check the database themselves.
    pub(crate) async fn is_paused(&self, qid: Qid) -> Result<bool, ApiError> {
        Ok(self.get(qid).await?.is_paused)
    }

    /// Whether a caller has a permission.
    pub(crate) async fn may(&self, qid: Qid, right: Right, caller: &Caller) -> Result<bool, ApiError> {
        Ok(judge(&*self.get(qid).await?, right, caller).is_ok())
    }
}

/// Whether a policy gives a caller a permission.
pub(crate) fn judge(policy: &PolicyRow, right: Right, caller: &Caller) -> Result<(), ApiError> {
    let asked = match right {
        Right::Read => &policy.read_token_hash,
        Right::Submit => &policy.submit_token_hash,
        Right::Remove if policy.owner_token_hash.is_none() => &policy.submit_token_hash,
        Right::Work => &policy.worker_token_hash,
        Right::Remove | Right::Own => &policy.owner_token_hash,
    };
    let Some(asked) = asked else { return Ok(()) };
    let token = caller.token().ok_or(ApiError::NoToken)?;
    let is_owner = policy.owner_token_hash.as_ref().is_some_and(|owner| token.is(owner));
    if token.is(asked) | is_owner { Ok(()) } else { Err(ApiError::WrongToken) }
}
