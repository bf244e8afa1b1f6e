//! The schemas of the answers of the task-queue API. Times are epoch milliseconds unless a description says otherwise.

#![allow(dead_code, reason = "only the macros read it")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A number of items.
#[derive(ToSchema)]
pub(crate) struct Size(i64);

/// Number of items in each stage.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) struct Sizes {
    /// Not claimed yet.
    waiting: i64,
    /// Claimed.
    processing: i64,
    /// Ended well.
    success: i64,
    /// Failed.
    fail: i64,
}

/// 0 WAITING, 1 PROCESSING, 2 SUCCESS, 3 FAIL.
#[derive(ToSchema)]
pub(crate) struct StageNumber(i32);

/// Ids of items.
#[derive(ToSchema)]
pub(crate) struct ItemIds(Vec<String>);

/// An item as it was added.
#[derive(ToSchema)]
pub(crate) struct StoredItem {
    /// Its id.
    item_id: String,
    status: StageNumber,
    /// Its body.
    item_body: Value,
}

/// How the queue is stored.
#[derive(ToSchema)]
pub(crate) struct Described {
    /// Always `SQLQueue`.
    implementation: String,
    /// Where it is stored, as far as this is shown.
    arguments: BTreeMap<String, String>,
}

/// Items as `[id, body]`.
#[derive(ToSchema)]
pub(crate) struct ItemPairs(Vec<Vec<Value>>);

/// Bodies of items, each any JSON, by their ids.
#[derive(ToSchema)]
pub(crate) struct ItemBodies(BTreeMap<String, Value>);

/// One id, or a list of them.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMoreIds {
    /// One.
    One(String),
    /// A list.
    More(Vec<String>),
}

/// Null when everything was done; otherwise one sentence for each id that was skipped.
#[derive(ToSchema)]
pub(crate) struct PassedOver(Option<PassedOverIds>);

/// The skipped ids.
#[derive(ToSchema)]
pub(crate) struct PassedOverIds {
    /// A sentence for each id.
    detail: Vec<String>,
}

/// Items that the caller has claimed.
#[derive(ToSchema)]
pub(crate) struct ClaimedItems(Vec<ClaimedItem>);

/// An item that the caller has claimed.
#[derive(ToSchema)]
pub(crate) struct ClaimedItem {
    /// Its id.
    item_id: String,
    /// Its body.
    item_body: Value,
    /// Identifies this claim. Send it when you end the claim.
    epoch: i64,
    /// Which try it is, from 1.
    attempt: i32,
    /// When the lease ends.
    #[schema(required = true)]
    deadline: Option<i64>,
}

/// Claims with a new lease, and claims that are no longer live.
#[derive(ToSchema)]
pub(crate) struct ExtendedItems {
    /// With a new lease.
    held: Vec<ExtendedItem>,
    /// Claims that another worker has now, that ended, or whose item was deleted. The worker must drop its copies.
    lost: Vec<LostItem>,
}

/// A claim with a new lease.
#[derive(ToSchema)]
pub(crate) struct ExtendedItem {
    /// Id of the item.
    item_id: String,
    /// The claim.
    epoch: i64,
    /// When the lease ends.
    #[schema(required = true)]
    deadline: Option<i64>,
}

/// A claim that is no longer live.
#[derive(ToSchema)]
pub(crate) struct LostItem {
    /// Id of the item.
    item_id: String,
    /// The claim.
    epoch: i64,
}

/// Where an item stands now.
#[derive(ToSchema)]
pub(crate) struct EndedItem {
    /// Its id.
    item_id: String,
    status: StageNumber,
}

/// Nothing.
pub(crate) struct Taken;

impl PartialSchema for Taken {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Null).description(Some("Null: it was deleted.")).into()
    }
}

impl ToSchema for Taken {}

/// The stage of an item and its history.
#[derive(ToSchema)]
pub(crate) struct ItemStanding {
    /// Its id.
    item_id: String,
    status: StageNumber,
    /// Whether it is a container job of the queue and not an item.
    is_container_job: bool,
    /// How often it was claimed.
    attempt: i32,
    /// How many claims were lost.
    lost: i32,
    /// The claim, if there was one.
    #[schema(required = true)]
    epoch: Option<i64>,
    /// Who claimed it last.
    #[schema(required = true)]
    worker_id: Option<String>,
    /// When the lease ends.
    #[schema(required = true)]
    deadline: Option<i64>,
    /// How it ended.
    #[schema(required = true)]
    reason: Option<String>,
    /// A sentence about its end.
    #[schema(required = true)]
    message: Option<String>,
    /// When it was added.
    #[schema(required = true)]
    queued_at: Option<i64>,
    /// When it was claimed.
    #[schema(required = true)]
    claimed_at: Option<i64>,
    /// When it ended.
    #[schema(required = true)]
    finished_at: Option<i64>,
}

/// Everything about one item.
#[derive(ToSchema)]
pub(crate) struct ShownItem {
    #[serde(flatten)]
    standing: ItemStanding,
    /// Its body.
    item_body: Value,
    /// The result that its worker stored.
    result: Value,
    /// The error that its worker reported.
    error: Value,
}

/// A page of items.
#[derive(ToSchema)]
pub(crate) struct ItemPage {
    /// The items.
    items: Vec<ItemStanding>,
    /// The value for `after` in the request for the next page; null on the last page.
    #[schema(required = true)]
    next: Option<String>,
}

/// The number of deleted items.
#[derive(ToSchema)]
pub(crate) struct Purged {
    /// How many.
    purged: usize,
}

/// The transitions of an item, oldest first.
#[derive(ToSchema)]
pub(crate) struct ItemHistory(Vec<ItemTransition>);

/// One transition of an item.
#[derive(ToSchema)]
pub(crate) struct ItemTransition {
    /// What happened.
    event: String,
    /// The stage after it: 0 WAITING, 1 PROCESSING, 2 SUCCESS, 3 FAIL; null when the item was deleted.
    #[schema(required = true)]
    status: Option<i32>,
    /// When.
    time: i64,
    /// Which try it was.
    attempt: Option<i32>,
    /// Whose.
    worker_id: Option<String>,
    /// How it ended.
    reason: Option<String>,
    /// A sentence about it.
    message: Option<String>,
}

/// Transitions of a queue.
#[derive(ToSchema)]
pub(crate) struct ItemEvents {
    /// In their order.
    events: Vec<ItemEvent>,
    /// The value for `since` in the next request.
    cursor: String,
}

/// One transition of a queue.
#[derive(ToSchema)]
pub(crate) struct ItemEvent {
    /// What happened.
    event: String,
    /// To which item.
    item_id: String,
    /// When.
    time: i64,
    /// Which try it was.
    attempt: Option<i32>,
    /// Whose.
    worker_id: Option<String>,
    /// Under which claim.
    epoch: Option<i64>,
    /// How it ended.
    reason: Option<String>,
    /// A sentence about it.
    message: Option<String>,
}
