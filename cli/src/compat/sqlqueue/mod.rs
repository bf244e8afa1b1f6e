//! `asman queue import`: from an existing `sqlqueue` table into a queue.
//!
//! Reads and writes [`STEP`] rows at a time, so memory is bounded by a step's bodies. Items that the target has already, in any
//! stage, are skipped, and each event is identified by its number: a second run adds nothing. The source is only read.

use std::collections::HashSet;

use protocol::{Item, ItemJson, QueueName, Stage};
use serde::Deserialize;
use serde_json::json;
use sql::{Db, Settings, StagedItem};
use tokio_postgres::{Client, Row};

use crate::failure::Failure;
use crate::say;

const NAMES: &str = include_str!("names.sql");
const ITEMS: &str = include_str!("items.sql");
const HAS_EVENTS: &str = include_str!("has_events.sql");
const EVENTS: &str = include_str!("events.sql");

/// Rows of one step.
const STEP: i64 = 1_000;

/// What `asman queue import` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// URL of the database with the tables `sqlqueue` and, optionally, `sqleventstore`.
    #[arg(long, env = "SQL_QUEUE_CONNECTION_STRING", hide_env_values = true, value_name = "URL")]
    from_sqlqueue: String,
    /// Queue of that table [default: its only one].
    #[arg(long, value_name = "NAME")]
    queue_name: Option<String>,
    /// Name of the target queue.
    #[arg(long, value_name = "QUEUE")]
    to: QueueName,
    /// URL of the database of this system.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,
    /// Import claimed items as claimed instead of as waiting.
    #[arg(long)]
    keep_processing: bool,
    /// Print what would be imported, and import nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Default)]
struct Tally {
    n_read: u64,
    by_stage: [u64; 4],
    n_there: u64,
    n_put_back: u64,
    n_refused: u64,
    n_events: u64,
}

/// Imports, and prints what was imported.
pub(crate) async fn run(args: ImportArgs, is_json: bool) -> Result<(), Failure> {
    // SQLAlchemy names its driver in the scheme.
    let url = args.from_sqlqueue.replacen("postgresql+psycopg2://", "postgresql://", 1).replacen(
        "postgresql+psycopg://",
        "postgresql://",
        1,
    );
    let source = migrations::connect(&url).await.map_err(|error| Failure::Failed(format!("the source: {error}")))?;
    let target = Db::open(&args.database_url, &Settings::default()).await.map_err(|error| of_target(&error))?;
    target.check_ready().await.map_err(|error| of_target(&error))?;
    let name = source_queue(&source, args.queue_name.clone()).await?;
    let mut tally = Tally::default();
    import_items(&source, &target, &name, &args, &mut tally).await?;
    if has_events(&source).await? {
        import_events(&source, &target, &args, &mut tally).await?;
    }
    target.close().await;
    report(&tally, args.dry_run, is_json);
    Ok(())
}

fn of_source(error: &tokio_postgres::Error) -> Failure {
    let words = error.as_db_error().map_or_else(|| error.to_string(), |refused| refused.message().to_owned());
    Failure::Failed(format!("the source cannot be read: {words}"))
}

fn of_target(error: &sql::Error) -> Failure {
    Failure::Failed(format!("the target: {error}"))
}

async fn source_queue(source: &Client, named: Option<String>) -> Result<String, Failure> {
    let rows = source.query(NAMES, &[]).await.map_err(|error| of_source(&error))?;
    let names: Vec<String> = rows.iter().map(|row| row.get("queue_name")).collect();
    match (named, names.as_slice()) {
        (Some(name), _) if names.contains(&name) || names.len() >= 100 => Ok(name),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(Failure::BadInput("the table sqlqueue is empty".to_owned())),
        _ => Err(Failure::BadInput(format!("give --queue-name, one of: {}", names.join(", ")))),
    }
}

async fn import_items(source: &Client, target: &Db, name: &str, args: &ImportArgs, tally: &mut Tally) -> Result<(), Failure> {
    let mut last = i64::MIN;
    loop {
        let rows = source.query(ITEMS, &[&name, &last, &STEP]).await.map_err(|error| of_source(&error))?;
        let Some(end) = rows.last() else { return Ok(()) };
        last = end.get("id");
        tally.n_read += rows.len() as u64;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            match item_of(row, args.keep_processing) {
                Ok((item, was_claimed)) => {
                    items.push((item, was_claimed));
                }
                Err(why) => {
                    tally.n_refused += 1;
                    say::note(&format!("Row {} cannot be imported: {why}", row.get::<_, i64>("id")));
                }
            }
        }
        add(target, args, items, tally).await?;
        say::note(&format!("Read {} items", tally.n_read));
    }
}

/// An item, and whether it loses its claim.
fn item_of(row: &Row, keep_processing: bool) -> Result<(StagedItem, bool), String> {
    let stage = Stage::numbered(row.get("stage")).ok_or("its stage is unknown")?;
    let is_given_up = stage == Stage::Processing && !keep_processing;
    let stage = if is_given_up { Stage::Waiting } else { stage };
    let body = body_of(row.get::<_, Option<&str>>("body").unwrap_or("null"))?;
    let item = Item::new(row.get("item_id"), body).map_err(|error| error.to_string())?;
    Ok((StagedItem { item, stage }, is_given_up))
}

