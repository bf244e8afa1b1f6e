//! The schema's history, and how a database is brought up to date with it.
//!
//! [`migrate`] takes a session advisory lock, applies the numbered files of `migrations/sql` with refinery (which takes no lock
//! itself), then makes the procedures of `sql/procedures` and, when their text has changed, the views of `sql/views` anew:
//! those have one current text each and no history. Ten migrators at once on an empty database all succeed.
//!
//! Needs a direct connection or a session pool: the lock lives in the session. Never reads or writes a job.

mod connect;
mod schedule;
#[cfg(feature = "testing")]
pub mod testing;

use include_dir::{Dir, File, include_dir};
use sha2::{Digest, Sha256};
use tokio_postgres::Client;

pub use connect::connect;

mod history {
    refinery::embed_migrations!("sql");
}

static PROCEDURES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sql/procedures");
static VIEWS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sql/views");
/// Who may read the views. Granted anew each time: a rebuilt view has no grants.
const ROLES: &str = include_str!("../../sql/roles.sql");

/// Where refinery keeps what it applied.
const HISTORY_TABLE: &str = "asman.migration";

/// Why a database cannot be migrated, read or maintained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not reachable, or it refuses us.
    #[error("the database cannot be reached: {0}")]
    Connect(String),
    /// A statement failed.
    #[error("the database refused a statement: {}", chain(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A numbered file failed.
    #[error("migration failed: {}", chain(.0))]
    Migration(refinery::Error),
    /// The database got a numbered file with another text than ours.
    #[error(
        "the database got another {0} than this program has: the file was changed after it was applied; give it its old text back \
         and write the change into a new file, or, where nothing in the database is worth keeping, drop it and begin anew (of \
         `asman up`: delete the folder `database` of its data directory)"
    )]
    Changed(String),
    /// The database got a numbered file that we do not have.
    #[error("the database has {0}, which this program does not know: it is of a newer release; upgrade the program")]
    Newer(String),
}

impl From<refinery::Error> for Error {
    fn from(error: refinery::Error) -> Self {
        let name = |migration: &refinery::Migration| format!("V{:03}__{}", migration.version(), migration.name());
        match error.kind() {
            refinery::error::Kind::DivergentVersion(applied, _) => Self::Changed(name(applied)),
            refinery::error::Kind::MissingVersion(applied) => Self::Newer(name(applied)),
            _ => Self::Migration(error),
        }
    }
}

/// The causes of an error on one line: both libraries say only `db error` at the top.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}

/// One numbered file, and when this database got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i32,
    /// Its name.
    pub name: String,
    /// RFC 3339 time; absent when it is still to come.
    pub applied_on: Option<String>,
}

/// Brings the database up to date. Gives the names of the files applied now, oldest first.
pub async fn migrate(database_url: &str) -> Result<Vec<String>, Error> {
    let mut client = connect(database_url).await?;
    client.batch_execute("select pg_advisory_lock(hashtextextended('asman.migrate', 0))").await?;
    let applied = apply(&mut client).await;
    client.batch_execute("select pg_advisory_unlock(hashtextextended('asman.migrate', 0))").await?;
    applied
}

async fn apply(client: &mut Client) -> Result<Vec<String>, Error> {
    client.batch_execute("set client_min_messages = warning; create schema if not exists asman").await?;
    let mut runner = history::migrations::runner();
    runner.set_migration_table_name(HISTORY_TABLE);
    let report = runner.run_async(client).await?;
    rebuild(client).await?;
    client.batch_execute("call asman.maintain()").await?;
    schedule::schedule_maintenance(client).await;
    Ok(report.applied_migrations().iter().map(|m| format!("V{:03} {}", m.version(), m.name())).collect())
}

/// Procedures are replaced each time, views only when their text changed: dropping them takes grants along. Those of our own
/// roles are made again.
async fn rebuild(client: &mut Client) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    for file in files(&PROCEDURES) {
        transaction.batch_execute(text(file)).await?;
    }
    let digest = digest_of(&VIEWS);
    let current = "select obj_description(to_regnamespace('report')) as digest";
    let made_from: Option<String> = transaction.query_one(current, &[]).await?.get("digest");
    if made_from.as_deref() != Some(&digest) {
        transaction.batch_execute("drop schema if exists report cascade; create schema report").await?;
        for file in files(&VIEWS) {
            transaction.batch_execute(text(file)).await?;
        }
        transaction.batch_execute(&format!("comment on schema report is '{digest}'")).await?;
    }
    transaction.batch_execute(ROLES).await?;
    Ok(transaction.commit().await?)
}

fn files<'a>(dir: &'a Dir<'a>) -> Vec<&'a File<'a>> {
    let mut files: Vec<_> = dir.files().filter(|file| file.path().extension().is_some_and(|e| e == "sql")).collect();
    files.sort_by_key(|file| file.path());
    files
}

fn text<'a>(file: &'a File<'a>) -> &'a str {
    file.contents_utf8().unwrap_or_default()
}

fn digest_of(dir: &Dir<'_>) -> String {
    let mut hasher = Sha256::new();
    for file in files(dir) {
        hasher.update(file.contents());
    }
    hex::encode(hasher.finalize())
}

/// Hash of everything that [`migrate`] would apply. Two builds with the same hash make the same schema.
pub fn schema_hash() -> String {
    let mut hasher = Sha256::new();
    for migration in history::migrations::runner().get_migrations() {
        hasher.update(migration.sql().unwrap_or_default());
    }
    hasher.update(digest_of(&PROCEDURES));
    hasher.update(digest_of(&VIEWS));
    hasher.update(ROLES);
    hex::encode(hasher.finalize())
}

/// Every numbered file of this build, with the time at which the database got it.
pub async fn status(database_url: &str) -> Result<Vec<MigrationStatus>, Error> {
    let mut client = connect(database_url).await?;
    let exists: bool = client.query_one("select to_regclass($1) is not null as e", &[&HISTORY_TABLE]).await?.get("e");
    let mut runner = history::migrations::runner();
    runner.set_migration_table_name(HISTORY_TABLE);
    let applied = if exists { runner.get_applied_migrations_async(&mut client).await? } else { Vec::new() };
    let when = |version: i32| {
        let found = applied.iter().find(|m| i64::from(m.version()) == i64::from(version))?;
        found.applied_on().map(ToString::to_string)
    };
    let own = runner.get_migrations().iter().map(|m| {
        let version = i32::try_from(i64::from(m.version())).unwrap_or(i32::MAX);
        MigrationStatus { version, name: m.name().to_owned(), applied_on: when(version) }
    });
    Ok(own.collect())
}

/// Runs what `pg_cron` would run: partitions, expiry, lost jobs.
pub async fn maintain(database_url: &str) -> Result<(), Error> {
    let client = connect(database_url).await?;
    Ok(client.batch_execute("call asman.maintain()").await?)
}
