//! Adds items, and queues failed ones again.
//!
//! Items go to the database in order, in transactions of at most [`limits::ITEMS_CHUNK_MAX`] items: each transaction is stored
//! whole or not at all, and sending the same again is harmless.

use std::collections::HashSet;

use axum::response::Response;
use protocol::{ErrorCode, Item, Stage, limits};
use serde_json::json;
use sql::StagedItem;

use super::Call;
use super::answer::{Refusal, bad_body, ok, ok_json};
use super::body::{check_ids, read};
use crate::hint::Kinds;

/// `POST put`: an object from ids to bodies. Ids that the queue has in any stage are skipped and named; the first body stays.
pub(super) async fn put(mut call: Call) -> Result<Response, Refusal> {
    let members = read(&mut call).await?.into_members()?;
    check_number(members.len())?;
    check_ids(members.iter().map(|(id, _)| id.as_str()))?;
    let item = |(id, body)| Item::new(id, body).map(|item| StagedItem { item, stage: Stage::Waiting });
    let items: Vec<StagedItem> =
        members.into_iter().map(item).collect::<Result<_, _>>().map_err(|error| bad_body(&error.to_string()))?;
    let mut skipped = Vec::new();
    for chunk in chunks(&items) {
        let added: HashSet<usize> = call.app.db.add_items(call.qid, chunk, None).await?.into_iter().collect();
        if !added.is_empty() {
            call.app.hint(call.qid, Kinds::STATES | Kinds::CLAIMABLE);
        }
        let left = chunk.iter().enumerate().filter(|(n, _)| !added.contains(n));
        skipped.extend(left.map(|(_, staged)| format!("Item '{}' already in queue. Skipping.", staged.item.id)));
    }
    told(&skipped)
}

/// `POST requeue`: one id or a list of them. Items in FAIL wait again, behind all others; the other ids are named.
pub(super) async fn requeue(mut call: Call) -> Result<Response, Refusal> {
    let ids = read(&mut call).await?.into_ids()?;
    check_number(ids.len())?;
    // An id that is too long to be stored is in no stage, so it is skipped and not refused.
    check_ids(ids.iter().map(String::as_str).filter(|id| id.contains('\0')))?;
    let mut seen = HashSet::new();
    let distinct: Vec<&str> = ids.iter().map(String::as_str).filter(|id| seen.insert(*id)).collect();
    let mut skipped = Vec::new();
    for chunk in distinct.chunks(limits::ITEMS_CHUNK_MAX) {
        let rows = call.app.db.row_ids(call.qid, chunk).await?;
        let mut met = HashSet::new();
        let wanted: Vec<&str> = rows.iter().map(String::as_str).filter(|id| met.insert(*id)).collect();
        let again: HashSet<String> = call.app.db.requeue_items(call.qid, &wanted).await?.into_iter().collect();
        if !again.is_empty() {
            call.app.hint(call.qid, Kinds::STATES | Kinds::CLAIMABLE);
        }
        let left = chunk.iter().zip(&rows).filter(|(_, row)| !again.contains(*row));
        skipped.extend(left.map(|(id, _)| format!("Item '{id}' not in a FAIL state. Skipping.")));
    }
    told(&skipped)
}

fn check_number(n: usize) -> Result<(), Refusal> {
    let max = limits::ITEMS_PUT_MAX;
    if n > max {
        Err(Refusal::Refused(ErrorCode::TooLarge, format!("a request may name at most {max} items; send several requests")))
    } else {
        Ok(())
    }
}

/// `null`, or the skipped ids.
fn told(skipped: &[String]) -> Result<Response, Refusal> {
    if skipped.is_empty() { Ok(ok("null".to_owned())) } else { ok_json(&json!({"detail": skipped})) }
}

/// Items that go to the database together. The request's size already limits their bytes.
fn chunks(items: &[StagedItem]) -> std::slice::Chunks<'_, StagedItem> {
    items.chunks(limits::ITEMS_CHUNK_MAX)
}
