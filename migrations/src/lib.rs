//! The schema's history, and how a database is brought up to date with it.
//!
//! [`migrate`] applies the numbered files of `migrations/sql`, each in a transaction of its own, then replaces the procedures of
//! `sql/procedures` and, if their text has changed, the views of `sql/views`: these have one current text and no history. Ten
//! migrators at once on an empty database all succeed: every transaction takes the same advisory lock and checks again.
//!
//! All of this works through a pooler in transaction mode: the lock ends with the transaction, and no statement is prepared by
//! name. Only `asman.maintain()`, which [`migrate`] calls at its end, reads and writes jobs.

mod address;
mod connect;
mod dial;
mod history;
mod schedule;
#[cfg(feature = "testing")]
pub mod testing;

use include_dir::{Dir, File, include_dir};
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, SimpleQueryMessage};

pub use address::{Address, AddressError, Host, Keepalive, Roots, TlsMode};
pub use connect::connect;
pub use dial::Dialer;
pub use schedule::Run as CronRun;

static PROCEDURES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sql/procedures");
static VIEWS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sql/views");
/// The roles that may read the views. The grants are repeated each time, because a rebuilt view has none.
const ROLES: &str = include_str!("../../sql/roles.sql");

/// The table of the applied files.
const MAKE_HISTORY: &str = "create table if not exists asman.migration (version int4 primary key, name varchar(255), \
                            applied_on varchar(255), checksum varchar(255))";

/// Why a database cannot be migrated, read or maintained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The database cannot be reached, or refuses the login.
    #[error("the database cannot be reached: {0}")]
    Connect(String),
    /// A statement failed.
    #[error("the database refused a statement: {}", chain(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A numbered file failed.
    #[error("migration {name} failed: {}", chain(error))]
    Migration {
        /// Which.
        name: String,
        /// Why.
        error: tokio_postgres::Error,
    },
    /// The database has a numbered file with another text than this build.
    #[error(
        "the database has another {0} than this program: the file was changed after it was applied; restore its old text and \
         write the change into a new file, or, if you do not need the data, drop the database and start again (of \
         `asman up`: delete the folder `database` of its data directory)"
    )]
    Changed(String),
    /// The database has a numbered file that this build lacks.
    #[error("the database has {0}, which this program does not know: it belongs to a newer release; upgrade the program")]
    Newer(String),
}

/// The causes of an error on one line: the libraries' own message is only `db error`.
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
    /// RFC 3339 time; absent if it was not applied yet.
    pub applied_on: Option<String>,
}

/// Updates the database. Returns the names of the files that were applied now, oldest first.
pub async fn migrate(database_url: &str) -> Result<Vec<String>, Error> {
    let client = connect(database_url).await?;
    begin(&client).await?;
    client.batch_execute("set local client_min_messages = warning; create schema if not exists asman").await?;
    client.batch_execute(MAKE_HISTORY).await?;
    client.batch_execute("commit").await?;
    let mut names = Vec::new();
    while let Some(name) = history::apply_next(&client).await? {
        names.push(name);
    }
    rebuild(&client).await?;
    let noticed = client.simple_query("select asman.notice_restore()").await?;
    if first_column(&noticed).next() == Some("t") {
        tracing::warn!("this database was restored in another cluster; its events keep their order, and new ones follow them");
    }
    client.batch_execute("call asman.maintain()").await?;
    schedule::schedule_maintenance(&client).await;
    Ok(names)
}

/// Begins a transaction for one migrator at a time. The lock ends with the transaction, so that a pooler may give each
/// transaction another connection.
async fn begin(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("begin; select pg_advisory_xact_lock(hashtextextended('asman.migrate', 0))").await
}

/// Must run once after a dump was restored or a data directory was set back in time: it updates the schema, and moves epochs
/// ahead of every claim that was ever made. Returns the number at which epochs continue.
pub async fn after_restore(database_url: &str) -> Result<i64, Error> {
    migrate(database_url).await?;
    let client = connect(database_url).await?;
    let rows = client.simple_query("select asman.renew_epochs()").await?;
    Ok(first_column(&rows).next().and_then(|number| number.parse().ok()).unwrap_or_default())
}

/// The first column of a simple query's result.
fn first_column(messages: &[SimpleQueryMessage]) -> impl Iterator<Item = &str> {
    messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    })
}

/// Procedures are replaced each time, views only when their text has changed, because dropping them removes grants. The grants of
/// our own roles are repeated.
async fn rebuild(client: &Client) -> Result<(), Error> {
    begin(client).await?;
    client.batch_execute("set local client_min_messages = warning").await?;
    for file in files(&PROCEDURES) {
        client.batch_execute(text(file)).await?;
    }
    let digest = digest_of(&VIEWS);
    let made_from = client.simple_query("select obj_description(to_regnamespace('report'))").await?;
    if first_column(&made_from).next() != Some(&digest) {
        client.batch_execute("drop schema if exists report cascade; create schema report").await?;
        for file in files(&VIEWS) {
            client.batch_execute(text(file)).await?;
        }
        client.batch_execute(&format!("comment on schema report is '{digest}'")).await?;
    }
    client.batch_execute(ROLES).await?;
    // A hash needs no escaping: it has only hexadecimal digits.
    let note = format!(
        "insert into asman.schema_text (hash) values ('{}') on conflict (hash) do update set last_applied = clock_timestamp()",
        text_hash()
    );
    Ok(client.batch_execute(&format!("{note}; commit")).await?)
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

/// Number of the newest file of this build.
pub fn version() -> i32 {
    history::own().iter().map(history::number_of).max().unwrap_or_default()
}

/// Hash of what [`migrate`] applies each time: procedures, views and roles. The database stores the hash of every text that was
/// applied to it.
pub fn text_hash() -> String {
    let mut hasher = Sha256::new();
    hasher.update(digest_of(&PROCEDURES));
    hasher.update(digest_of(&VIEWS));
    hasher.update(ROLES);
    hex::encode(hasher.finalize())
}

/// Hash of everything that [`migrate`] would apply. Two builds with the same hash make the same schema.
pub fn schema_hash() -> String {
    let mut hasher = Sha256::new();
    for migration in history::own() {
        hasher.update(migration.sql().unwrap_or_default());
    }
    hasher.update(text_hash());
    hex::encode(hasher.finalize())
}

/// Every numbered file of this build, with the time at which the database got it.
pub async fn status(database_url: &str) -> Result<Vec<MigrationStatus>, Error> {
    let client = connect(database_url).await?;
    let exists = client.simple_query("select 'yes' where to_regclass('asman.migration') is not null").await?;
    let applied = if first_column(&exists).next().is_some() { history::applied(&client).await? } else { Vec::new() };
    let when = |version: i32| applied.iter().find(|m| m.version == version)?.when.clone();
    let own = history::own();
    let status = |m: &refinery::Migration| {
        let version = history::number_of(m);
        MigrationStatus { version, name: m.name().to_owned(), applied_on: when(version) }
    };
    Ok(own.iter().map(status).collect())
}

/// The result of the last maintenance run by `pg_cron`; none if the database does not have `pg_cron`.
pub async fn cron_run(database_url: &str) -> Result<Option<CronRun>, Error> {
    let client = connect(database_url).await?;
    Ok(schedule::last_run(&client).await?)
}

/// Runs what `pg_cron` would run: partitions, expiry, lost jobs.
pub async fn maintain(database_url: &str) -> Result<(), Error> {
    let client = connect(database_url).await?;
    Ok(client.batch_execute("call asman.maintain()").await?)
}
