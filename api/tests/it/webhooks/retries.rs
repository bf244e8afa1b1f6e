//! Receivers that fail, redirect, sleep or do not exist.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::{Executor, Row};

use super::receiver::Receiver;
use super::{open, submission};
use crate::test_api::{TestApi, definition, eventually, in_time};

fn told(n: u32, url: &str) -> serde_json::Value {
    json!({"definition": definition(n), "control": {"callbacks": {"queued": {"url": url}}}})
}

#[tokio::test]
async fn a_delivery_keeps_its_id_and_its_body_until_it_is_taken() {
    let receiver = Receiver::new(|n, _| (if n < 3 { 503 } else { 204 }, None)).await;
    let api = TestApi::with(open).await;
    api.submit_job("q", told(1, &receiver.url)).await;
    let got = receiver.until(4).await;
    assert!(got.iter().all(|g| g.id() == got[0].id() && g.raw == got[0].raw));
    eventually("it is deleted", || async { (api.count("select count(*) from asman.webhook").await == 0).then_some(()) }).await;
    assert_eq!(receiver.got().len(), 4);
}

#[tokio::test]
async fn pauses_double_from_ten_seconds_to_an_hour_and_end_after_a_day() {
    let receiver = Receiver::new(|_, _| (500, None)).await;
    let api = TestApi::with(|config| config.allow_private_webhooks = true).await;
    api.submit_job("q", told(1, &receiver.url)).await;
    for n in 1..=12 {
        receiver.until(n).await;
        let sql = format!(
            "select extract(epoch from due_at - now())::float8 as pause, last_error, \
             extract(epoch from expires_at - now())::float8 as ends from asman.webhook where n_attempts = {n} and due_at > now() \
             and last_error is not null and due_at < now() + interval '2 hours' and not due_at between now() + interval '25 seconds' \
             and now() + interval '30 seconds'"
        );
        // The failure is stored a moment after the answer. A due time in 25 to 30 s may be that of the lease; no regular pause stays
        // in this range for long.
        let row = eventually("the failure is stored", || {
            let sql = sql.clone();
            async { api.database().await.fetch_optional(sqlx::AssertSqlSafe(sql)).await.unwrap() }
        })
        .await;
        let (pause, ends): (f64, f64) = (row.get("pause"), row.get("ends"));
        let least = (10.0 * f64::from(1 << (n - 1))).min(3600.0);
        assert!(pause > least - 8.0 && pause <= (least * 1.25).min(3600.0), "after try {n}: {pause}");
        assert!((86_000.0..=86_400.0).contains(&ends), "it ends a day after it was due: {ends}");
        assert_eq!(row.get::<String, _>("last_error"), "answered with status 500");
        api.execute("update asman.webhook set due_at = now()").await;
    }
    receiver.until(13).await;
    api.execute("update asman.webhook set due_at = now(), expires_at = now()").await;
    eventually("it is given up", || async { (api.count("select count(*) from asman.webhook").await == 0).then_some(()) }).await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it_and_one_that_is_gone_is_told_no_more() {
    let receiver = Receiver::new(|_, path| match path {
        "/busy" => (429, Some("4000".into())),
        "/down" => (503, Some("90000".into())),
        "/broken" => (500, Some("/nowhere".into())),
        "/gone" => (410, None),
        _ => (200, None),
    })
    .await;
    let api = TestApi::with(|config| config.allow_private_webhooks = true).await;
    for (n, path) in (0..).zip(["/busy", "/down", "/broken", "/gone"]) {
        api.submit_job("q", told(n, &format!("{}{path}", receiver.url))).await;
    }
    receiver.until(4).await;
    let settled = "select count(*) from asman.webhook where last_error is not null";
    eventually("three are noted and one is gone", || async {
        let n_left = api.count("select count(*) from asman.webhook").await;
        (n_left == 3 && api.count(settled).await == 3).then_some(())
    })
    .await;
    let due = |path: &str, from: i32, to: i32| {
        let sql = format!(
            "select count(*) from asman.webhook where url like '%{path}' and due_at - now() between interval '{from} s' and interval '{to} s'"
        );
        let api = &api;
        async move { sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut api.database().await).await.unwrap().get::<i64, _>(0) }
    };
    assert_eq!(due("/busy", 3_900, 4_000).await, 1, "as long as it asked for, beyond the usual longest pause");
    assert_eq!(due("/down", 86_000, 86_400).await, 1, "within the day that a delivery lives");
    assert_eq!(due("/broken", 0, 13).await, 1, "the usual pause");
}

