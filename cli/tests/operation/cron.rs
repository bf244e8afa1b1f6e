//! `pg_cron` in the database: the messages about it match its behaviour.

use std::time::{Duration, Instant};

use crate::on;
use crate::support::cluster::Cluster;
use crate::support::{house::free_port, text};

/// `pg_cron` runs jobs at the beginning of a minute, so a test waits longer than one.
const NEXT_RUN: Duration = Duration::from_secs(150);

#[test]
fn what_is_said_of_pg_cron_is_how_its_last_run_went_and_the_owner_can_dump() {
    // The worker process of `pg_cron` logs in over TCP. This server asks it for a password, and it has none.
    let port = free_port();
    let cluster = Cluster::start_with(&format!(
        "-c shared_preload_libraries=pg_cron -c cron.database_name=owned -c listen_addresses=localhost -c port={port}"
    ));
    let url = |user: &str, database: &str| format!("host={} port={port} user={user} dbname={database}", cluster.socket());
    cluster.sql_in(&url("postgres", "postgres"), "create role owner login nosuperuser password 'p'");
    cluster.sql_in(&url("postgres", "postgres"), "create database owned owner owner");
    let rules = "local all all trust\nhost all all all scram-sha-256\n";
    std::fs::write(format!("{}/data/pg_hba.conf", cluster.socket()), rules).unwrap();
    let (superuser, owner) = (url("postgres", "owned"), url("owner", "owned"));
    cluster.sql_in(&superuser, "select pg_reload_conf()");
    let none = on(&owner, &["db", "migrate"]).expect("without the extension");
    assert!(!none.contains("pg_cron"), "{none}");
    cluster.sql_in(&superuser, "create extension pg_cron; grant usage on schema cron to owner");
    let asked = on(&owner, &["db", "migrate"]).expect("with it");
    assert!(asked.contains("asked to run") && !asked.contains("runs asman.maintain() every five minutes, and"), "{asked}");
    // The schedule of five minutes is too long for a test.
    cluster.sql_in(&superuser, "select cron.alter_job(jobid, schedule := '* * * * *') from cron.job");
    let deadline = Instant::now() + NEXT_RUN;
    let status = loop {
        let status = on(&owner, &["db", "status"]).unwrap();
        if status.contains("pg_cron cannot") || Instant::now() > deadline {
            break status;
        }
        std::thread::park_timeout(Duration::from_secs(1));
    };
    assert!(status.contains("pg_cron cannot run maintenance, so only the API does: connection failed"), "{status}");
    let told = on(&owner, &["db", "migrate"]).unwrap();
    assert!(told.contains("cannot run asman.maintain()") && told.contains("connection failed"), "{told}");
    let dump = cluster.program("pg_dump").args(["-xO", "-n", "asman", "-n", "report", "-d", &owner]).output().unwrap();
    assert!(dump.status.success(), "{}", text(&dump.stderr));
}

#[tokio::test]
async fn maintenance_names_the_partition_that_it_leaves_and_who_holds_it() {
    let database = migrations::testing::TestDatabase::new().await;
    let reader = migrations::connect(&database.url).await.unwrap();
    let due = "create table asman.finished_20200106 partition of asman.finished for values from ('2020-01-06') to ('2020-01-13')";
    reader.batch_execute(due).await.unwrap();
    reader.batch_execute("begin; select from asman.finished").await.unwrap();
    let url = database.url.clone();
    let said = tokio::task::spawn_blocking(move || on(&url, &["db", "maintain"])).await.unwrap().unwrap();
    assert!(
        said.contains("partition finished_20200106 of finished is left to the next call") && said.contains("used it for"),
        "{said}"
    );
    reader.batch_execute("commit").await.unwrap();
    let url = database.url.clone();
    let said = tokio::task::spawn_blocking(move || on(&url, &["db", "maintain"])).await.unwrap().unwrap();
    assert!(!said.contains("is left"), "{said}");
}