/// The body of a stored value: for a string that contains JSON, that JSON; otherwise the value.
fn body_of(stored: &str) -> Result<String, String> {
    let outer = ItemJson::parse(stored).map_err(|error| error.to_string())?;
    if let ItemJson::String(inner) = &outer
        && let Ok(body) = ItemJson::parse(inner)
    {
        return Ok(body.to_text());
    }
    Ok(outer.to_text())
}

async fn add(target: &Db, args: &ImportArgs, items: Vec<(StagedItem, bool)>, tally: &mut Tally) -> Result<(), Failure> {
    let qid = args.to.qid();
    let (items, given_up): (Vec<StagedItem>, Vec<bool>) = items.into_iter().unzip();
    let added: HashSet<usize> = if args.dry_run {
        let ids: Vec<&str> = items.iter().map(|staged| staged.item.id.as_str()).collect();
        let known: HashSet<String> =
            target.existing_items(qid, &ids).await.map_err(|error| of_target(&error))?.into_iter().collect();
        (0..items.len()).filter(|n| !known.contains(&items[*n].item.id)).collect()
    } else {
        let message = Some("imported from sqlqueue");
        target.add_items(qid, &items, message).await.map_err(|error| of_target(&error))?.into_iter().collect()
    };
    for (n, staged) in items.iter().enumerate() {
        if added.contains(&n) {
            tally.by_stage[usize::try_from(staged.stage.number()).unwrap_or(0)] += 1;
            tally.n_put_back += u64::from(given_up[n]);
        } else {
            tally.n_there += 1;
        }
    }
    Ok(())
}

async fn has_events(source: &Client) -> Result<bool, Failure> {
    let row = source.query_one(HAS_EVENTS, &[]).await.map_err(|error| of_source(&error))?;
    Ok(row.get("has_events"))
}

/// The data of an existing event. An event `ADD` has no stages.
#[derive(Deserialize)]
struct Said {
    queue_index_key: String,
    stage_from: Option<i32>,
    stage_to: Option<i32>,
}

impl Said {
    /// Our kind of event, and how the item ended.
    fn kind(&self) -> Option<(&'static str, Option<&'static str>)> {
        Some(match (self.stage_from, self.stage_to) {
            (None, None) => ("queued", None),
            (_, Some(0)) => ("requeued", None),
            (_, Some(1)) => ("claimed", None),
            (_, Some(2)) => ("finished", Some("Success")),
            (_, Some(3)) => ("finished", Some("Error")),
            _ => return None,
        })
    }
}

/// Events of items that the target has. Their time is in their message, because the store kept it without a zone.
async fn import_events(source: &Client, target: &Db, args: &ImportArgs, tally: &mut Tally) -> Result<(), Failure> {
    let qid = args.to.qid();
    let mut last = i64::MIN;
    loop {
        let rows = source.query(EVENTS, &[&last, &STEP]).await.map_err(|error| of_source(&error))?;
        let Some(end) = rows.last() else { return Ok(()) };
        last = end.get("id");
        let said: Vec<(Said, String)> = rows.iter().filter_map(event_of).collect();
        let ids: Vec<&str> = said.iter().map(|(said, _)| said.queue_index_key.as_str()).collect();
        let known = target.existing_items(qid, &ids).await.map_err(|error| of_target(&error))?;
        let known: HashSet<&str> = known.iter().map(String::as_str).collect();
        let kept = said.iter().filter(|(said, _)| known.contains(said.queue_index_key.as_str()));
        let events: Vec<_> = kept
            .filter_map(|(said, words)| {
                let (kind, reason) = said.kind()?;
                Some((said.queue_index_key.clone(), kind, reason, words.clone()))
            })
            .collect();
        if !args.dry_run {
            tally.n_events += target.note_events(qid, &events).await.map_err(|error| of_target(&error))? as u64;
        }
        say::note(&format!("Kept {} events", tally.n_events));
    }
}

fn event_of(row: &Row) -> Option<(Said, String)> {
    let said: Said = serde_json::from_str(row.get::<_, &str>("data")).ok()?;
    let is_usable = protocol::check_item_id(&said.queue_index_key).is_ok();
    let words = format!("imported event {} of {}", row.get::<_, i64>("id"), row.get::<_, &str>("at"));
    is_usable.then_some((said, words))
}

fn report(tally: &Tally, is_dry: bool, is_json: bool) {
    let of = |stage: Stage| tally.by_stage[usize::try_from(stage.number()).unwrap_or(0)];
    if is_json {
        let imported: serde_json::Map<_, _> =
            Stage::ALL.iter().map(|stage| (stage.as_str().to_owned(), json!(of(*stage)))).collect();
        return say::json(&json!({"read": tally.n_read, "imported": imported, "alreadyThere": tally.n_there,
            "takenBack": tally.n_put_back, "refused": tally.n_refused, "events": tally.n_events, "dryRun": is_dry}));
    }
    let verb = if is_dry { "Would import" } else { "Imported" };
    let stages: Vec<String> = Stage::ALL.iter().map(|stage| format!("{} {}", of(*stage), stage.as_str())).collect();
    say::result(&format!("{verb} {} of {} items: {}", tally.by_stage.iter().sum::<u64>(), tally.n_read, stages.join(", ")));
    if tally.n_put_back > 0 {
        say::note(&format!("{} of them were claimed and wait now; they may run a second time", tally.n_put_back));
    }
}
