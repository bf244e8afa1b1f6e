//! Stages of items: counts, look-ups, and a description of the queue.

use axum::response::Response;
use protocol::{ErrorCode, Stage, limits};
use serde_json::json;

use super::Call;
use super::answer::{Refusal, not_in_queue, ok, ok_json, text_of};
use super::body::item_id;

/// The stage of a path.
pub(super) fn stage_of(call: &Call) -> Result<Stage, Refusal> {
    let word = &call.argument;
    Stage::named(word).ok_or_else(|| Refusal::Refused(ErrorCode::InvalidParameter, format!("{word} not a Queue Item Stage")))
}

/// `GET size/{stage}`: how many items are in the stage.
pub(super) async fn size(call: Call) -> Result<Response, Refusal> {
    let stage = stage_of(&call)?;
    let counts = call.app.db.count_items(call.qid).await?;
    let number = match stage {
        Stage::Waiting => counts.waiting,
        Stage::Processing => counts.processing,
        Stage::Success => counts.success,
        Stage::Fail => counts.fail,
    };
    Ok(ok(number.to_string()))
}

/// `GET sizes`: how many items are in each stage, at one moment.
pub(super) async fn sizes(call: Call) -> Result<Response, Refusal> {
    let counts = call.app.db.count_items(call.qid).await?;
    ok_json(&json!({"WAITING": counts.waiting, "PROCESSING": counts.processing, "SUCCESS": counts.success, "FAIL": counts.fail}))
}

/// `GET status/{item_id}`: the number of the item's stage.
pub(super) async fn status(call: Call) -> Result<Response, Refusal> {
    let id = item_id(&call)?;
    let item = call.app.db.get_item(call.qid, id).await?;
    let item = item.ok_or_else(|| Refusal::Refused(ErrorCode::UnknownItem, not_in_queue(id)))?;
    Ok(ok(item.summary.stage.to_string()))
}

/// `GET lookup_state/{stage}`: the ids in the stage. Those of waiting items come in the order of the queue.
pub(super) async fn lookup_state(call: Call) -> Result<Response, Refusal> {
    let stage = stage_of(&call)?;
    let max = limits::ITEMS_LISTED_MAX;
    let ids = call.app.db.item_ids(call.qid, stage, max + 1, false).await?;
    if i64::try_from(ids.len()).unwrap_or(i64::MAX) > max {
        return Err(Refusal::Refused(
            ErrorCode::TooLarge,
            format!("more than {max} items are in this stage; use the pages of items?stage="),
        ));
    }
    ok_json(&ids)
}

/// `GET lookup_item/{item_id}`: the item with its body.
pub(super) async fn lookup_item(call: Call) -> Result<Response, Refusal> {
    let id = item_id(&call)?;
    let item = call.app.db.get_item(call.qid, id).await?;
    let item = item.ok_or_else(|| Refusal::Refused(ErrorCode::UnknownItem, not_in_queue(id)))?;
    let (id, stage, body) = (text_of(id), item.summary.stage, item.body.as_deref().unwrap_or("null"));
    Ok(ok(format!("{{\"item_id\":{id},\"status\":{stage},\"item_body\":{body}}}")))
}

/// `GET describe`: how the queue is stored. The location and the account are not shown.
pub(super) fn describe(call: &Call) -> Response {
    let arguments = json!({"connection_string": "postgresql://***", "queue_name": call.queue.as_str()});
    ok(json!({"implementation": "SQLQueue", "arguments": arguments}).to_string())
}
