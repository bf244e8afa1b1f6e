//! `/q/:queue/policy`: the settings of a queue's owner. No answer shows a token or a secret, only whether it is set.

use axum::Json;
use axum::extract::State;
use protocol::{Duration, ErrorCode, Qid};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use sql::{PolicyChange, PolicyRow};

use crate::access::{Caller, Owner, Right, hash_new, judge};
use crate::app::{App, AppState};
use crate::description::schemas::{Refusals, ShownPolicy, TooLarge};
use crate::error::ApiError;
use crate::extract::{Body, QueuePath};
use crate::hint::Kinds;

/// How often a change is tried while other clients change the same policy.
const TRIES: u32 = 3;
const DAY_SECONDS: u64 = 86_400;
const DAY: std::time::Duration = std::time::Duration::from_secs(DAY_SECONDS);

/// The change of one part of a policy: absent keeps the part, null removes it.
type Part<T> = Option<Option<T>>;

/// The changes of a policy: an absent part stays as it is, null removes it.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct PolicyBody {
    /// Whether workers get no jobs.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<bool>)]
    paused: Part<bool>,
    /// Required by the policy's own routes; gives every other permission too.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<String>, min_length = 16, max_length = 255, pattern = "^[!-~]+$")]
    owner_token: Part<String>,
    /// Required by the worker API.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<String>, min_length = 16, max_length = 255, pattern = "^[!-~]+$")]
    worker_token: Part<String>,
    /// Required to submit, cancel and copy jobs.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<String>, min_length = 16, max_length = 255, pattern = "^[!-~]+$")]
    submit_token: Part<String>,
    /// Required by everything that only reads.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<String>, min_length = 16, max_length = 255, pattern = "^[!-~]+$")]
    read_token: Part<String>,
    /// Most jobs that may wait.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<i32>, minimum = 1)]
    max_queued: Part<i32>,
    /// Most jobs that may wait in one namespace.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<i32>, minimum = 1)]
    max_per_namespace: Part<i32>,
    /// Longest run of a job.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<Duration>)]
    max_duration: Part<Duration>,
    /// How long finished jobs are kept, in whole days, rounded up.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<Duration>)]
    retention: Part<Duration>,
    /// Signs webhooks.
    #[serde(deserialize_with = "part")]
    #[schema(value_type = Option<String>, min_length = 16, max_length = 255, pattern = "^[!-~]+$")]
    webhook_secret: Part<String>,
}

fn part<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Part<T>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// `GET /q/:queue/policy`: the settings of a queue's owner. Tokens and secrets are not shown, only whether they are set.
#[utoipa::path(
    get,
    path = "/q/{queue}/policy",
    tag = "policy",
    params(QueuePath),
    responses((status = 200, description = "The policy.", body = ShownPolicy), Refusals),
)]
pub(crate) async fn get(State(app): State<AppState>, Owner(queue): Owner) -> Result<Json<Value>, ApiError> {
    Ok(show(&app.db.policy(queue.qid()).await?))
}

/// `PUT /q/:queue/policy`: change the named parts. The first caller may set the owner's token.
#[utoipa::path(
    put,
    path = "/q/{queue}/policy",
    tag = "policy",
    params(QueuePath),
    request_body(content = PolicyBody, example = json!({"maxQueued": 1000, "paused": false})),
    responses((status = 200, description = "The policy from now on.", body = ShownPolicy), TooLarge, Refusals),
)]
pub(crate) async fn put(
    State(app): State<AppState>,
    Owner(queue): Owner,
    caller: Caller,
    Body(body): Body<PolicyBody>,
) -> Result<Json<Value>, ApiError> {
    let change = body.into_change()?;
    let qid = queue.qid();
    for _ in 0..TRIES {
        let owner = owner_now(&app, qid, &caller).await?;
        if app.db.change_policy(qid, owner.as_deref(), &change).await? {
            tell(&app, qid).await;
            return Ok(show(&app.db.policy(qid).await?));
        }
    }
    Err(ApiError::WrongToken)
}

