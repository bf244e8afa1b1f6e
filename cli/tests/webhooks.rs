//! Ten thousand webhooks go to a receiver that fails half of the requests, while one of the two API processes is killed: all arrive.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use futures_util::{StreamExt, stream};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::PgPool;
use support::{Running, asman, ready, within};

/// Number of jobs. Each causes two webhooks.
const JOBS: usize = 5_000;
/// Time for the whole test on a busy machine.
const BOUND: Duration = Duration::from_secs(150);

/// What the receiver records.
#[derive(Default)]
struct Noted {
    n_requests: AtomicUsize,
    /// How often each delivery was refused, by its id.
    refused: Mutex<HashMap<String, u32>>,
    /// The job and event of each delivery, and how often it was accepted, by its id.
    taken: Mutex<HashMap<String, (String, usize)>>,
    /// Deliveries that came before the job was in the state that they report.
    early: Mutex<Vec<Value>>,
}

#[derive(Clone)]
struct Receiver {
    noted: Arc<Noted>,
    database: PgPool,
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let event = headers["x-asman-event"].to_str().unwrap();
    // A separate connection sees only committed changes.
    let sql = match event {
        "finished" => {
            "select exists (select from asman.job j join asman.finished f on f.job_key = j.key where j.job_id = $1 and f.reason = 'Success')"
        }
        _ => {
            "select exists (select from asman.job j where j.job_id = $1 and (exists (select from asman.queued q where q.job_key = j.key) \
              or exists (select from asman.running r where r.job_key = j.key) or exists (select from asman.finished f where f.job_key = j.key)))"
        }
    };
    let job = body["jobId"].as_str().unwrap();
    if !sqlx::query_scalar::<_, bool>(sql).bind(job).fetch_one(&receiver.database).await.unwrap() {
        receiver.noted.early.lock().unwrap().push(body.clone());
    }
    receiver.noted.n_requests.fetch_add(1, Ordering::Relaxed);
    let id = headers["x-asman-delivery"].to_str().unwrap().to_owned();
    // Half of the deliveries fail at the first request, half of those fail again, and so on: in total half of all requests fail.
    let n_failures = u8::from_str_radix(&id[..2], 16).unwrap().trailing_zeros().min(6);
    if let Some(n) = Some(receiver.noted.refused.lock().unwrap().entry(id.clone()).or_default()).filter(|n| **n < n_failures) {
        *n += 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    receiver.noted.taken.lock().unwrap().entry(id).or_insert_with(|| (format!("{event} {job}"), 0)).1 += 1;
    StatusCode::OK
}

fn start_api(database_url: &str, blobs: &std::path::Path) -> (Running, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = asman();
    command.args(["api", "--allow-private-webhooks", "--webhook-backoff", "50ms", "--webhook-lease", "12s"]);
    command.args(["--database-url", database_url, "--listen", &format!("127.0.0.1:{port}"), "--blob-directory"]).arg(blobs);
    (Running::start(&mut command), format!("http://127.0.0.1:{port}"))
}

/// Sends a request to one API, and to the other when the first has gone, as clients do.
async fn post(http: &reqwest::Client, apis: &[String; 2], n: usize, path: &str, body: &Value) -> Value {
    for try_no in 0..20 {
        let url = format!("{}{path}", apis[(n + try_no) % 2]);
        if let Ok(answer) = http.post(url).json(body).send().await
            && answer.status().is_success()
            && let Ok(body) = answer.json().await
        {
            return body;
        }
    }
    panic!("neither API took it");
}

async fn work_off(http: &reqwest::Client, apis: &[String; 2]) {
    let mut n_done = 0;
    while n_done < JOBS {
        let worker = json!({"id": "w", "version": "1", "cpus": 256, "maxJobDuration": "24h"});
        let ask = json!({"worker": worker, "free": {"cpus": 256, "jobs": 256}, "wait": "2s"});
        // All claims go to the API that stays: if an answer were lost with the other one, the claimed job would wait for its lease.
        let answer = post(http, &[apis[0].clone(), apis[0].clone()], 0, "/q/hooks/claim", &ask).await;
        let jobs = answer["jobs"].as_array().unwrap().clone();
        n_done += jobs.len();
        let finishes = jobs.into_iter().enumerate().map(|(n, job)| async move {
            let result = json!({"StatusCode": 0, "isTimedOut": false, "outputs": {}});
            let body = json!({"epoch": job["epoch"], "reason": "Success", "result": result});
            post(http, apis, n, &format!("/q/hooks/j/{}/finish", job["jobId"].as_str().unwrap()), &body).await;
        });
        stream::iter(finishes).buffer_unordered(32).for_each(async |()| {}).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_webhooks_arrive_though_half_fail_and_a_process_is_killed() {
    let database_url = migrations::testing::TestDatabase::new().await.url;
    let folder = support::data_directory();
    let noted = Arc::new(Noted::default());
    let database = PgPool::connect(&database_url).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let callback = json!({"url": format!("http://{}/", listener.local_addr().unwrap())});
    let router = Router::new().fallback(receive).with_state(Receiver { noted: Arc::clone(&noted), database: database.clone() });
    tokio::spawn(async { axum::serve(listener, router).await });
    let ((_one, url_one), (two, url_two)) = (start_api(&database_url, folder.path()), start_api(&database_url, folder.path()));
    let (http, apis) = (reqwest::Client::new(), [url_one, url_two]);
    ready(&http, &apis[0]).await;
    ready(&http, &apis[1]).await;

    let start = Instant::now();
    let submits = (0..JOBS).map(|n| {
        let control = json!({"callbacks": {"queued": callback, "finished": callback}});
        let body = json!({"definition": {"image": "a", "command": n.to_string()}, "control": control});
        let (http, apis) = (&http, &apis);
        async move { post(http, apis, n, "/q/hooks", &body).await }
    });
    let killed = async {
        // Kills one process while jobs are still being submitted and its deliveries are in progress.
        within(BOUND, async || (noted.n_requests.load(Ordering::Relaxed) >= 3_000).then_some(())).await;
        two.signal(Signal::KILL);
        noted.n_requests.load(Ordering::Relaxed)
    };
    let submitted = stream::iter(submits).buffer_unordered(32).for_each(async |_| {});
    let ((), n_before) = tokio::time::timeout(BOUND, async {
        tokio::join!(
            async {
                tokio::join!(submitted, work_off(&http, &apis));
            },
            killed
        )
    })
    .await
    .expect("all jobs end in time");
    let left = "select count(*) from asman.webhook";
    within(BOUND, async || (sqlx::query_scalar::<_, i64>(left).fetch_one(&database).await.unwrap() == 0).then_some(())).await;

    let taken = noted.taken.lock().unwrap();
    let mut told: Vec<_> = taken.values().map(|(what, _)| what.clone()).collect();
    told.sort();
    told.dedup();
    let n_twice: usize = taken.values().map(|(_, n)| n - 1).sum::<usize>() + taken.len() - told.len();
    eprintln!(
        "{} webhooks in {:?}: {} requests, {n_twice} taken more than once; killed after {n_before} requests",
        told.len(),
        start.elapsed(),
        noted.n_requests.load(Ordering::Relaxed)
    );
    assert_eq!(told.len(), 2 * JOBS, "every one arrived");
    assert!(noted.early.lock().unwrap().is_empty(), "none before its commit: {:?}", noted.early.lock().unwrap());
    assert!(n_twice <= 200, "only what the killed process had in hand came twice: {n_twice}");
}
