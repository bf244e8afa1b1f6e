//! Items of the task-queue API: add, claim, peek, count, look up, list, requeue, extend, remove; their events.
//!
//! An item is a job like any other. Its text is stored under the hash of the text itself and not of its canonical form, so that
//! it is read back byte for byte. The hash is seeded, so that it never equals a definition's. Only the login of a build context
//! is stored separately.

use std::time::Duration;

use protocol::{Item, ParsedDefinition, Qid, Stage, limits};
use sha2::{Digest, Sha256};

use crate::definition::whole;
use crate::queued::{class_of, column, seconds};
use crate::{Db, Result};

const ADD: &str = include_str!("../queries/item/add.sql");
const CLAIM: &str = include_str!("../queries/item/claim.sql");
const PEEK: &str = include_str!("../queries/item/peek.sql");
const COUNTS: &str = include_str!("../queries/item/counts.sql");
const GET: &str = include_str!("../queries/item/get.sql");
const IDS: &str = include_str!("../queries/item/ids.sql");
const LIST: &str = include_str!("../queries/item/list.sql");
const REQUEUE: &str = include_str!("../queries/item/requeue.sql");
const EXTEND: &str = include_str!("../queries/item/extend.sql");
const REMOVE: &str = include_str!("../queries/item/remove.sql");
const EVENTS: &str = include_str!("../queries/item/events.sql");
const NOTE: &str = include_str!("../queries/item/note.sql");
const EXISTING: &str = include_str!("../queries/item/existing.sql");

/// Class of all items that are not container jobs.
const ITEM_CLASS: i64 = 0;

/// An item, and its first stage.
#[derive(Clone, Debug)]
pub struct StagedItem {
    /// The item.
    pub item: Item,
    /// Its first stage.
    pub stage: Stage,
}

impl StagedItem {
    fn job(&self) -> Option<&ParsedDefinition> {
        self.item.job.as_deref()
    }

    fn hash(&self) -> Vec<u8> {
        Sha256::new().chain_update(b"item\0").chain_update(self.item.body.as_bytes()).finalize().to_vec()
    }

    /// What readers see.
    fn stored_body(&self) -> &str {
        self.job().map_or(&self.item.body, |job| if job.split.is_some() { job.stored_text() } else { &self.item.body })
    }

    fn is_true_id(&self) -> bool {
        self.job().is_some_and(|job| job.is_true_id(&self.item.id))
    }

    /// The id under which it is stored. Both hashes of a container job (see `old_job_id_of`) stand for one job. Another item keeps its
    /// id.
    fn job_id(&self) -> &str {
        self.job().filter(|_| self.is_true_id()).map_or(&self.item.id, |job| job.job_id.as_str())
    }
}

/// One claimed item.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ItemClaim {
    /// Which item.
    pub job_id: String,
    /// The fence.
    pub epoch: i64,
    /// Which claim of the item this is.
    pub attempt: i16,
    /// When the lease ends; none if it never ends.
    pub deadline_ms: Option<i64>,
    /// Its body; absent only if an operator deleted it.
    pub body: Option<String>,
    /// The login of its build context, if it is a container job.
    pub login: Option<String>,
}

/// An item that a claim would return.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PeekedItem {
    /// Which item.
    pub job_id: String,
    /// Its body.
    pub body: Option<String>,
}

/// Items in each stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StageCounts {
    /// Waiting.
    pub waiting: i64,
    /// Claimed.
    pub processing: i64,
    /// Ended with success.
    pub success: i64,
    /// Failed.
    pub fail: i64,
}

