//! Claims of items, with `get` for ever and with `claim` for the time of a lease; and the ends of claims.
//!
//! A claim is one statement in the database, so no item is claimed twice, by any number of processes. When a lease ends, the item
//! goes back to WAITING with its attempt counted, and after [`limits::LOST_WORKERS_MAX`] lost claims to FAIL.

use std::time::{Duration, Instant};

use axum::response::Response;
use protocol::{ErrorCode, Reason, Stage, WorkerId, limits};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sql::{ClaimKey, FinishRow, ItemClaim};

use super::Call;
use super::answer::{Refusal, bad_body, not_in_queue, ok, ok_json, stale, text_of};
use super::body::{ItemBody, item_id, item_number, read};
use crate::hint::Kinds;

/// The worker's name in claims by `get`, because its clients have no name.
const NAMELESS: &str = "task-queue";

/// `GET get/{n_items}`: claims the next items for ever. The answer is `[[id, body], …]`.
pub(super) async fn get(call: Call) -> Result<Response, Refusal> {
    let n = item_number(&call.argument)?;
    let items = claim_now(&call, NAMELESS, n, None).await?;
    Ok(ok(pairs(items.iter().map(|item| (item.job_id.as_str(), item.body.as_deref())))))
}

/// A claim that took this long found many classes of jobs, which should be tidied up.
const SLOW: Duration = Duration::from_millis(50);

/// `GET peek/{n_items}`: the items that a `get` would return now.
pub(super) async fn peek(call: Call) -> Result<Response, Refusal> {
    let n = item_number(&call.argument)?;
    let items = call.app.db.peek_items(call.qid, n.min(limits::ITEMS_CLAIM_MAX)).await?;
    Ok(ok(pairs(items.iter().map(|item| (item.job_id.as_str(), item.body.as_deref())))))
}

fn pairs<'t>(items: impl Iterator<Item = (&'t str, Option<&'t str>)>) -> String {
    let mut out = String::from("[");
    for (id, body) in items {
        out.push_str(if out.len() > 1 { ",[" } else { "[" });
        out.push_str(&text_of(id));
        out.push(',');
        out.push_str(body.unwrap_or("null"));
        out.push(']');
    }
    out.push(']');
    out
}

async fn claim_now(call: &Call, worker_id: &str, n: i64, lease: Option<Duration>) -> Result<Vec<ItemClaim>, Refusal> {
    let start = Instant::now();
    let items = call.app.db.claim_items(call.qid, worker_id, n.min(limits::ITEMS_CLAIM_MAX), lease).await?;
    if start.elapsed() > SLOW {
        let (db, qid) = (call.app.db.clone(), call.qid);
        tokio::spawn(async move {
            // If this fails, maintenance tidies up later.
            let _ = db.tidy_classes(qid, false).await;
        });
    }
    if !items.is_empty() {
        call.app.hint(call.qid, Kinds::STATES);
        metrics::counter!("asman_jobs_claimed_total").increment(items.len() as u64);
    }
    Ok(items)
}

/// Which items to claim, all optional.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct ClaimBody {
    /// How many at most.
    #[schema(minimum = 1)]
    n_items: i64,
    /// The name of the worker.
    #[schema(value_type = WorkerId)]
    worker_id: String,
    /// How long the claims live without a heartbeat, at most 30 days.
    #[schema(exclusive_minimum = 0.0, maximum = 2_592_000.0)]
    lease_seconds: f64,
    /// How long to wait for the first item, at most 30.
    #[schema(minimum = 0.0)]
    wait_seconds: f64,
}

impl Default for ClaimBody {
    fn default() -> Self {
        Self { n_items: 1, worker_id: NAMELESS.to_owned(), lease_seconds: limits::LEASE.as_secs_f64(), wait_seconds: 0.0 }
    }
}

