//! `/q/:queue/policy`: who may change it, what it shows, and its effect on jobs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::socket::{Socket, submission};
use crate::test_api::{PROMPT, TestApi, assert_one_sentence, body_of, claim_body, definition, eventually, held, in_time};

pub(crate) const OWNER: &str = "owner-token-0123456789";

/// Sends a request, with a token unless it is empty.
pub(crate) async fn send(api: &TestApi, method: Method, path: &str, token: &str, body: Value) -> (u16, Value) {
    let request = api.request(method, path).json(&body);
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    body_of(request.send().await.unwrap()).await
}

/// Writes the policy of queue `q` as its owner.
pub(crate) async fn put(api: &TestApi, mut body: Value) {
    body["ownerToken"] = json!(OWNER);
    let (status, answer) = send(api, Method::PUT, "/q/q/policy", OWNER, body).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_policy_shows_whether_there_are_tokens_and_never_which() {
    let api = TestApi::new().await;
    let open = json!({"paused": false, "ownerToken": false, "workerToken": false, "submitToken": false, "readToken": false,
        "maxQueued": null, "maxPerNamespace": null, "maxDuration": null, "retention": null, "webhookSecret": false});
    assert_eq!(api.get("/q/q/policy").await, (200, json!({"data": open})));
    let secret = "secret-of-the-webhooks";
    put(&api, json!({"workerToken": "w-0123456789abcdef", "maxQueued": 5, "maxDuration": "90s", "retention": "48h", "webhookSecret": secret}))
        .await;
    let (status, policy) = send(&api, Method::GET, "/q/q/policy", OWNER, json!(null)).await;
    let text = policy.to_string();
    assert_eq!(
        (status, &policy["data"]["maxDuration"], &policy["data"]["retention"]),
        (200, &json!("1m30s"), &json!("2d")),
        "{text}"
    );
    assert_eq!((&policy["data"]["workerToken"], &policy["data"]["webhookSecret"]), (&json!(true), &json!(true)));
    assert!(!text.contains(secret) && !text.contains(OWNER) && !text.contains("w-0123"), "{text}");
    // A member that is absent stays unchanged, and a member that is null is removed.
    put(&api, json!({"workerToken": null, "paused": true})).await;
    let (_, policy) = send(&api, Method::GET, "/q/q/policy", OWNER, json!(null)).await;
    assert_eq!((&policy["data"]["workerToken"], &policy["data"]["maxQueued"]), (&json!(false), &json!(5)));
    assert_eq!(api.count("select count(*) from asman.policy q where q::text like '%owner-token%'").await, 0, "hashed at rest");
}

#[tokio::test]
async fn only_the_owner_writes_reads_and_clears_a_policy_that_has_one() {
    let api = TestApi::new().await;
    put(&api, json!({"paused": true})).await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let (status, body) = send(&api, method.clone(), "/q/q/policy", "", json!({})).await;
        assert_eq!(status, 401, "{method}");
        assert_one_sentence(&body);
        let (status, body) = send(&api, method.clone(), "/q/q/policy", "wrong-0123456789abcdef", json!({})).await;
        assert_eq!(status, 403, "{method}");
        assert_one_sentence(&body);
    }
    assert_eq!(send(&api, Method::DELETE, "/q/q/policy", OWNER, json!({})).await.0, 200);
    assert_eq!(api.get("/q/q/policy").await.1["data"]["ownerToken"], false);
    assert_eq!(api.count("select count(*) from asman.policy").await, 0);
}

#[tokio::test]
async fn of_ten_who_want_to_be_the_first_owner_exactly_one_is() {
    let api = TestApi::new().await;
    let other = TestApi::over(&api.database_url, |_| {}).await;
    let tokens: Vec<String> = (0..10).map(|n| format!("token-of-writer-number-{n}")).collect();
    let apis = [&api, &other];
    let writes = tokens
        .iter()
        .enumerate()
        .map(|(n, token)| send(apis[n % 2], Method::PUT, "/q/q/policy", token, json!({"ownerToken": token, "maxQueued": n + 1})));
    let answers = futures_util::future::join_all(writes).await;
    let winners: Vec<usize> = (0..10).filter(|n| answers[*n].0 == 200).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(status, _)| [200, 403].contains(status)), "{answers:?}");
    let (_, policy) = send(&other, Method::GET, "/q/q/policy", &tokens[winners[0]], json!(null)).await;
    assert_eq!(policy["data"]["maxQueued"], winners[0] + 1, "the loser changed nothing");
}

