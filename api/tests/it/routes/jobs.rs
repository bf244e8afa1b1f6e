//! `/q/:queue/jobs`: every job of a queue, page by page.

use migrations::testing::with_jobs;
use sqlx::{AssertSqlSafe, Executor};
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::test_api::{TestApi, assert_one_sentence, definition};

async fn page(api: &TestApi, query: &[(&str, &str)]) -> (u16, Value) {
    let request = api.request(reqwest::Method::GET, "/q/q/jobs").query(query);
    crate::test_api::body_of(request.send().await.unwrap()).await
}

/// The rows of all pages.
async fn all(api: &TestApi, state: Option<&str>, limit: &str) -> Vec<Value> {
    let (mut rows, mut before) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", limit)];
        query.extend(state.map(|state| ("state", state)));
        query.extend(before.as_deref().map(|cursor| ("before", cursor)));
        let (status, body) = page(api, &query).await;
        assert_eq!(status, 200, "{body}");
        let data = body["data"].as_array().unwrap();
        assert!(data.len() <= limit.parse().unwrap(), "{}", data.len());
        rows.extend(data.iter().cloned());
        match body["next"].as_str() {
            Some(next) => before = Some(next.to_owned()),
            None => return rows,
        }
    }
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_page_shows_running_jobs_then_waiting_ones_then_ended_ones_each_newest_first() {
    let api = TestApi::new().await;
    let mut finished = Vec::new();
    for n in 0..2 {
        finished.push(api.submit("q", n).await);
        let (id, epoch) = api.claim_one("q", "w").await;
        assert_eq!(api.finish(&id, epoch).await, 200);
    }
    let mut running = Vec::new();
    for n in 2..4 {
        running.push(api.submit("q", n).await);
        api.claim_one("q", "w").await;
    }
    let mut queued = Vec::new();
    for n in 4..6 {
        queued.push(api.submit("q", n).await);
    }
    let expected: Vec<&str> =
        [&running, &queued, &finished].into_iter().flat_map(|list| list.iter().rev().map(String::as_str)).collect();
    for limit in ["1", "2", "3", "6", "200"] {
        assert_eq!(ids(&all(&api, None, limit).await), expected, "limit {limit}");
    }
    for (state, list) in [("Running", &running), ("Queued", &queued), ("Finished", &finished)] {
        let rows = all(&api, Some(state), "1").await;
        assert_eq!(ids(&rows), list.iter().rev().map(String::as_str).collect::<Vec<_>>(), "{state}");
        assert!(rows.iter().all(|row| row["state"] == state));
    }
    let rows = all(&api, None, "50").await;
    let (runs, ended) = (&rows[0], &rows[5]);
    assert_eq!((&runs["image"], &runs["command"], &runs["worker"]), (&json!("alpine:3.20"), &json!("echo 3"), &json!("w")));
    assert!(runs["claimedTime"].is_i64() && runs.get("finishedTime").is_none() && runs.get("reason").is_none(), "{runs}");
    assert_eq!((&ended["reason"], &ended["statusCode"], &ended["attempt"]), (&json!("Success"), &json!(0), &json!(1)));
    assert!(ended["finishedTime"].as_i64() >= ended["claimedTime"].as_i64(), "{ended}");
}

#[tokio::test]
async fn a_queue_is_paged_to_its_last_job_while_jobs_end_and_come() {
    let api = TestApi::new().await;
    let mut waiting = BTreeSet::new();
    for n in 0..30 {
        let priority = json!({"image": "a", "command": n.to_string(), "requirements": {"cpus": 1 + n % 3}});
        waiting.insert(api.submit_job("q", json!({"definition": priority})).await);
    }
    let (_, first) = page(&api, &[("state", "Queued"), ("limit", "10")]).await;
    let mut seen: BTreeSet<String> = ids(first["data"].as_array().unwrap()).into_iter().map(str::to_owned).collect();
    api.submit("q", 1_000).await;
    api.claim("q", "w", 1, "5s").await;
    let mut next = first["next"].as_str().map(str::to_owned);
    while let Some(before) = next {
        let (_, body) = page(&api, &[("state", "Queued"), ("limit", "10"), ("before", &before)]).await;
        let rows = body["data"].as_array().unwrap();
        assert!(rows.iter().all(|row| seen.insert(row["id"].as_str().unwrap().to_owned())), "no job twice");
        next = body["next"].as_str().map(str::to_owned);
    }
    assert!(seen.len() >= 29 && seen.is_subset(&waiting), "all but the one that was claimed: {}", seen.len());
}