/// An item in a listing.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ItemSummary {
    /// Which item.
    pub job_id: String,
    /// Number of its stage.
    pub stage: i32,
    /// False for a container job.
    pub is_item: bool,
    /// How many times it was claimed.
    pub attempt: i16,
    /// How many claims were lost since it was queued.
    pub n_lost: i16,
    /// Fence of its claim, 0 when it waits.
    pub epoch: i64,
    /// The worker that has or had it.
    pub worker_id: Option<String>,
    /// The deadline of the claim.
    pub deadline_ms: Option<i64>,
    /// How it ended.
    pub reason: Option<String>,
    /// A sentence about it.
    pub message: Option<String>,
    /// When it was queued.
    pub queued_ms: i64,
    /// When it was claimed.
    pub claimed_ms: Option<i64>,
    /// When it ended.
    pub finished_ms: Option<i64>,
}

/// An item with its texts.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ItemRow {
    /// Its row in listings.
    #[sqlx(flatten)]
    pub summary: ItemSummary,
    /// Its body.
    pub body: Option<String>,
    /// The JSON of its result.
    pub result: Option<String>,
}

/// One transition whose order is final.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EventRow {
    /// Its position: transaction, …
    pub xid: String,
    /// … then number.
    pub seq: i64,
    /// When.
    pub at_ms: i64,
    /// Which item.
    pub job_id: String,
    /// What happened.
    pub kind: String,
    /// How it ended.
    pub reason: Option<String>,
    /// The worker.
    pub worker_id: Option<String>,
    /// Which claim.
    pub attempt: Option<i16>,
    /// Its fence.
    pub epoch: Option<i64>,
    /// A sentence about it.
    pub message: Option<String>,
}