/// `POST claim`: `{n_items, worker_id, lease_seconds, wait_seconds}` → `[{item_id, item_body, epoch, attempt, deadline}, …]`. Waits for the
/// first item at most `wait_seconds`.
pub(super) async fn claim(mut call: Call) -> Result<Response, Refusal> {
    let body: ClaimBody = read(&mut call).await?.into_typed()?;
    let worker: WorkerId = body.worker_id.parse().map_err(|error: protocol::InvalidName| bad_body(&error.to_string()))?;
    if body.n_items <= 0 {
        return Err(bad_body("n_items must be greater than 0"));
    }
    let lease = lease_of(body.lease_seconds)?;
    let wait = Duration::try_from_secs_f64(body.wait_seconds).map_err(|_| bad_body("wait_seconds must be a number from 0"))?;
    let until = tokio::time::Instant::now() + wait.min(limits::WAIT_MAX);
    let mut watch = call.app.hub.watch(call.qid);
    loop {
        watch.borrow_and_update();
        let items = claim_now(&call, worker.as_str(), body.n_items, Some(lease)).await?;
        if !items.is_empty() || wait.is_zero() {
            return Ok(ok(claims_text(&items)));
        }
        tokio::select! {
            _ = watch.changed() => {}
            // Hints may be lost, and the time that a released job must wait ends without a hint.
            () = tokio::time::sleep_until(until.min(tokio::time::Instant::now() + call.app.config.poll.0)) => {}
            () = call.app.shutdown.cancelled() => return Ok(ok("[]".to_owned())),
        }
        if tokio::time::Instant::now() >= until {
            return Ok(ok(claims_text(&claim_now(&call, worker.as_str(), body.n_items, Some(lease)).await?)));
        }
    }
}

fn lease_of(seconds: f64) -> Result<Duration, Refusal> {
    let lease = Duration::try_from_secs_f64(seconds).ok().filter(|lease| !lease.is_zero() && *lease <= limits::ITEM_LEASE_MAX);
    let max = limits::ITEM_LEASE_MAX.as_secs();
    lease.ok_or_else(|| bad_body(&format!("lease_seconds must be a number above 0, at most {max}")))
}

fn claims_text(items: &[ItemClaim]) -> String {
    let text = |item: &ItemClaim| {
        let (id, body) = (text_of(&item.job_id), item.body.as_deref().unwrap_or("null"));
        let (epoch, attempt, deadline) = (item.epoch, item.attempt, json!(item.deadline_ms));
        format!("{{\"item_id\":{id},\"item_body\":{body},\"epoch\":{epoch},\"attempt\":{attempt},\"deadline\":{deadline}}}")
    };
    format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(","))
}

/// A claim.
#[derive(Deserialize, Serialize, utoipa::ToSchema)]
pub(crate) struct HeldItem {
    /// Id of the item.
    item_id: String,
    /// The claim.
    epoch: i64,
}

/// The claims to extend.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct HeartbeatBody {
    /// How long they live from now, at most 30 days.
    #[schema(exclusive_minimum = 0.0, maximum = 2_592_000.0)]
    lease_seconds: Option<f64>,
    /// The claims, at most 4096.
    #[schema(max_items = 4096)]
    items: Vec<HeldItem>,
}

/// `POST heartbeat`: `{lease_seconds, items: [{item_id, epoch}]}` gives these claims a new lease from now. The answer is
/// `{"held": [{item_id, epoch, deadline}], "lost": [{item_id, epoch}]}`.
pub(super) async fn heartbeat(mut call: Call) -> Result<Response, Refusal> {
    let body: HeartbeatBody = read(&mut call).await?.into_typed()?;
    if body.items.len() > limits::HEARTBEAT_JOBS_MAX {
        return Err(bad_body(&format!("a heartbeat may name {} items", limits::HEARTBEAT_JOBS_MAX)));
    }
    let lease = lease_of(body.lease_seconds.unwrap_or(limits::LEASE.as_secs_f64()))?;
    super::body::check_ids(body.items.iter().map(|item| item.item_id.as_str()))?;
    let ids: Vec<&str> = body.items.iter().map(|item| item.item_id.as_str()).collect();
    let epochs: Vec<i64> = body.items.iter().map(|item| item.epoch).collect();
    let held = call.app.db.extend_items(call.qid, &ids, &epochs, lease).await?;
    let is_lost = |item: &&HeldItem| !held.iter().any(|(id, epoch, _)| *id == item.item_id && *epoch == item.epoch);
    let lost: Vec<Value> =
        body.items.iter().filter(is_lost).map(|item| json!({"item_id": item.item_id, "epoch": item.epoch})).collect();
    let held: Vec<Value> =
        held.iter().map(|(id, epoch, deadline)| json!({"item_id": id, "epoch": epoch, "deadline": deadline})).collect();
    ok_json(&json!({"held": held, "lost": lost}))
}

/// How a claim ends, all optional.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct EndBody {
    /// The claim; absent means the one that is live now.
    epoch: Option<i64>,
    /// The result of the item.
    #[schema(value_type = Value)]
    result: Option<Box<RawValue>>,
    /// The error.
    error: Option<Value>,
    /// A sentence that is shown with the item.
    message: Option<String>,
}