#[tokio::test]
async fn half_of_all_fail_and_all_arrive() {
    let receiver = Receiver::new(|n, _| (if n % 2 == 0 { 500 } else { 200 }, None)).await;
    let api = TestApi::with(open).await;
    for n in 0..100 {
        api.submit_job("q", told(n, &receiver.url)).await;
    }
    eventually("all arrive", || async { (api.count("select count(*) from asman.webhook").await == 0).then_some(()) }).await;
    let mut taken: HashMap<String, u32> = HashMap::new();
    for got in receiver.got().iter().filter(|got| got.status == 200) {
        *taken.entry(got.body["jobId"].to_string()).or_default() += 1;
    }
    assert_eq!(taken.len(), 100);
    assert!(taken.values().all(|n| *n == 1), "no delivery came twice: no sender died");
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_alone() {
    let elsewhere = Receiver::taking_all().await;
    let away = format!("{}/away", elsewhere.url);
    let receiver = Receiver::new(move |_, path| match path {
        "/same" => (307, Some("/moved".into())),
        "/get" => (302, Some("/moved-as-get".into())),
        "/away" => (307, Some(away.clone())),
        "/round" => (308, Some("/round".into())),
        _ => (200, None),
    })
    .await;
    let api = TestApi::with(|config| {
        open(config);
        config.webhook_backoff = protocol::Duration(Duration::from_mins(10));
    })
    .await;
    for (n, path) in (0..).zip(["/same", "/get", "/away", "/round"]) {
        api.submit_job("q", told(n, &format!("{}{path}", receiver.url))).await;
    }
    let failed = "select count(*) from asman.webhook where last_error like 'answered with status 30_'";
    eventually("three fail", || async { (api.count(failed).await == 3).then_some(()) }).await;
    let paths: Vec<_> = receiver.got().into_iter().map(|got| got.path).collect();
    let count = |path: &str| paths.iter().filter(|p| *p == path).count();
    assert_eq!((count("/moved"), count("/moved-as-get"), count("/round")), (1, 0, 4));
    let moved = receiver.got().into_iter().find(|got| got.path == "/moved").unwrap();
    assert_eq!(moved.body["queue"], "q", "the body went along");
    assert!(elsewhere.got().is_empty());
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_holds_up_nobody_else() {
    // A server that accepts connections and sends nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let slow_url = format!("http://{}/", silent.local_addr().unwrap());
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(open).await;
    for n in 0..60 {
        api.submit_job("q", told(n, &slow_url)).await;
    }
    api.submit_job("q", told(100, &receiver.url)).await;
    let start = tokio::time::Instant::now();
    receiver.until(1).await;
    assert!(start.elapsed() < Duration::from_secs(5), "before the first silent one timed out: {:?}", start.elapsed());
    let under_way = api.count("select count(*) from asman.webhook where n_attempts > 0").await;
    assert!((1..=16).contains(&under_way), "tries of one host are bounded: {under_way}");
    let late = "select count(*) from asman.webhook where last_error = 'no answer within 10 s'";
    eventually("the silent ones time out", || async { (api.count(late).await >= 1).then_some(()) }).await;
}

#[tokio::test]
async fn what_a_dead_sender_had_taken_is_delivered_by_another() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::new().await;
    api.submit_job("q", told(1, "https://queue.invalid/")).await;
    let failed = "select count(*) from asman.webhook where last_error = 'cannot be connected to'";
    eventually("a name without an address fails", || async { (api.count(failed).await == 1).then_some(()) }).await;
    // The state of a delivery whose sender died while it was sending.
    let url = format!("{}/", receiver.url);
    let sql = "update asman.webhook set url = $1, last_error = null, due_at = now() + interval '300 milliseconds'";
    sqlx::query(sql).bind(&url).execute(&mut api.database().await).await.unwrap();
    let _other = TestApi::over(&api.database_url, open).await;
    in_time(async {
        while receiver.got().is_empty() {
            // This process refuses the address, but the test is not about its failures, so the delivery is made due again.
            api.execute("update asman.webhook set due_at = now() where due_at > now() + interval '1 second'").await;
            api.request(Method::GET, "/healthz").send().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_job_that_its_delivery_missed_is_found_by_maintenance() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(open).await;
    api.submit_job("q", submission(1, "_", &receiver.url)).await;
    let (id, epoch) = api.claim_one("q", "w").await;
    receiver.until(1).await;
    api.execute("create table kept as table asman.webhook; delete from asman.webhook").await;
    assert_eq!(api.finish(&id, epoch).await, 200);
    let back = "insert into asman.webhook (qid, job_id, job_key, queue, namespace, kind, url, payload, armed_at) \
                select qid, job_id, job_key, queue, namespace, kind, url, payload, now() - interval '2 minutes' from kept";
    api.execute(back).await;
    api.execute("call asman.maintain()").await;
    assert_eq!(receiver.until(2).await[1].body["reason"], "Success");
}
