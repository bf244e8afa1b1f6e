//! A database per test, made from a template, on the throw-away server that `TEST_DATABASE_URL` names.
//!
//! A test has its own database, not only its own schema, because notification channels and advisory locks belong to a database.
//! So tests cannot wake or block each other. The template has the hash of the schema in its name and is built once, under a
//! lock, for any number of test processes.

#![expect(clippy::expect_used, reason = "test scaffolding: a test that cannot start has failed")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_postgres::Client;

use crate::{connect, migrate, schema_hash};

/// A migrated, empty database of its own.
#[derive(Debug)]
pub struct TestDatabase {
    /// Its URL.
    pub url: String,
    /// Its name on the server.
    pub name: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl TestDatabase {
    /// Makes one from the template.
    ///
    /// # Panics
    /// When there is no server: `./x test` starts one.
    pub async fn new() -> Self {
        let admin = admin().await;
        let template = ensure_template(&admin).await;
        Self::create(&admin, &format!("template {template} strategy file_copy")).await
    }

    /// Creates an empty one, even without our schema.
    ///
    /// # Panics
    /// When there is no server.
    pub async fn empty() -> Self {
        Self::create(&admin().await, "").await
    }

    async fn create(admin: &Client, how: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{}_{number}", now_seconds(), std::process::id());
        admin.batch_execute(&format!("create database {name} {how}")).await.expect("create the test's database");
        Self { url: url_of(&name), name }
    }
}

/// The beginning of a statement that stores jobs and their classes: the caller appends what is done with `jobs`, the new rows of
/// `asman.job`. `rows` is a select with the columns `qid`, `job_id`, `class`, `cpus` and `tags`.
pub fn with_jobs(rows: &str) -> String {
    format!(
        "with given as materialized ({rows}), \
         classes as (insert into asman.class (class, kind, cpus, gpus, memory_bytes, required_seconds, tags, labels) \
           select distinct on (class) class, case class when 0 then 'item' else 'container' end, cpus, 0, 0, 0, tags::text[], \
             case class when 0 then '{{}}' else asman.labels_of(tags::text[]) end from given order by class on conflict do nothing), \
         jobs as (insert into asman.job (qid, job_id, definition_hash, class, max_seconds, is_true_id, namespaces) \
           select qid, job_id, sha256('d'), class, 60, false, '{{_}}' from given returning *) "
    )
}

/// A statement that queues such jobs.
pub fn queue_jobs(rows: &str) -> String {
    with_jobs(rows)
        + "insert into asman.queued (qid, class, priority, seq, job_key) select qid, class, priority, seq, key from jobs"
}

/// URL of the throw-away server's own database, as superuser.
///
/// # Panics
/// When `TEST_DATABASE_URL` is not set.
pub fn server_url() -> String {
    std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names a throw-away PostgreSQL; run the tests with ./x test")
}

/// The server's URL with another database in it. The server's own URL ends in `/postgres`, before its parameters.
fn url_of(database: &str) -> String {
    let url = server_url();
    let (base, parameters) = url.split_once('?').map_or((url.as_str(), String::new()), |(b, p)| (b, format!("?{p}")));
    let (server, _) = base.rsplit_once('/').expect("TEST_DATABASE_URL ends in a database name");
    format!("{server}/{database}{parameters}")
}

async fn admin() -> Client {
    connect(&server_url()).await.expect("connect to the throw-away PostgreSQL")
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Makes the template if it is missing, and returns its name. It is built under another name and renamed when it is complete,
/// so that a killed builder leaves nothing that looks finished.
async fn ensure_template(admin: &Client) -> String {
    let template = format!("tpl_{}", &schema_hash()[..16]);
    admin.batch_execute("select pg_advisory_lock(7221)").await.expect("lock the template");
    let exists = "select from pg_database where datname = $1";
    if admin.query_opt(exists, &[&template]).await.expect("look for the template").is_none() {
        sweep_leftovers(admin).await;
        let building = format!("{template}_building");
        admin.batch_execute(&format!("drop database if exists {building} with (force)")).await.expect("drop a half template");
        admin.batch_execute(&format!("create database {building}")).await.expect("create the template");
        migrate(&url_of(&building)).await.expect("migrate the template");
        rename(admin, &building, &template).await;
    }
    admin.batch_execute("select pg_advisory_unlock(7221)").await.expect("unlock the template");
    template
}

/// Ends the migrator's connection first: it closes only a moment after its client is dropped, and a database in use cannot be
/// renamed.
async fn rename(admin: &Client, from: &str, to: &str) {
    let others = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1";
    admin.query(others, &[&from]).await.expect("end the migrator's connection");
    admin.batch_execute(&format!("alter database {from} rename to {to}")).await.expect("name the template");
}

/// Drops databases of tests that began more than an hour ago.
async fn sweep_leftovers(admin: &Client) {
    let rows = admin.query("select datname from pg_database where datname ~ '^test_\\d+_'", &[]).await.expect("list databases");
    for row in rows {
        let name: String = row.get(0);
        let made = name.split('_').nth(1).and_then(|s| s.parse::<u64>().ok()).unwrap_or_default();
        if now_seconds().saturating_sub(made) > 3600 {
            let _ = admin.batch_execute(&format!("drop database if exists {name} with (force)")).await;
        }
    }
}