/// `POST success/{item_id}`: ends a claim with success. Body, all optional: `{epoch, result, message}`. 409 when the item is not
/// in PROCESSING, or not under this epoch.
pub(super) async fn success(call: Call) -> Result<Response, Refusal> {
    end(call, Reason::Success).await
}

/// `POST fail/{item_id}`: ends a claim as failed. Body, all optional: `{epoch, error, message, result}`.
pub(super) async fn fail(call: Call) -> Result<Response, Refusal> {
    end(call, Reason::Error).await
}

async fn end(mut call: Call, reason: Reason) -> Result<Response, Refusal> {
    let body: EndBody = read_end(&mut call).await?;
    let epoch = live_epoch(&call, body.epoch).await?;
    let message = body.message.clone().or_else(|| body.error.as_ref().and_then(Value::as_str).map(ToOwned::to_owned));
    let row = FinishRow {
        key: ClaimKey { qid: call.qid, job_id: call.argument.clone(), epoch },
        reason,
        code: None,
        fault: None,
        message: message.map(|text| text.replace('\0', "\u{fffd}")),
        status_code: None,
        duration_ms: None,
        result: result_text(&body, reason),
    };
    call.app.finish(row).await?;
    let stage = if reason == Reason::Success { Stage::Success } else { Stage::Fail };
    ok_json(&json!({"item_id": call.argument, "status": stage.number()}))
}

/// The text that is stored when a claim ends: a result like that of a container job, with the item's own result added.
fn result_text(body: &EndBody, reason: Reason) -> String {
    let said = match (&body.message, &body.error) {
        (Some(message), Some(error)) => json!({"message": message, "error": error}),
        (Some(message), None) => json!({"message": message}),
        (None, error) => json!({"message": error}),
    };
    let error = (reason != Reason::Success).then(|| json!({"statusCode": null, "json": said}).to_string());
    let error = error.map(|error| format!(",\"error\":{error}")).unwrap_or_default();
    let result = body.result.as_ref().map(|result| format!(",\"result\":{}", result.get())).unwrap_or_default();
    format!("{{\"isTimedOut\":false,\"outputs\":{{}}{error}{result}}}")
}

async fn read_end(call: &mut Call) -> Result<EndBody, Refusal> {
    let entry = read(call).await?;
    // A client that sends no body may still send the content type of a form.
    let body: EndBody =
        if matches!(&entry, ItemBody::Text(text) if text.trim().is_empty()) { EndBody::default() } else { entry.into_typed()? };
    let n_bytes = body.result.as_ref().map_or(0, |result| result.get().len())
        + body.message.as_ref().map_or(0, String::len)
        + body.error.as_ref().map_or(0, |error| error.to_string().len());
    if n_bytes > limits::RESULT_BYTES_MAX {
        return Err(Refusal::Refused(
            ErrorCode::TooLarge,
            format!("a result may have at most {} MiB", limits::RESULT_BYTES_MAX / 1024 / 1024),
        ));
    }
    Ok(body)
}

/// The epoch that the caller names, or the epoch of the live claim.
async fn live_epoch(call: &Call, named: Option<i64>) -> Result<i64, Refusal> {
    let id = item_id(call)?;
    let item = call.app.db.get_item(call.qid, id).await?.ok_or_else(|| Refusal::Refused(ErrorCode::NoItem, not_in_queue(id)))?;
    if let Some(epoch) = named {
        return Ok(epoch);
    }
    let stage = Stage::numbered(item.summary.stage).unwrap_or(Stage::Waiting);
    if stage == Stage::Processing {
        return Ok(item.summary.epoch);
    }
    Err(Refusal::Refused(ErrorCode::WrongStage, format!("Item '{id}' is in {}, not in PROCESSING", stage.as_str())))
}

/// `POST release/{item_id}`: puts an item back to WAITING, at its old position and without a penalty. Body, optional:
/// `{epoch}`.
pub(super) async fn release(mut call: Call) -> Result<Response, Refusal> {
    let body = read_end(&mut call).await?;
    let epoch = live_epoch(&call, body.epoch).await?;
    let key = ClaimKey { qid: call.qid, job_id: call.argument.clone(), epoch };
    if call.app.release(&[key.into()]).await?.is_empty() {
        return Err(stale());
    }
    ok_json(&json!({"item_id": call.argument, "status": Stage::Waiting.number()}))
}
