//! A worker of the existing kind and a worker of Asman on one queue: every log is complete, every state is reported, and no job runs
//! twice. The existing worker is a script that follows the description of its messages, JSON over a socket. The worker of Asman is
//! the real program with real containers and builds.
//!
//! `./x test-fleet` sends 200 jobs; the short form sends 40.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::house::{House, IMAGE, test_database};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const QUEUE: &str = "fleet";
/// How many jobs the scripted worker runs at a time. Each takes a moment, so that the real worker gets its share.
const AT_A_TIME: usize = 2;
const RUN: Duration = Duration::from_millis(700);
/// Time for the whole fleet to run one job.
const JOB_TIMEOUT: Duration = Duration::from_secs(15);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(house: &House, kind: &str) -> Socket {
    let url = format!("{}/q/{QUEUE}/{kind}", house.api_url().replace("http", "ws"));
    connect_async(url).await.unwrap().0
}

async fn send(socket: &mut Socket, kind: &str, payload: Value) {
    socket.send(Message::text(json!({"type": kind, "payload": payload}).to_string())).await.unwrap();
}

/// The next message that is JSON.
async fn next(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap()
            && let Ok(message) = serde_json::from_str(&text)
        {
            return message;
        }
    }
}

/// The purpose of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Run,
    Build,
    FailingBuild,
}

impl Kind {
    fn of(n: usize) -> Self {
        match n % 10 {
            3 => Self::FailingBuild,
            7 => Self::Build,
            _ => Self::Run,
        }
    }

    /// The definition of job number `n`. `nonce` keeps builds of an earlier run from being found.
    fn definition(self, n: usize, nonce: &str) -> Value {
        let command = format!("sh -c 'printf \"job {n}\\r\\npart\"; echo err {n} >&2; echo {n} > /outputs/out.txt'");
        let build = |end: &str| json!({"dockerfile": format!("FROM {IMAGE}\nRUN echo building {n} of {nonce}; {end}\n")});
        match self {
            Self::Run => json!({"image": IMAGE, "command": command}),
            Self::Build => json!({"build": build("true"), "command": command}),
            Self::FailingBuild => json!({"build": build("exit 3"), "command": command}),
        }
    }
}

/// Runs one job as the scripted worker does: sends its log, then its end.
async fn work(socket: &mut Socket, id: &str, definition: &Value) {
    let number = definition["command"].as_str().unwrap().split(&[' ', '\\'][..]).nth(4).unwrap().to_owned();
    let dockerfile = definition["build"]["dockerfile"].as_str();
    let is_failing = dockerfile.is_some_and(|text| text.contains("exit 3"));
    let mut built = Vec::new();
    if dockerfile.is_some() {
        built = vec![json!(["#1 building", 7, true]), json!([format!("building {number}"), 7])];
        send(socket, "JobStatusLogs", json!({"jobId": id, "step": "docker build", "logs": built})).await;
    }
    let result = if is_failing {
        built.push(json!(["Failure to build the docker image", 8, true]));
        json!({"logs": built, "error": "Error building image", "isTimedOut": false, "outputs": {}})
    } else {
        let logs = json!([[format!("job {number}\r\npart"), 7], [format!("err {number}\n"), 7, true]]);
        send(socket, "JobStatusLogs", json!({"jobId": id, "step": "Running", "logs": logs})).await;
        let outputs = json!({"out.txt": {"type": "utf8", "value": format!("{number}\n")}});
        json!({"StatusCode": 0, "logs": logs, "duration": 5, "isTimedOut": false, "outputs": outputs})
    };
    let reason = if is_failing { "Error" } else { "Success" };
    let value = json!({"type": "Finished", "time": 9, "reason": reason, "worker": "existing", "result": result});
    send(socket, "StateChange", json!({"tag": "", "job": id, "state": "Finished", "value": value})).await;
}

