//! Ten thousand items, eight clients, two processes: each item is delivered once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{get, ok, post};
use crate::test_api::TestApi;

const ITEMS: usize = 10_000;
/// How long existing clients wait for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits for something that may be slow on a busy machine, but fails if it seems to hang.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(100), what).await.expect("came in time")
}

async fn take_all(api: Arc<TestApi>) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let got: Vec<(String, Value)> = serde_json::from_str(&ok(get(&api, "get/100")).await).unwrap();
        if got.is_empty() {
            return ids;
        }
        ids.extend(got.into_iter().map(|(id, _)| id));
    }
}

fn put_body(from: usize, to: usize) -> String {
    let members: Vec<String> = (from..to).map(|n| format!("\"item-{n}\":{{\"n\":{n}}}")).collect();
    format!("{{{}}}", members.join(","))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_item_is_delivered_once_over_two_processes_and_eight_clients() {
    let one = Arc::new(TestApi::new().await);
    let two = Arc::new(TestApi::over(&one.database_url, |_| {}).await);
    let apis = [one, two];
    // Eight clients put overlapping ranges at the same time. Each item is put twice and exists once.
    let puts: Vec<_> = (0..8)
        .map(|n| {
            let (api, from) = (Arc::clone(&apis[n % 2]), (n / 2) * ITEMS / 4);
            tokio::spawn(async move { ok(post(&api, "put", &put_body(from, from + ITEMS / 4))).await })
        })
        .collect();
    let start = Instant::now();
    let mut n_skipped = 0;
    for put in puts {
        let said: Value = serde_json::from_str(&in_time(put).await.unwrap()).unwrap();
        n_skipped += said["detail"].as_array().map_or(0, Vec::len);
    }
    assert_eq!(n_skipped, ITEMS, "each is reported once as existing");
    println!("eight overlapping puts: {:?}", start.elapsed());
    for round in ["put", "requeue"] {
        let start = Instant::now();
        let clients: Vec<_> = (0..8).map(|n| tokio::spawn(take_all(Arc::clone(&apis[n % 2])))).collect();
        let mut delivered = Vec::new();
        for client in clients {
            delivered.extend(in_time(client).await.unwrap());
        }
        println!("claims after {round}: {:?}", start.elapsed());
        assert_eq!(delivered.len(), ITEMS, "none twice after {round}");
        assert_eq!(delivered.iter().collect::<HashSet<_>>().len(), ITEMS, "none lost after {round}");
        let fail = "with gone as (delete from asman.running returning *) insert into asman.finished (job_key, qid, epoch, attempt, is_item, \
                    reason, queued_at, claimed_at) select job_key, qid, epoch, attempt, true, 'Error', claimed_at, claimed_at from gone";
        apis[0].execute(fail).await;
        let ids = serde_json::to_string(&delivered).unwrap();
        let requeues = (0..2).map(|n| (Arc::clone(&apis[n]), ids.clone()));
        let requeues: Vec<_> =
            requeues.map(|(api, ids)| tokio::spawn(async move { ok(post(&api, "requeue", &ids)).await })).collect();
        for requeue in requeues {
            in_time(requeue).await.unwrap();
        }
        assert_eq!(
            ok(get(&apis[0], "sizes")).await,
            format!("{{\"WAITING\":{ITEMS},\"PROCESSING\":0,\"SUCCESS\":0,\"FAIL\":0}}")
        );
    }
}

#[tokio::test]
async fn ten_thousand_items_are_put_and_a_thousand_claimed_within_a_clients_timeout() {
    let api = TestApi::new().await;
    let body = put_body(0, ITEMS);
    let start = Instant::now();
    assert_eq!(ok(post(&api, "put", &body)).await, "null");
    let put = start.elapsed();
    let start = Instant::now();
    let got: Vec<(String, Value)> = serde_json::from_str(&ok(get(&api, "get/1000")).await).unwrap();
    let get_time = start.elapsed();
    assert_eq!(
        got.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(),
        (0..1000).map(|n| format!("item-{n}")).collect::<Vec<_>>()
    );
    let start = Instant::now();
    ok(post(&api, "put", &body)).await;
    let again = start.elapsed();
    // The state after a vacuum of an emptied queue: the table still has pages, but the statistics show no rows.
    api.execute("update pg_class set relpages = greatest(relpages, 200), reltuples = 0 where oid = 'asman.queued'::regclass")
        .await;
    let start = Instant::now();
    ok(post(&api, "put", &body)).await;
    let emptied = start.elapsed();
    println!("put of {ITEMS}: {put:?}; get/1000: {get_time:?}; the same put again: {again:?}, by old statistics: {emptied:?}");
    let all = [put, get_time, again, emptied];
    assert!(all.iter().all(|took| *took < CLIENT_TIMEOUT), "{all:?}");
}
