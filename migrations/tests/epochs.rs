//! No epoch is issued twice, whatever happened to the database in between.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use migrations::connect;
use migrations::testing::{TestDatabase, with_jobs};
use tokio_postgres::Client;

/// Claims a job as every claim does, with an epoch from the sequence. Returns the epoch.
async fn claim(client: &Client, job: &str) -> i64 {
    let rows = format!("select asman.qid('q') as qid, '{job}' as job_id, 7 as class, 1 as cpus, '{{}}' as tags");
    let claim = with_jobs(&rows)
        + "insert into asman.running (job_key, epoch, deadline, qid, worker_id, attempt) \
           select key, nextval('asman.epoch_seq'), now(), qid, 'w', 1 from jobs returning epoch";
    client.query_one(&claim, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn epochs_go_on_by_one_while_the_database_stays_where_it_is() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let first = claim(&client, "a").await;
    assert_eq!(claim(&client, "b").await, first + 1);
    assert!(first < 1 << 53, "every client can represent it: {first}");
}

/// Makes the state after the restore of a dump: the numbers are old, and the table has another number in the catalogue.
async fn restore(client: &Client) {
    let restored = "create temp table kept as select * from asman.incarnation; drop table asman.incarnation; \
                    create table asman.incarnation (only_row bool not null default true primary key, place text not null, \
                    since timestamptz not null default clock_timestamp()); insert into asman.incarnation select * from kept; \
                    drop table kept; select setval('asman.epoch_seq', 1)";
    client.batch_execute(restored).await.unwrap();
}

#[tokio::test]
async fn no_epoch_is_issued_a_second_time_after_a_restore() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let before = claim(&client, "a").await;
    for round in ["b", "c"] {
        restore(&client).await;
        let others = futures_util::future::join_all((0..4).map(|_| connect(&database.url))).await;
        let jobs: Vec<String> = (0..4).map(|n| format!("{round}{n}")).collect();
        let claims = others.iter().zip(&jobs).map(|(client, job)| claim(client.as_ref().unwrap(), job));
        let mut epochs = futures_util::future::join_all(claims).await;
        assert!(epochs.iter().all(|epoch| *epoch > before), "{epochs:?} come after {before}");
        epochs.sort_unstable();
        epochs.dedup();
        assert_eq!(epochs.len(), 4, "claims at the same moment share none");
    }
}

#[tokio::test]
async fn the_step_after_a_restore_renews_epochs_also_where_nothing_can_be_seen() {
    let database = TestDatabase::new().await;
    let client = connect(&database.url).await.unwrap();
    let before = claim(&client, "a").await;
    client.batch_execute("select setval('asman.epoch_seq', 1)").await.unwrap();
    migrations::after_restore(&database.url).await.unwrap();
    assert!(claim(&client, "b").await > before);
}
