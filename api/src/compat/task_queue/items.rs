//! Lists a queue's items and their events, and deletes items.
//!
//! Pages contain at most [`limits::ITEMS_PAGE_MAX`] entries. Times are epoch milliseconds.

use axum::extract::Query;
use axum::http::Uri;
use axum::response::Response;
use protocol::{ErrorCode, HistoryEntry, JobState, Reason, Stage, limits};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sql::{EventRow, ItemRow, ItemSummary};

use super::Call;
use super::answer::{Refusal, bad_parameter, not_in_queue, ok, ok_json};
use super::body::item_id;
use super::stages::stage_of;
use crate::hint::Kinds;

/// Most items that one statement deletes.
const PURGE_STEP: i64 = 5_000;
/// Default number of entries of a page.
const PAGE: i64 = 100;

fn parameters<T: DeserializeOwned>(call: &Call) -> Result<T, Refusal> {
    let uri: Uri = format!("/?{}", call.query).parse().map_err(|_| bad_parameter("", "the query cannot be read"))?;
    Query::try_from_uri(&uri).map(|Query(value)| value).map_err(|error| bad_parameter("", &error.to_string()))
}

fn page_size(limit: Option<i64>) -> Result<i64, Refusal> {
    let max = limits::ITEMS_PAGE_MAX;
    let limit = limit.unwrap_or(PAGE);
    if (1..=max).contains(&limit) { Ok(limit) } else { Err(bad_parameter("limit", &format!("limit must be 1 to {max}"))) }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// Only items in this stage: `WAITING`, `PROCESSING`, `SUCCESS` or `FAIL`.
    stage: Option<String>,
    /// Only ids that begin with this.
    prefix: Option<String>,
    /// How many at most; 100 when it is absent.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<i64>,
    /// `next` of the last page.
    after: Option<String>,
}

/// `GET items?stage=&prefix=&limit=&after=`: a page of items in the order of their ids; `after` is the last page's `next`.
pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let asked: ListParameters = parameters(&call)?;
    let stage = asked.stage.as_deref().filter(|word| !word.is_empty());
    let known = |word: &str| {
        Stage::named(word).ok_or_else(|| Refusal::Refused(ErrorCode::InvalidParameter, format!("{word} not a Queue Item Stage")))
    };
    let stage = stage.map(known).transpose()?;
    let limit = page_size(asked.limit)?;
    let prefix = asked.prefix.unwrap_or_default();
    if prefix.contains('\0') || asked.after.as_ref().is_some_and(|after| after.contains('\0')) {
        return Err(bad_parameter("after", "an item's id must not contain a NUL"));
    }
    let rows = call.app.db.list_items(call.qid, stage, &prefix, asked.after.as_deref(), limit).await?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|n| n >= limit);
    let next = if is_full { rows.last().map(|row| row.job_id.clone()) } else { None };
    ok_json(&json!({"items": rows.iter().map(summary).collect::<Vec<_>>(), "next": next}))
}

fn summary(row: &ItemSummary) -> Value {
    json!({"item_id": row.job_id, "status": row.stage, "is_container_job": !row.is_item, "attempt": row.attempt, "lost": row.n_lost,
        "epoch": (row.epoch > 0).then_some(row.epoch), "worker_id": row.worker_id, "deadline": row.deadline_ms, "reason": row.reason,
        "message": row.message, "queued_at": row.queued_ms, "claimed_at": row.claimed_ms, "finished_at": row.finished_ms})
}

#[derive(serde::Serialize)]
struct Shown {
    #[serde(flatten)]
    summary: Value,
    item_body: Box<RawValue>,
    result: Option<Box<RawValue>>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Left {
    result: Option<Box<RawValue>>,
    error: Option<Value>,
}

/// `GET item/{item_id}`: everything about one item, with its body and its result.
pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    let id = item_id(&call)?;
    let row = call.app.db.get_item(call.qid, id).await?.ok_or_else(|| Refusal::Refused(ErrorCode::NoItem, not_in_queue(id)))?;
    let ItemRow { summary: about, body, result } = row;
    let left: Left = result.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let raw = |text: String| RawValue::from_string(text).map_err(crate::error::ApiError::bad_request);
    let item_body = raw(body.unwrap_or_else(|| "null".to_owned()))?;
    ok_json(&Shown { summary: summary(&about), item_body, result: left.result, error: left.error })
}