#[tokio::test]
async fn a_policy_that_makes_no_sense_is_refused_and_changes_nothing() {
    let api = TestApi::new().await;
    for body in [
        json!({"ownerToken": "short"}),
        json!({"ownerToken": "with spaces in between it"}),
        json!({"workerToken": "x".repeat(256)}),
        json!({"webhookSecret": "short"}),
        json!({"maxQueued": 0}),
        json!({"maxQueued": -1}),
        json!({"maxQueued": 1.5}),
        json!({"maxQueued": 3_000_000_000_u32}),
        json!({"maxPerNamespace": 0}),
        json!({"maxDuration": "soon"}),
        json!({"maxDuration": 0}),
        json!({"retention": "0s"}),
        json!({"retention": 7}),
        json!({"retention": "36h"}),
        json!({"paused": "yes"}),
        json!({"pausd": true}),
        json!([]),
        json!("x"),
    ] {
        let (status, answer) = send(&api, Method::PUT, "/q/q/policy", "", body.clone()).await;
        assert_eq!(status, 400, "{body} {answer}");
        assert_one_sentence(&answer);
    }
    assert_eq!(api.count("select count(*) from asman.policy").await, 0);
}

#[tokio::test]
async fn a_paused_queue_takes_jobs_and_a_resume_wakes_a_waiting_claim_at_once() {
    let slow = |config: &mut api::Config| config.poll = "5m".parse().unwrap();
    let api = TestApi::with(slow).await;
    let other = TestApi::over(&api.database_url, slow).await;
    for process in [&api, &other] {
        put(&api, json!({"paused": true})).await;
        let id = api.submit("q", 1).await;
        assert!(api.claim("q", "w", 1, "0s").await.is_empty());
        let (_, status) = api.get("/q/q/status").await;
        assert_eq!((&status["waiting"][0]["why"], &status["demand"]), (&json!("the queue is paused"), &json!(0)));
        let request = process.request(Method::POST, "/q/q/claim").json(&claim_body("waiting", 1, "15s"));
        let waiting = tokio::spawn(async move { body_of(request.send().await.unwrap()).await.1 });
        eventually("the worker waits", || async {
            (api.count("select count(*) from asman.worker where worker_id = 'waiting'").await == 1).then_some(())
        })
        .await;
        // The claim should find the queue paused before the pause ends.
        tokio::task::yield_now().await;
        put(&api, json!({"paused": false})).await;
        let answer = tokio::time::timeout(PROMPT, waiting).await.expect("the resume woke the claim").unwrap();
        let (claimed, epoch) = held(&answer["jobs"][0]);
        assert_eq!(claimed, id);
        assert_eq!(send(&api, Method::POST, &format!("/q/q/j/{id}/cancel"), "", json!({})).await.0, 200, "{epoch}");
        api.execute("delete from asman.worker").await;
    }
}

#[tokio::test]
async fn a_full_queue_answers_429_and_stores_nothing_of_what_it_refuses() {
    let api = TestApi::new().await;
    put(&api, json!({"maxQueued": 2})).await;
    let first = api.submit("q", 1).await;
    api.submit("q", 2).await;
    let stored = "select (select count(*) from asman.definition) + (select count(*) from asman.event) + (select count(*) from asman.queued)
        + (select count(*) from asman.hold)";
    let before = api.count(stored).await;
    let body = json!({"definition": definition(3), "control": {"namespace": "mine"}});
    let response = api.request(Method::POST, "/q/q").json(&body).send().await.unwrap();
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    let (status, answer) = body_of(response).await;
    assert_eq!((status, (1..=60).contains(&seconds)), (429, true));
    assert_one_sentence(&answer);
    assert_eq!(api.count(stored).await, before);
    assert_eq!(api.submit("q", 1).await, first, "a job that the queue has already does not count again");
    api.submit("another", 3).await;
    // A free slot is given away only once.
    api.claim_one("q", "w").await;
    let both = [json!({"definition": definition(4)}), json!({"definition": definition(5)})];
    let statuses = futures_util::future::join_all(both.map(|body| api.post("/q/q", body))).await;
    let mut statuses: Vec<u16> = statuses.into_iter().map(|(status, _)| status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 429]);
}

#[tokio::test]
async fn a_hundred_submissions_at_once_through_two_processes_do_not_exceed_the_limit() {
    let api = TestApi::new().await;
    let other = TestApi::over(&api.database_url, |_| {}).await;
    put(&api, json!({"maxQueued": 20})).await;
    let submits = (0..100).map(|n| {
        let process = if n % 2 == 0 { &api } else { &other };
        process.post("/q/q", json!({"definition": definition(n)}))
    });
    let answers = futures_util::future::join_all(submits).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 20);
    assert_eq!(api.count("select count(*) from asman.queued").await, 20);
}

