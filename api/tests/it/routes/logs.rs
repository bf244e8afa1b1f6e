//! `…/build-logs.json` and `…/run-logs.json` by cursor.

use serde_json::{Value, json};

use crate::socket::{Socket, ending};
use crate::test_api::TestApi;

async fn read(api: &TestApi, job: &str, which: &str, since: i64) -> Value {
    let (status, body) = api.get(&format!("/q/q/j/{job}/{which}-logs.json?since={since}")).await;
    assert_eq!(status, 200, "{body}");
    body
}

fn texts(body: &Value) -> Vec<&str> {
    body["data"].as_array().unwrap().iter().map(|line| line[0].as_str().unwrap()).collect()
}

/// A job with two attempts. The first builds, runs and is released. The second builds and runs again.
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
    assert_eq!((texts(&beyond).len(), &beyond["nextCursor"]), (0, &json!(5)), "the number of lines");
    assert_eq!(read(&api, &id, "build", 99).await["nextCursor"], 3);
    assert_eq!(texts(&read(&api, &id, "run", -7).await).len(), 5);
}

#[tokio::test]
async fn an_unknown_job_has_an_empty_log_that_is_not_final() {
    let api = TestApi::new().await;
    let empty = json!({"data": [], "sliceStart": 0, "nextCursor": 0, "isFinal": false});
    for path in
        ["/q/q/j/nope/run-logs.json", "/q/q/j/nope/build-logs.json?since=7", "/j/nope/run-logs.json", "/j/nope/build-logs.json"]
    {
        let answer = api.fetch(path).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-asman-state"]), (200, &"unknown".parse().unwrap()), "{path}");
        assert_eq!(answer.json::<Value>().await.unwrap(), empty, "{path}");
    }
}

#[tokio::test]
async fn the_result_of_a_job_that_never_ran_has_what_pull_and_build_said() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.log(&id, epoch, 0, "docker image pull", &["pulling a\n"]).await;
    api.log(&id, epoch, 1, "docker build", &["step 1\n", "no such file\n"]).await;
    let failed =
        json!({"epoch": epoch, "reason": "Error", "code": "build-failed", "result": {"isTimedOut": false, "outputs": {}}});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), failed).await.0, 200);
    let result = api.get(&format!("/j/{id}/result.json")).await.1["data"]["finished"]["result"].clone();
    assert_eq!(result["logs"], json!([["pulling a\n", 1], ["step 1\n", 1], ["no such file\n", 1]]));
    assert_eq!(result["logsOf"], "build");
    assert_eq!(texts(&read(&api, &id, "run", 0).await).len(), 0);
    // A job that ran has a log of its run, however it ended.
    let ran = api.submit("q", 2).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.log(&ran, epoch, 0, "docker build", &["built\n"]).await;
    api.log(&ran, epoch, 1, "Running", &["too much\n"]).await;
    let failed =
        json!({"epoch": epoch, "reason": "Error", "code": "out-of-memory", "result": {"isTimedOut": false, "outputs": {}}});
    assert_eq!(api.post(&format!("/q/q/j/{ran}/finish"), failed).await.0, 200);
    let result = api.get(&format!("/j/{ran}/result.json")).await.1["data"]["finished"]["result"].clone();
    assert_eq!((&result["logs"], result.get("logsOf")), (&json!([["too much\n", 1]]), None));
}

#[tokio::test]
async fn a_log_of_many_chunks_is_one_answer() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    for seq in 0..300 {
        api.log(&id, epoch, seq, "Running", &[&format!("line {seq}")]).await;
    }
    api.finish(&id, epoch).await;
    let body = read(&api, &id, "run", 7).await;
    assert_eq!((&body["isFinal"], &body["nextCursor"]), (&json!(true), &json!(300)));
    assert_eq!(texts(&body), (7..300).map(|n| format!("line {n}")).collect::<Vec<_>>());
}

