//! `…/build-logs.json` and `…/run-logs.json` by cursor.

use serde_json::{Value, json};

use crate::test_api::TestApi;

async fn read(api: &TestApi, job: &str, which: &str, since: i64) -> Value {
    let (status, body) = api.get(&format!("/q/q/j/{job}/{which}-logs.json?since={since}")).await;
    assert_eq!(status, 200, "{body}");
    body
}

fn texts(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|line| line[0].as_str().unwrap()).collect()
}

/// Two attempts: the first builds and runs, is released, the second builds and runs again.
async fn two_attempts(api: &TestApi) -> (String, i64) {
    let id = api.submit("q", 1).await;
    let (_, first) = api.claim_one("q", "w1").await;
    api.log(&id, first, 0, "docker image pull", &["pull 1", "pull 2"]).await;
    api.log(&id, first, 1, "Running", &["run 1", "run 2", "run 3"]).await;
    api.post(&format!("/q/q/j/{id}/release"), json!({"epoch": first})).await;
    let (_, second) = api.claim_one("q", "w2").await;
    api.log(&id, second, 0, "docker build", &["build 1"]).await;
    api.log(&id, second, 1, "Running", &["run 4"]).await;
    api.log(&id, second, 2, "Running", &["run 5"]).await;
    (id, second)
}

#[tokio::test]
async fn a_cursor_gives_every_line_once_over_all_attempts() {
    let api = TestApi::new().await;
    let (id, epoch) = two_attempts(&api).await;
    let all = ["run 1", "run 2", "run 3", "run 4", "run 5"];
    for since in 0..=5 {
        let body = read(&api, &id, "run", since).await;
        assert_eq!(texts(&body), all[usize::try_from(since).unwrap()..], "since {since}");
        assert_eq!((&body["sliceStart"], &body["nextCursor"], &body["isFinal"]), (&json!(since), &json!(5), &json!(false)));
    }
    let build = read(&api, &id, "build", 1).await;
    assert_eq!(texts(&build), ["pull 2", "build 1"]);
    assert_eq!(build["nextCursor"], 3);
    api.finish(&id, epoch).await;
    assert_eq!(read(&api, &id, "run", 5).await["isFinal"], true);
    let anywhere = api.get(&format!("/j/{id}/run-logs.json?since=3")).await.1;
    assert_eq!(texts(&anywhere), ["run 4", "run 5"]);
    assert_eq!(texts(&api.get(&format!("/j/{id}/build-logs.json")).await.1), ["pull 1", "pull 2", "build 1"]);
}

#[tokio::test]
async fn a_result_has_the_lines_of_the_attempt_that_ended_it() {
    let api = TestApi::new().await;
    let (id, epoch) = two_attempts(&api).await;
    api.finish(&id, epoch).await;
    let (_, result) = api.get(&format!("/q/q/j/{id}/result.json")).await;
    assert_eq!(result["data"]["finished"]["result"]["logs"], json!([["run 4", 1], ["run 5", 1]]));
}

#[tokio::test]
async fn a_cursor_beyond_the_end_or_below_zero_gives_no_error() {
    let api = TestApi::new().await;
    let (id, _) = two_attempts(&api).await;
    let beyond = read(&api, &id, "run", 99).await;
    assert_eq!((texts(&beyond).len(), &beyond["nextCursor"]), (0, &json!(99)));
    assert_eq!(texts(&read(&api, &id, "run", -7).await).len(), 5);
}

#[tokio::test]
async fn a_log_of_many_chunks_is_read_to_its_end_by_following_the_cursor() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    for seq in 0..150 {
        api.log(&id, epoch, seq, "Running", &[&format!("line {seq}")]).await;
    }
    api.finish(&id, epoch).await;
    let first = read(&api, &id, "run", 0).await;
    assert_eq!(first["isFinal"], false, "more is there");
    let cursor = first["nextCursor"].as_i64().unwrap();
    let second = read(&api, &id, "run", cursor).await;
    assert_eq!((&second["isFinal"], &second["nextCursor"]), (&json!(true), &json!(150)));
    let all: Vec<_> = texts(&first).into_iter().chain(texts(&second)).map(ToOwned::to_owned).collect();
    assert_eq!(all, (0..150).map(|n| format!("line {n}")).collect::<Vec<_>>());
}