impl Db {
    /// Adds items with distinct ids, in this order, in one transaction. Returns the indices of the new ones.
    pub async fn add_items(&self, qid: Qid, items: &[StagedItem], message: Option<&str>) -> Result<Vec<usize>> {
        self.keep_logins(items.iter().filter_map(|i| Some((i.hash(), i.job()?.login()?)))).await?;
        self.keep_aliases(items.iter().filter(|i| i.is_true_id()).filter_map(|i| Some((i.hash(), i.job()?)))).await?;
        let jobs = |of: fn(&ParsedDefinition) -> i32, none: i32| column(items, move |i| i.job().map_or(none, of));
        let rows: Vec<i64> = sqlx::query_scalar(ADD)
            .bind(qid)
            .bind(column(items, StagedItem::job_id))
            .bind(column(items, StagedItem::hash))
            .bind(column(items, StagedItem::stored_body))
            .bind(column(items, StagedItem::is_true_id))
            .bind(column(items, |i| i.job().map_or(ITEM_CLASS, class_of)))
            .bind(column(items, |i| i.job().map_or(0.0, |job| job.cpus)))
            .bind(jobs(|job| i32::try_from(job.gpus).unwrap_or(i32::MAX), 0))
            .bind(column(items, |i| i.job().map_or(0, |job| i64::try_from(job.memory_bytes).unwrap_or(i64::MAX))))
            .bind(jobs(|job| seconds(job.required_duration), 0))
            .bind(jobs(|job| seconds(job.max_duration), seconds(limits::DURATION_DEFAULT)))
            .bind(column(items, |i| i.job().map_or_else(String::new, |job| job.stored_tags().join("/"))))
            .bind(column(items, |i| i.stage.number()))
            .bind(message)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().filter_map(|ord| usize::try_from(ord - 1).ok()).collect())
    }

    /// Claims up to `n` items in the order of the queue; without a lease the claims last for ever.
    pub async fn claim_items(&self, qid: Qid, worker_id: &str, n: i64, lease: Option<Duration>) -> Result<Vec<ItemClaim>> {
        let bound = sqlx::query_as(CLAIM).bind(qid).bind(worker_id).bind(n).bind(lease.map(|lease| lease.as_secs_f64()));
        let mut items: Vec<ItemClaim> = bound.bind(bytes_max()).fetch_all(&self.claims).await?;
        for item in &mut items {
            if let Some(login) = item.login.take() {
                item.body = item.body.take().map(|body| whole(body, Some(&login)));
            }
        }
        Ok(items)
    }

    /// The items that [`Db::claim_items`] would return.
    pub async fn peek_items(&self, qid: Qid, n: i64) -> Result<Vec<PeekedItem>> {
        Ok(sqlx::query_as(PEEK).bind(qid).bind(n).bind(bytes_max()).fetch_all(&self.claims).await?)
    }

    /// Items in each stage, at one moment.
    pub async fn count_items(&self, qid: Qid) -> Result<StageCounts> {
        Ok(sqlx::query_as(COUNTS).bind(qid).fetch_one(&self.pool).await?)
    }

    /// One item.
    pub async fn get_item(&self, qid: Qid, id: &str) -> Result<Option<ItemRow>> {
        Ok(sqlx::query_as(GET).bind(qid).bind(id).fetch_optional(&self.pool).await?)
    }

    /// Ids of one stage, in order.
    pub async fn item_ids(&self, qid: Qid, stage: Stage, n_max: i64, only_items: bool) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(IDS).bind(qid).bind(stage.number()).bind(n_max).bind(only_items).fetch_all(&self.pool).await?)
    }

    /// A page of items in the order of their ids.
    pub async fn list_items(
        &self,
        qid: Qid,
        stage: Option<Stage>,
        prefix: &str,
        after: Option<&str>,
        n_max: i64,
    ) -> Result<Vec<ItemSummary>> {
        let bound = sqlx::query_as(LIST).bind(qid).bind(stage.map(Stage::number)).bind(prefix).bind(after).bind(n_max);
        Ok(bound.fetch_all(&self.pool).await?)
    }

    /// Queues failed items again, behind all waiting ones. Returns the ids of those that had failed.
    pub async fn requeue_items(&self, qid: Qid, ids: &[&str]) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(REQUEUE).bind(qid).bind(ids).fetch_all(&self.pool).await?)
    }

    /// Extends the deadlines of claims. Returns those that are live.
    pub async fn extend_items(&self, qid: Qid, ids: &[&str], epochs: &[i64], lease: Duration) -> Result<Vec<(String, i64, i64)>> {
        let bound = sqlx::query_as(EXTEND).bind(qid).bind(ids).bind(epochs).bind(lease.as_secs_f64());
        Ok(bound.fetch_all(&self.pool).await?)
    }

    /// Deletes items, in one stage or in any. Returns the ids of those that were deleted.
    pub async fn remove_items(&self, qid: Qid, ids: &[&str], stage: Option<Stage>) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(REMOVE).bind(qid).bind(ids).bind(stage.map(Stage::number)).fetch_all(&self.pool).await?)
    }

    /// Transitions after a position, as far as their order is final.
    pub async fn item_events(&self, qid: Qid, xid: &str, seq: i64, n_max: i64) -> Result<Vec<EventRow>> {
        Ok(sqlx::query_as(EVENTS).bind(qid).bind(xid).bind(seq).bind(n_max).fetch_all(&self.pool).await?)
    }

    /// Stores transitions that another system recorded: (id, kind, reason, message). Returns how many were new.
    pub async fn note_events(&self, qid: Qid, events: &[(String, &str, Option<&str>, String)]) -> Result<usize> {
        let rows: Vec<String> = sqlx::query_scalar(NOTE)
            .bind(qid)
            .bind(column(events, |e| e.0.as_str()))
            .bind(column(events, |e| e.1))
            .bind(column(events, |e| e.2))
            .bind(column(events, |e| e.3.as_str()))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.len())
    }

    /// The ids that the queue has.
    pub async fn existing_items(&self, qid: Qid, ids: &[&str]) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(EXISTING).bind(qid).bind(ids).fetch_all(&self.pool).await?)
    }
}

fn bytes_max() -> i64 {
    i64::try_from(limits::ITEMS_CHUNK_BYTES_MAX).unwrap_or(i64::MAX)
}