#[tokio::test]
async fn jobs_that_ended_in_the_same_moment_are_each_there_once() {
    let api = TestApi::new().await;
    let rows = "select asman.qid('q') as qid, 'job.' || n || ' ä' as job_id, 7 as class, 1 as cpus, '{}' as tags from generate_series(1, 25) n";
    let ended = with_jobs(rows)
        + "insert into asman.finished (job_key, qid, epoch, attempt, is_item, reason, queued_at, finished_at) \
           select key, qid, 0, 0, false, 'Cancelled', now(), date_trunc('second', now()) from jobs";
    api.database().await.execute(AssertSqlSafe(ended)).await.unwrap();
    let rows = all(&api, Some("Finished"), "4").await;
    assert_eq!((rows.len(), ids(&rows).into_iter().collect::<BTreeSet<_>>().len()), (25, 25));
    assert!(rows.iter().all(|row| row.get("image").is_none() && row["isItem"] == false), "without a definition nothing is shown");
}

#[tokio::test]
async fn odd_definitions_and_items_are_listed_with_what_can_be_shown() {
    let api = TestApi::new().await;
    let long = api.submit_job("q", json!({"definition": {"image": "a", "command": "é".repeat(5_000)}})).await;
    let large = api.submit_job("q", json!({"definition": {"image": "a", "env": {"A": "x".repeat(100_000)}}})).await;
    let odd = api.submit_job("q", json!({"definition": {"image": "a", "command": "a\u{1b}[31m\u{fffd}"}})).await;
    let secret = json!({"context": "https://name:password@host/repository.git"});
    let built = api.submit_job("q", json!({"definition": {"build": secret}})).await;
    api.post("/q/q/api/v1/queue/put", json!({"tile/1": {"image": "no image", "command": 7}})).await;
    let rows = all(&api, None, "200").await;
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap();
    assert_eq!(row(&long)["command"].as_str().unwrap().chars().count(), 201);
    assert!(row(&large).get("image").is_none(), "a page does not read large definitions");
    assert_eq!(row(&odd)["command"], "a\u{1b}[31m\u{fffd}");
    assert_eq!((&row(&built)["isBuild"], row(&built).get("image")), (&json!(true), None));
    assert_eq!((&row("tile/1")["isItem"], row("tile/1").get("image")), (&json!(true), None));
    assert!(!json!(rows).to_string().contains("password"));
}

#[tokio::test]
async fn what_is_no_page_is_refused_in_one_sentence() {
    let api = TestApi::new().await;
    api.submit_job("q", json!({"definition": definition(1)})).await;
    for query in [
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "-1"),
        ("limit", "many"),
        ("state", "Removed"),
        ("state", ""),
        ("before", ""),
        ("before", "x1.a"),
        ("before", "f1"),
        ("before", "f99999999999999999999.a"),
        ("before", "f253402300799999999.a\u{0}b"),
    ] {
        let (status, body) = page(&api, &[query]).await;
        assert_eq!(status, 400, "{query:?} {body}");
        assert_one_sentence(&body);
    }
    let (status, body) = page(&api, &[("state", "Queued"), ("before", "f1.a")]).await;
    assert_eq!(status, 400, "{body}");
    for end in ["f0.a", "f253402300799999999.", "q0.", "r253402300799999999.a"] {
        assert_eq!(page(&api, &[("before", end)]).await.0, 200, "{end}");
    }
    assert_eq!(api.get("/q/nobody/jobs").await.1, json!({"data": [], "next": null}));
}

/// Whether the answer tells caches that it depends on the `accept` header.
fn varies(response: &reqwest::Response) -> bool {
    response.headers().get_all("vary").iter().any(|value| value == "accept")
}

#[tokio::test]
async fn a_browser_gets_the_page_of_a_queue_and_a_program_the_list() {
    let api = TestApi::new().await;
    super::policy::put(&api, json!({"readToken": "read-token-0123456789"})).await;
    let ask = |path: &str, accept: &str| api.request(reqwest::Method::GET, path).header("accept", accept).send();
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for queue in ["open", "q", "j", "caf%C3%A9"] {
        let response = ask(&format!("/q/{queue}"), browser).await.unwrap();
        assert_eq!(response.status(), 200, "{queue}");
        assert!(varies(&response), "{queue}");
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{queue}");
        let page = response.text().await.unwrap();
        assert!(page.contains("<html") && !page.contains("caf"), "the page is the same for every queue");
    }
    for accept in ["*/*", "application/json", ""] {
        let response = ask("/q/open", accept).await.unwrap();
        assert!(varies(&response), "{accept:?}");
        assert_eq!(response.json::<Value>().await.unwrap(), json!({"data": {}}), "{accept:?}");
        assert_eq!(ask("/q/q", accept).await.unwrap().status(), 401, "the list asks for its token as before");
    }
    let list = ask("/q/open/j", browser).await.unwrap();
    assert_eq!(list.json::<Value>().await.unwrap(), json!({"data": {}}), "only the queue itself is a page");
    assert_eq!(ask("/q/q/j", browser).await.unwrap().status(), 401);
}