/// `DELETE /q/:queue/policy`: reset to the defaults: the queue is open to everyone who knows its name.
#[utoipa::path(
    delete,
    path = "/q/{queue}/policy",
    tag = "policy",
    params(QueuePath),
    responses((status = 200, description = "The policy from now on.", body = ShownPolicy), Refusals),
)]
pub(crate) async fn delete(State(app): State<AppState>, Owner(queue): Owner, caller: Caller) -> Result<Json<Value>, ApiError> {
    let qid = queue.qid();
    for _ in 0..TRIES {
        let owner = owner_now(&app, qid, &caller).await?;
        if app.db.clear_policy(qid, owner.as_deref()).await? {
            tell(&app, qid).await;
            return Ok(show(&PolicyRow::default()));
        }
    }
    Err(ApiError::WrongToken)
}

/// Checks the caller again, because the first check may have used an older policy. Returns the hash of the owner's token.
async fn owner_now(app: &App, qid: Qid, caller: &Caller) -> Result<Option<Vec<u8>>, ApiError> {
    let policy = app.db.policy(qid).await?;
    judge(&policy, Right::Own, caller)?;
    Ok(policy.owner_token_hash)
}

/// Makes all processes use the new policy and try claims again, because a pause may have ended.
async fn tell(app: &App, qid: Qid) {
    app.policies.forget(qid).await;
    app.hint(qid, Kinds::POLICY | Kinds::CLAIMABLE);
}

impl PolicyBody {
    fn into_change(self) -> Result<PolicyChange, ApiError> {
        let token = |what, token: Part<String>| token.map(|t| t.map(|t| hash_new(what, &t)).transpose()).transpose();
        if let Some(Some(secret)) = &self.webhook_secret {
            hash_new("webhookSecret", secret)?;
        }
        let is_whole = |kept: Duration| kept.0.as_nanos().is_multiple_of(DAY.as_nanos());
        if self.retention.flatten().is_some_and(|kept| !is_whole(kept)) {
            return Err(ApiError::refused(
                ErrorCode::InvalidPolicy,
                "retention must be whole days, such as 7d; null removes it".to_owned(),
            ));
        }
        let days = |seconds: u64| seconds / DAY_SECONDS;
        Ok(PolicyChange {
            is_paused: self.paused,
            owner_token_hash: token("ownerToken", self.owner_token)?,
            worker_token_hash: token("workerToken", self.worker_token)?,
            submit_token_hash: token("submitToken", self.submit_token)?,
            read_token_hash: token("readToken", self.read_token)?,
            webhook_secret: self.webhook_secret,
            n_queued_max: positive("maxQueued", self.max_queued)?,
            n_namespace_max: positive("maxPerNamespace", self.max_per_namespace)?,
            max_seconds: positive("maxDuration", whole(self.max_duration, |seconds| seconds))?,
            retention_days: positive("retention", whole(self.retention, days))?,
        })
    }
}

/// A duration in whole units, rounded up; `protocol` bounds it to 30 days.
fn whole(duration: Part<Duration>, of_seconds: impl Fn(u64) -> u64) -> Part<i32> {
    duration.map(|duration| {
        let seconds = duration?.0.as_millis().div_ceil(1_000);
        Some(i32::try_from(of_seconds(u64::try_from(seconds).unwrap_or(u64::MAX))).unwrap_or(i32::MAX))
    })
}

fn positive(what: &str, number: Part<i32>) -> Result<Part<i32>, ApiError> {
    match number {
        Some(Some(n)) if n < 1 => {
            Err(ApiError::refused(ErrorCode::InvalidPolicy, format!("{what} must be greater than zero; null removes it")))
        }
        other => Ok(other),
    }
}

fn show(policy: &PolicyRow) -> Json<Value> {
    let duration = |n: Option<i32>, unit: u64| {
        let seconds = |n: i32| std::time::Duration::from_secs(u64::try_from(n).unwrap_or(0) * unit);
        n.map(|n| Duration(seconds(n)))
    };
    Json(json!({"data": {
        "paused": policy.is_paused,
        "ownerToken": policy.owner_token_hash.is_some(),
        "workerToken": policy.worker_token_hash.is_some(),
        "submitToken": policy.submit_token_hash.is_some(),
        "readToken": policy.read_token_hash.is_some(),
        "maxQueued": policy.n_queued_max,
        "maxPerNamespace": policy.n_namespace_max,
        "maxDuration": duration(policy.max_seconds, 1),
        "retention": duration(policy.retention_days, DAY_SECONDS),
        "webhookSecret": policy.has_webhook_secret,
    }}))
}