/// A worker of the existing kind. It registers, asks for the jobs that it sees queued, and runs those that it gets. Returns them.
async fn existing_worker(mut socket: Socket, mut is_over: watch::Receiver<bool>) -> Vec<String> {
    let registration = json!({"id": "existing", "version": "0.54.85", "cpus": 4, "gpus": 0, "time": 1, "maxJobDuration": "1h"});
    let mut beat = tokio::time::interval(Duration::from_secs(5));
    let (mut definitions, mut asked, mut running) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let mut ran = Vec::new();
    loop {
        let due = running.values().min().copied();
        let end = async { tokio::time::sleep_until(due.unwrap()).await };
        tokio::select! {
            _ = is_over.changed() => return ran,
            _ = beat.tick() => send(&mut socket, "WorkerRegistration", registration.clone()).await,
            () = end, if due.is_some() => {
                let id = running.iter().find(|(_, at)| Some(**at) == due).map(|(id, _): (&String, _)| id.clone()).unwrap();
                running.remove(&id);
                work(&mut socket, &id, &definitions[&id]).await;
                ran.push(id);
            }
            message = next(&mut socket) => {
                for (id, definition) in message["payload"]["definitions"].as_object().into_iter().flatten() {
                    definitions.insert(id.clone(), definition.clone());
                }
                for (id, job) in message["payload"]["state"]["jobs"].as_object().into_iter().flatten() {
                    if job["state"] == "Running" && job["worker"] == "existing" && asked.remove(id) && definitions.contains_key(id) {
                        running.insert(id.clone(), tokio::time::Instant::now() + RUN);
                    } else if job["state"] != "Queued" {
                        asked.remove(id);
                    } else if running.len() + asked.len() < AT_A_TIME && definitions.contains_key(id) && !ran.contains(id) {
                        asked.insert(id.clone());
                        let value = json!({"type": "Running", "time": 1, "worker": "existing"});
                        send(&mut socket, "StateChange", json!({"tag": "", "job": id, "state": "Running", "value": value})).await;
                    } else if !definitions.contains_key(id) {
                        send(&mut socket, "RequestJobDefinitions", json!({"jobIds": [id]})).await;
                    }
                }
            }
        }
    }
}

/// A client of the existing kind. It records, for each job, every state that the server showed it, and the log
/// lines of each step.
#[derive(Default)]
struct Client {
    states: BTreeMap<String, Vec<String>>,
    logs: BTreeMap<(String, String), Vec<Value>>,
}

impl Client {
    fn take(&mut self, message: &Value) {
        for (id, job) in message["payload"]["state"]["jobs"].as_object().into_iter().flatten() {
            let (states, state) = (self.states.entry(id.clone()).or_default(), job["state"].as_str().unwrap());
            if states.last().is_none_or(|last| last != state) {
                states.push(state.to_owned());
            }
        }
        if message["type"] == "JobStatusPayload" {
            let payload = &message["payload"];
            let key = ["jobId", "step"].map(|name| payload[name].as_str().unwrap().to_owned());
            let lines = self.logs.entry((key[0].clone(), key[1].clone())).or_default();
            lines.extend(payload["logs"].as_array().unwrap().iter().cloned());
        }
    }

    fn n_finished(&self) -> usize {
        self.states.values().filter(|states| states.last().is_some_and(|last| last == "Finished")).count()
    }

    async fn follow(mut self, mut socket: Socket, n_jobs: usize) -> Self {
        let deadline = tokio::time::Instant::now() + JOB_TIMEOUT * u32::try_from(n_jobs).unwrap();
        while self.n_finished() < n_jobs {
            let n = self.n_finished();
            let message = tokio::time::timeout_at(deadline, next(&mut socket)).await;
            self.take(&message.unwrap_or_else(|_| panic!("{n} of {n_jobs} jobs ended in time")));
        }
        self
    }
}

/// The texts of one stream, joined as clients join them.
fn joined(lines: &Value, is_stderr: bool) -> String {
    let lines = lines.as_array().unwrap().iter().filter(|line| (line[2] == true) == is_stderr);
    lines.map(|line| line[0].as_str().unwrap()).collect()
}

/// Checks that the client was told every state of the job, in order, and that the job ran once. A claim may have been released before
/// anything ran, because its worker did not get the answer in time.
fn check_history(house: &House, id: &str, told: &[String]) {
    let history = house.get(&format!("/q/{QUEUE}/j/{id}/history.json")).unwrap()["data"].clone();
    let mut had: Vec<&str> = history.as_array().unwrap().iter().map(|entry| entry["state"].as_str().unwrap()).collect();
    had.dedup();
    assert_eq!(told, had, "{id}: {history}");
    let events = house.events(QUEUE, id);
    let n = |kind: &str| events.iter().filter(|event| *event == kind).count();
    assert_eq!((n("claimed") - n("released"), n("requeued"), n("finished")), (1, 0, 1), "{id}: {history}");
}