/// `DELETE item/{item_id}`: deletes an item in any stage; the worker that has claimed it is refused from now on.
pub(super) async fn remove(call: Call) -> Result<Response, Refusal> {
    let id = item_id(&call)?;
    if call.app.db.remove_items(call.qid, &[id], None).await?.is_empty() {
        return Err(Refusal::Refused(ErrorCode::NoItem, not_in_queue(id)));
    }
    call.app.hint(call.qid, Kinds::STATES);
    Ok(ok("null".to_owned()))
}

/// `POST purge/{stage}`: deletes all items of a stage. Returns their number.
pub(super) async fn purge(call: Call) -> Result<Response, Refusal> {
    let stage = stage_of(&call)?;
    let mut n_gone = 0;
    loop {
        let ids = call.app.db.item_ids(call.qid, stage, PURGE_STEP, true).await?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let gone = if ids.is_empty() { Vec::new() } else { call.app.db.remove_items(call.qid, &ids, Some(stage)).await? };
        if !gone.is_empty() {
            call.app.hint(call.qid, Kinds::STATES);
        }
        n_gone += gone.len();
        // If nothing was deleted, the remaining items have left the stage by themselves. The second condition ends the loop when
        // items keep coming.
        if gone.is_empty() || n_gone >= limits::ITEMS_PUT_MAX * 10 {
            return ok_json(&json!({"purged": n_gone}));
        }
    }
}

/// `GET history/{item_id}`: every transition of one item, oldest first; also of a deleted item.
pub(super) async fn history(call: Call) -> Result<Response, Refusal> {
    let id = item_id(&call)?;
    let entries = call.app.db.job_history(call.qid, id).await?;
    if entries.is_empty() {
        return Err(Refusal::Refused(ErrorCode::NoItem, not_in_queue(id)));
    }
    let entry = |entry: &HistoryEntry| {
        let stage = match (entry.state, entry.reason) {
            (JobState::Queued, _) => Some(Stage::Waiting),
            (JobState::Running, _) => Some(Stage::Processing),
            (JobState::Finished, Some(Reason::Success)) => Some(Stage::Success),
            (JobState::Finished, Some(Reason::Deleted)) | (JobState::Removed, _) => None,
            (JobState::Finished, _) => Some(Stage::Fail),
        };
        json!({"event": entry.event, "status": stage.map(Stage::number), "time": entry.time, "attempt": entry.attempt,
            "worker_id": entry.worker, "reason": entry.reason, "message": entry.message})
    };
    ok_json(&entries.iter().map(entry).collect::<Vec<_>>())
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParameters {
    /// `cursor` of the last answer; absent means from the beginning.
    #[param(pattern = "^[0-9]+-[0-9]+$")]
    since: Option<String>,
    /// How many at most; 100 when it is absent.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<i64>,
}

/// `GET events?since=&limit=`: transitions of the queue in their order, after `since`, the `cursor` of the last read. None is
/// skipped or repeated.
pub(super) async fn events(call: Call) -> Result<Response, Refusal> {
    let asked: EventParameters = parameters(&call)?;
    let limit = page_size(asked.limit)?;
    let since = asked.since.filter(|since| !since.is_empty()).unwrap_or_else(|| "0-0".to_owned());
    let place = since.split_once('-').and_then(|(xid, seq)| Some((xid.parse::<u64>().ok()?, seq.parse::<i64>().ok()?)));
    let (xid, seq) = place.ok_or_else(|| bad_parameter("since", "since must be a cursor of an earlier answer"))?;
    let rows = call.app.db.item_events(call.qid, &xid.to_string(), seq, limit).await?;
    let cursor = rows.last().map_or(since, |row| format!("{}-{}", row.xid, row.seq));
    let event = |row: &EventRow| {
        json!({"event": row.kind, "item_id": row.job_id, "time": row.at_ms, "attempt": row.attempt, "worker_id": row.worker_id,
            "epoch": row.epoch, "reason": row.reason, "message": row.message})
    };
    ok_json(&json!({"events": rows.iter().map(event).collect::<Vec<_>>(), "cursor": cursor}))
}