/// Logs numbered lines of 1 KiB, 60 to a chunk.
async fn long_log(api: &TestApi, n_chunks: i32) -> (String, i64) {
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    for seq in 0..n_chunks {
        let lines: Vec<_> = (0..60).map(|n| format!("{:<1023}", seq * 60 + n)).collect();
        let status = api.log(&id, epoch, seq, "Running", &lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(status, 200);
    }
    (id, epoch)
}

#[tokio::test]
async fn a_long_log_is_read_to_its_end_by_following_the_cursor() {
    let api = TestApi::new().await;
    let (id, epoch) = long_log(&api, 220).await;
    api.finish(&id, epoch).await;
    let (mut cursor, mut n_answers) = (0, 0);
    loop {
        let body = read(&api, &id, "run", cursor).await;
        let numbers: Vec<i64> = texts(&body).iter().map(|text| text.trim_end().parse().unwrap()).collect();
        cursor = body["nextCursor"].as_i64().unwrap();
        assert_eq!(numbers, (cursor - i64::try_from(numbers.len()).unwrap()..cursor).collect::<Vec<_>>());
        n_answers += 1;
        if body["isFinal"] == true {
            break;
        }
    }
    assert_eq!((cursor, n_answers), (220 * 60, 2), "12.9 MiB, at most about 8 MiB an answer");
}

#[tokio::test]
async fn a_result_holds_the_end_of_a_long_log_and_says_where_the_rest_is() {
    let api = TestApi::new().await;
    let (id, epoch) = long_log(&api, 30).await;
    api.finish(&id, epoch).await;
    for path in [format!("/q/q/j/{id}/result.json"), format!("/j/{id}/result.json")] {
        let (_, body) = api.get(&path).await;
        let result = &body["data"]["finished"]["result"];
        let lines = result["logs"].as_array().unwrap();
        assert_eq!((lines.len(), lines[511][0].as_str().unwrap().trim_end()), (512, "1799"), "512 KiB");
        assert_eq!(result["logsOmitted"], json!({"lines": 1800 - 512, "url": "run-logs.json"}));
    }
    let (_, shown) = api.get(&format!("/q/q/j/{id}")).await;
    assert_eq!(shown["data"]["results"]["finished"]["result"]["logs"].as_array().unwrap().len(), 512);
}

#[tokio::test]
async fn a_job_that_is_submitted_again_has_a_log_of_its_own_whose_numbers_go_on() {
    let api = TestApi::new().await;
    let (id, epoch) = two_attempts(&api).await;
    api.finish(&id, epoch).await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    socket.send(&ending(&id, "Deleted")).await;
    socket.until(|m| (m["type"] == "ClearJobCache").then_some(())).await;
    assert_eq!(api.submit("q", 1).await, id);
    let (_, epoch) = api.claim_one("q", "w3").await;
    api.log(&id, epoch, 0, "Running", &["new 1", "new 2"]).await;
    let told = socket.until(|m| (m["type"] == "JobStatusPayload").then(|| m["payload"].clone())).await;
    assert_eq!(told, json!({"jobId": id, "step": "Running", "logs": [["new 1", 1], ["new 2", 1]], "cursor": 7}));
    let body = read(&api, &id, "run", 0).await;
    assert_eq!((texts(&body), &body["nextCursor"]), (vec!["new 1", "new 2"], &json!(7)));
    assert_eq!(texts(&read(&api, &id, "run", 6).await), ["new 2"]);
    assert_eq!(texts(&read(&api, &id, "build", 0).await).len(), 0, "the build was of the run before");
}

#[tokio::test]
async fn lines_on_the_socket_have_the_numbers_that_cursors_count_by() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    let (id, epoch) = two_attempts(&api).await;
    api.finish(&id, epoch).await;
    let mut ends = std::collections::BTreeMap::new();
    loop {
        let message = socket.next().await;
        let payload = &message["payload"];
        if message["type"] == "JobStatusPayload" {
            let part = if payload["step"] == "Running" { "run" } else { "build" };
            let before = ends.get(part).copied().unwrap_or(0);
            let n = i64::try_from(payload["logs"].as_array().unwrap().len()).unwrap();
            assert_eq!(payload["cursor"].as_i64(), Some(before + n), "{payload}");
            ends.insert(part, before + n);
        } else if payload["state"]["jobs"][&id]["state"] == "Finished" {
            break;
        }
    }
    assert_eq!(ends, [("build", 3), ("run", 5)].into());
}