#[tokio::test]
async fn one_namespace_has_a_limit_of_its_own_and_the_others_go_on() {
    let api = TestApi::new().await;
    put(&api, json!({"maxPerNamespace": 1})).await;
    let body = |n: u32, namespace: &str| json!({"definition": definition(n), "control": {"namespace": namespace}});
    assert_eq!(api.post("/q/q", body(1, "_")).await.0, 200);
    let (status, answer) = api.post("/q/q", body(2, "_")).await;
    assert_eq!(status, 429);
    assert_one_sentence(&answer);
    assert_eq!(api.post("/q/q", body(2, "other")).await.0, 200);
    assert_eq!(api.post("/q/q", body(1, "other")).await.0, 429, "joining a waiting job is one job more of the namespace");
    assert_eq!(api.post("/q/q", body(1, "_")).await.0, 200, "the same again");
}

#[tokio::test]
async fn a_refused_submission_on_a_socket_leaves_no_job_and_the_socket_open() {
    let api = TestApi::new().await;
    put(&api, json!({"maxQueued": 1})).await;
    api.submit("q", 1).await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    socket.send(&submission("mine", &definition(2))).await;
    socket.ping().await;
    assert_eq!(api.count("select count(*) from asman.queued").await, 1);
}

#[tokio::test]
async fn the_longest_run_is_capped_whatever_the_submitter_asks_for() {
    let api = TestApi::new().await;
    put(&api, json!({"maxDuration": "90s"})).await;
    for (n, asked, given) in [(1, "2h", "1m30s"), (2, "5s", "5s")] {
        let mut definition = definition(n);
        definition["maxDuration"] = json!(asked);
        api.submit_job("q", json!({"definition": definition})).await;
        assert_eq!(api.claim("q", "w", 1, "15s").await[0]["maxDuration"], given);
    }
}

#[tokio::test]
async fn results_are_kept_as_long_as_their_queue_says() {
    let api = TestApi::new().await;
    put(&api, json!({"retention": "1d"})).await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.log(&id, epoch, 0, "Running", &["line"]).await, 200);
    assert_eq!(api.finish(&id, epoch).await, 200);
    assert_eq!(api.submit("other", 1).await, id);
    let (_, other) = held(&api.claim("other", "w", 1, "15s").await[0]);
    api.post(
        &format!("/q/other/j/{id}/finish"),
        json!({"epoch": other, "reason": "Success", "result": {"outputs": {}, "isTimedOut": false}}),
    )
    .await;
    api.execute("call asman.maintain()").await;
    assert_eq!(api.state(&id).await, "finished", "younger than a day");
    api.execute("update asman.finished set finished_at = now() - interval '25 hours'").await;
    api.execute("call asman.maintain()").await;
    assert_eq!(api.state(&id).await, "unknown");
    assert_eq!(api.count("select count(*) from asman.log_chunk").await, 0);
    let (_, kept) = api.get(&format!("/q/other/j/{id}/result.json")).await;
    assert_eq!(kept["data"]["finishedReason"], "Success");
}

#[tokio::test]
async fn a_change_is_known_to_every_process_at_once_or_after_a_moment_without_notifications() {
    let api = TestApi::new().await;
    let told = TestApi::over(&api.database_url, |_| {}).await;
    let deaf = TestApi::over(&api.database_url, |config| config.notifications = false).await;
    for process in [&told, &deaf] {
        assert_eq!(process.get("/q/q").await.0, 200);
    }
    put(&api, json!({"readToken": "r-0123456789abcdef"})).await;
    assert_eq!(api.get("/q/q").await.0, 401, "the process that took the change");
    let knows = |process: &TestApi| {
        let request = process.request(Method::GET, "/q/q");
        async move { (request.send().await.unwrap().status() == 401).then_some(()) }
    };
    tokio::time::timeout(PROMPT, eventually("the other process knows", || knows(&told))).await.expect("it was told");
    eventually("the process without notifications reads again", || knows(&deaf)).await;
}

#[tokio::test]
async fn a_stream_and_a_socket_end_when_their_reader_may_read_no_more() {
    let api = TestApi::with(|config| config.limits.socket_idle = "3s".parse().unwrap()).await;
    let id = api.submit("q", 1).await;
    let mut stream = api.fetch(&format!("/q/q/j/{id}/stream")).await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    assert!(in_time(stream.chunk()).await.unwrap().is_some(), "it is open");
    put(&api, json!({"readToken": "r-0123456789abcdef"})).await;
    in_time(async { while stream.chunk().await.unwrap().is_some() {} }).await;
    assert_eq!(socket.closed().await, Some(1008));
}