/// Checks that the stored log and the result contain each part of the log in the right place.
fn check_logs(house: &House, id: &str, n: usize, kind: Kind) {
    let lines = |which: &str| house.get(&format!("/q/{QUEUE}/j/{id}/{which}-logs.json")).unwrap()["data"].clone();
    let (build, run) = (lines("build"), lines("run"));
    let result = house.result(QUEUE, id);
    let shown = &result["finished"]["result"];
    let said =
        build.as_array().unwrap().iter().filter(|line| line[0].as_str().unwrap().contains(&format!("building {n}"))).count();
    match kind {
        Kind::FailingBuild => {
            assert_eq!(
                (&result["finishedReason"], &run, &shown["logsOf"]),
                (&json!("Error"), &json!([]), &json!("build")),
                "{n}"
            );
            assert!(said > 0 && shown["logs"].to_string().contains(&format!("building {n}")), "{n}: {build} {shown}");
        }
        Kind::Run | Kind::Build => {
            assert_eq!(result["finishedReason"], "Success", "{n}: {result}");
            assert_eq!((joined(&run, false), joined(&run, true)), (format!("job {n}\r\npart"), format!("err {n}\n")), "{n}");
            assert_eq!((joined(&shown["logs"], false), shown.get("logsOf")), (format!("job {n}\r\npart"), None), "{n}");
            assert_eq!(said > 0, kind == Kind::Build, "{n}: {build}");
        }
    }
}

async fn run_fleet(n_jobs: usize) {
    let house = House::over(tokio::task::spawn_blocking(test_database).await.unwrap());
    let _api = house.start_api();
    let client = connect(&house, "client").await;
    let following = tokio::spawn(Client::default().follow(client, n_jobs));
    let existing = connect(&house, "worker").await;
    let (over, is_over) = watch::channel(false);
    let existing = tokio::spawn(existing_worker(existing, is_over));
    let house = std::sync::Arc::new(house);
    let ours = tokio::task::spawn_blocking({
        let house = std::sync::Arc::clone(&house);
        move || house.start_worker(QUEUE, "ours")
    });
    let _ours = ours.await.unwrap();
    let (mut ids, nonce) = (Vec::new(), uuid::Uuid::new_v4().to_string());
    for n in 0..n_jobs {
        let body = json!({"definition": Kind::of(n).definition(n, &nonce)}).to_string();
        let url = format!("{}/q/{QUEUE}", house.api_url());
        let sent = tokio::process::Command::new("curl").args(["-sS", &url, "-d", &body]).output().await.unwrap();
        let answer: Value = serde_json::from_slice(&sent.stdout).unwrap();
        ids.push(answer["jobId"].as_str().unwrap().to_owned());
    }
    let client = following.await.unwrap();
    over.send(true).unwrap();
    let theirs = existing.await.unwrap();
    let mut by_ours = 0;
    for (n, id) in ids.iter().enumerate() {
        check_history(&house, id, &client.states[id]);
        check_logs(&house, id, n, Kind::of(n));
        let live = client.logs.get(&(id.clone(), "Running".to_owned())).map(|lines| Value::from(lines.clone()));
        let is_live = live.is_some_and(|lines| joined(&lines, false) == format!("job {n}\r\npart"));
        assert_eq!(is_live, Kind::of(n) != Kind::FailingBuild, "{n}: its run was heard live, and no build as a run");
        by_ours += usize::from(!theirs.contains(id));
    }
    assert!(by_ours > 0 && !theirs.is_empty(), "both had a share: ours ran {by_ours} of {n_jobs}");
    println!("{n_jobs} jobs: {by_ours} by ours, {} by the existing kind", theirs.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_the_existing_kind_and_ours_share_a_queue() {
    run_fleet(40).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: ./x test-fleet"]
async fn two_hundred_jobs_of_a_mixed_fleet() {
    run_fleet(200).await;
}
