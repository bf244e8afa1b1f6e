//! Through a pooler, the API works without losses, or says in one sentence why it cannot.

use crate::pooler::Pooler;
use crate::support::cluster::Cluster;
use crate::support::data_directory;
use crate::{Api, eventually, on};

fn kills() -> usize {
    std::env::var("OPERATION_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

#[tokio::test]
async fn everything_works_through_a_pooler_in_transaction_mode() {
    let cluster = Cluster::start();
    let pooler = Pooler::start(&cluster, "transaction");
    on(&pooler.url(), &["db", "migrate"]).expect("it migrates through the pooler");
    on(&pooler.url(), &["db", "maintain"]).expect("it maintains through the pooler");
    on(&pooler.url(), &["db", "after-restore"]).expect("it restores through the pooler");
    let blobs = data_directory();
    let direct = cluster.url();
    let mut first = Api::start(&pooler.url(), blobs.path(), &["--listen-url", &direct]);
    first.process.wait_until_said("behind a pooler in transaction mode");
    first.process.wait_until_said("notifications arrive");
    let mut second = Api::start(&pooler.url(), blobs.path(), &[]);
    second.process.wait_until_said("LISTEN does not work through a pooler");
    for n in 0..20 {
        let id = first.submit(n).await.expect("acknowledged");
        let (job, epoch) = second.claim("w").await;
        assert_eq!(job, id);
        let lines = serde_json::json!({"epoch": epoch, "seq": 0, "step": "Running", "lines": [["a line", 1]]});
        assert_eq!(first.post(&format!("/q/q/j/{job}/logs"), lines).await.0, 200);
        assert_eq!(second.finish(&job, epoch).await, 200);
    }
    let settings = "select current_setting('synchronous_commit') || current_setting('enable_seqscan') || current_setting('enable_sort') \
                    || current_setting('plan_cache_mode')";
    for _ in 0..20 {
        assert_eq!(cluster.sql_in(&pooler.url(), settings), "onononauto", "no setting remains on a connection of the pooler");
    }
}

#[tokio::test]
async fn a_pooler_in_session_mode_works_as_a_direct_connection_does() {
    let cluster = Cluster::start();
    let pooler = Pooler::start(&cluster, "session");
    on(&pooler.url(), &["db", "migrate"]).unwrap();
    let blobs = data_directory();
    // A session pool must be as large as the pools of its clients together. Here it has six connections, so the API uses fewer at once.
    let api = Api::start(&pooler.url(), blobs.path(), &["--notifications", "false"]);
    assert!(api.submit(1).await.is_some());
}

#[tokio::test]
async fn no_acknowledged_job_is_lost_behind_a_pooler_when_the_server_is_killed() {
    let cluster = Cluster::start();
    let pooler = Pooler::start(&cluster, "transaction");
    on(&pooler.url(), &["db", "migrate"]).unwrap();
    let blobs = data_directory();
    let api = Api::start(&pooler.url(), blobs.path(), &[]);
    let mut n = 0;
    for round in 0..kills() {
        let mut acknowledged = Vec::new();
        for _ in 0..20 {
            n += 1;
            acknowledged.extend(api.submit(n).await);
        }
        assert_eq!(acknowledged.len(), 20, "round {round}");
        cluster.kill_and_start();
        let ids = acknowledged.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
        let found = cluster.sql(&format!("select count(*) from asman.queued_job where job_id in ({ids})"));
        assert_eq!(found, "20", "round {round}: jobs that were acknowledged are gone");
        eventually("the API is ready again", async || api.get("/readyz").await.0 == 200).await;
    }
}

#[tokio::test]
async fn a_pooler_in_statement_mode_is_refused_in_one_sentence() {
    let cluster = Cluster::start();
    on(&cluster.url(), &["db", "migrate"]).unwrap();
    let pooler = Pooler::start(&cluster, "statement");
    let blobs = data_directory();
    let blobs = blobs.path().to_string_lossy().into_owned();
    let said = on(&pooler.url(), &["api", "--listen", "127.0.0.1:0", "--blob-directory", &blobs]).unwrap_err();
    assert!(said.contains("set it to transaction or session mode"), "{said}");
}

#[tokio::test]
async fn a_listening_address_that_is_pooled_is_found_out_by_its_echo() {
    let cluster = Cluster::start();
    on(&cluster.url(), &["db", "migrate"]).unwrap();
    let pooler = Pooler::start(&cluster, "transaction");
    let blobs = data_directory();
    let mut api = Api::start(&cluster.url(), blobs.path(), &["--listen-url", &pooler.url()]);
    api.process.wait_until_said("notifications do not arrive on this connection");
    assert!(api.submit(1).await.is_some());
}
