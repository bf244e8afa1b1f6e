//! `asman job` against an API of a few canned answers: what it sends, what it prints, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Running, asman, text};
use tempfile::TempDir;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The API's answers, and the requests to it.
#[derive(Default)]
struct Script {
    /// One answer for each connection to the stream, in order; the last one is repeated.
    streams: Vec<String>,
    result: Value,
    submitted: Vec<Value>,
    resumed_after: Vec<Option<String>>,
    stored: Vec<(String, usize)>,
    /// The times at which the job had ended before, one for each request of its result until a command follows the job.
    ended_before: Vec<i64>,
    /// Answers to the next submissions in place of the API's, such as those of a gateway while the API starts again.
    gateway: Vec<(u16, &'static str)>,
    tokens: Vec<Option<String>>,
    /// Why the job waits: one answer each time it is asked for, the last one again and again.
    reasons: Vec<&'static str>,
}

type Shared = Arc<Mutex<Script>>;

/// Starts the API; gives its address.
async fn serve(script: Script) -> (String, Shared) {
    let shared = Arc::new(Mutex::new(script));
    let app = Router::new()
        .route("/q/{queue}", post(submit))
        .route("/q/{queue}/j", get(list))
        .route("/q/{queue}/j/{id}/stream", get(stream))
        .route("/q/{queue}/j/{id}/result.json", get(result))
        .route("/q/{queue}/j/{id}/outputs/{*name}", get(output))
        .route("/q/{queue}/j/{id}/run-logs.json", get(logs))
        .route("/q/{queue}/j/{id}/build-logs.json", get(logs))
        .route("/q/{queue}/j/{id}/cancel", post(cancel))
        .route("/q/{queue}/status", get(status))
        .route("/f/{key}/exists", get(|| async { (StatusCode::NOT_FOUND, axum::Json(json!({"exists": false}))) }))
        .route("/f/{key}", put(store))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    (format!("http://{address}"), shared)
}

async fn submit(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    shared.lock().unwrap().tokens.push(headers.get("authorization").map(|token| token.to_str().unwrap().to_owned()));
    if let Some((status, text)) = shared.lock().unwrap().gateway.pop() {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, [("content-type", "text/html"), ("retry-after", "0")], text).into_response();
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    if body["definition"]["image"] == "refused" {
        return (StatusCode::BAD_REQUEST, axum::Json(json!({"error": "that image is not for you"}))).into_response();
    }
    shared.lock().unwrap().submitted.push(body);
    axum::Json(json!({"success": true, "jobId": ID})).into_response()
}

async fn list(State(shared): State<Shared>) -> axum::Json<Value> {
    axum::Json(json!({"data": {ID: shared.lock().unwrap().result}}))
}

fn not_found(member: &str) -> Response {
    (StatusCode::NOT_FOUND, axum::Json(json!({member: "in other words", "code": "no-job"}))).into_response()
}

async fn logs(Path((_, id)): Path<(String, String)>) -> Response {
    if id == "unknown" { not_found("error") } else { axum::Json(json!({"data": [], "nextCursor": 0})).into_response() }
}

async fn cancel(Path((_, id)): Path<(String, String)>) -> Response {
    if id == "unknown" { not_found("message") } else { axum::Json(json!({"message": "Job already Finished"})).into_response() }
}

async fn status(State(shared): State<Shared>) -> axum::Json<Value> {
    let mut script = shared.lock().unwrap();
    let why = if script.reasons.len() > 1 { script.reasons.remove(0) } else { script.reasons[0] };
    axum::Json(json!({"waiting": [{"jobId": "another", "position": 1, "why": "?"}, {"jobId": ID, "position": 2, "why": why}]}))
}

async fn stream(State(shared): State<Shared>, Path((queue, id)): Path<(String, String)>, headers: HeaderMap) -> Response {
    if id == "unknown" {
        return not_found("error");
    }
    if queue == "locked" {
        return (StatusCode::FORBIDDEN, axum::Json(json!({"error": "the token does not open this door"}))).into_response();
    }
    let mut script = shared.lock().unwrap();
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap().to_owned());
    script.resumed_after.push(last);
    let at = script.resumed_after.len().min(script.streams.len()) - 1;
    ([("content-type", "text/event-stream")], script.streams[at].clone()).into_response()
}

async fn result(State(shared): State<Shared>, Path((_, id)): Path<(String, String)>) -> Response {
    if id == "unknown" {
        return ([("x-asman-state", "unknown")], axum::Json(json!({"data": null}))).into_response();
    }
    let mut script = shared.lock().unwrap();
    let mut result = script.result.clone();
    if script.resumed_after.is_empty() && !result.is_null() {
        // No command has followed it to its end yet.
        match if script.ended_before.is_empty() { None } else { Some(script.ended_before.remove(0)) } {
            Some(time) => result["finished"]["time"] = time.into(),
            None => result = Value::Null,
        }
    }
    let state = if result.is_null() { "running" } else { "finished" };
    ([("x-asman-state", state)], axum::Json(json!({"data": result}))).into_response()
}

async fn output(Path((_, _, name)): Path<(String, String, String)>) -> String {
    format!("content of {name}")
}

async fn store(State(shared): State<Shared>, Path(key): Path<String>, body: Bytes) -> StatusCode {
    assert_eq!(key, protocol::sha256_hex(&body));
    shared.lock().unwrap().stored.push((key, body.len()));
    StatusCode::OK
}

fn finished(reason: &str, status_code: Option<i64>, outputs: &Value) -> Value {
    let result = json!({"StatusCode": status_code, "logs": [], "isTimedOut": false, "outputs": outputs});
    json!({"state": "Finished", "queuedTime": 1, "time": 2, "worker": "w", "finishedReason": reason,
        "finished": {"type": "Finished", "reason": reason, "time": 2, "message": "why", "result": result}})
}

const END: &str = "id: 9\nevent: final\ndata: {\"state\":\"Finished\",\"reason\":\"Success\"}\n\n";

fn job(api: &str, folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = asman();
    command.arg("job").args(arguments).env("ASMAN_API", api).current_dir(folder.path());
    command
}

async fn run(api: &str, folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = job(api, folder, arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_broken_stream_is_resumed_and_no_line_comes_twice() {
    let first = "id: 1\nevent: run-log\ndata: {\"lines\":[[\"one\",1],[\"two\",1,true]],\"cursor\":2}\n\n";
    let again = format!("id: 2\nevent: run-log\ndata: {{\"lines\":[[\"two\",1,true],[\"three\",1]],\"cursor\":3}}\n\n{END}");
    let script =
        Script { streams: vec![first.into(), again], result: finished("Success", Some(0), &json!({})), ..Script::default() };
    let (api, shared) = serve(script).await;
    let folder = tempfile::tempdir().unwrap();
    let output = run(&api, &folder, &["add", "q", "-i", "x", "--wait"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stderr), "one\ntwo\nthree\n");
    assert_eq!(shared.lock().unwrap().resumed_after, [None, Some("1".to_owned())]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no outputs, no folder");
}

#[tokio::test]
async fn outputs_are_fetched_and_the_containers_exit_code_is_ours() {
    let key = protocol::sha256_hex(b"content of deep/large");
    let outputs = json!({"small": {"value": "text", "type": "utf8"}, "bytes": {"value": "/w==", "type": "base64"},
        "deep/large": {"value": key, "type": "key"}, "plain": {"value": "no type"}, "doc.json": {"value": {"a": 1}, "type": "json"}});
    let script = Script { streams: vec![END.into()], result: finished("Success", Some(7), &outputs), ..Script::default() };
    let (api, _) = serve(script).await;
    let folder = tempfile::tempdir().unwrap();
    let output = run(&api, &folder, &["await", "q", ID, "--json"]).await;
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&said["reason"], &said["exitCode"], said["outputs"].as_array().unwrap().len()),
        (&json!("Success"), &json!(7), 5)
    );
    let read = |name: &str| std::fs::read(folder.path().join("0123456789ab").join(name)).unwrap();
    assert_eq!(read("small"), b"text");
    assert_eq!(read("bytes"), b"\xff");
    assert_eq!(read("deep/large"), b"content of deep/large");
    assert_eq!(read("plain"), b"no type");
    assert_eq!(read("doc.json"), b"{\"a\":1}");
}

#[tokio::test]
async fn an_output_that_leaves_its_folder_is_refused_and_nothing_is_written() {
    let outputs = json!({"a": {"value": "fine"}, "../evil": {"value": "x"}});
    let script = Script { streams: vec![END.into()], result: finished("Success", Some(0), &outputs), ..Script::default() };
    let (api, _) = serve(script).await;
    let folder = tempfile::tempdir().unwrap();
    let output = run(&api, &folder, &["await", "q", ID, "-o", "out"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_output_is_refused() {
    let outputs = json!({"large": {"value": "0".repeat(64), "type": "key"}});
    let script = Script { streams: vec![END.into()], result: finished("Success", Some(0), &outputs), ..Script::default() };
    let (api, _) = serve(script).await;
    let folder = tempfile::tempdir().unwrap();
    let output = run(&api, &folder, &["await", "q", ID, "-o", "out"]).await;
    assert_eq!((output.status.code(), text(&output.stderr).contains("damaged")), (Some(1), true), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("out")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_job_that_did_not_run_to_its_end_exits_with_1() {
    let script = Script { streams: vec![END.into()], result: finished("Error", None, &json!({})), ..Script::default() };
    let (api, _) = serve(script).await;
    let folder = tempfile::tempdir().unwrap();
    let output = run(&api, &folder, &["await", "q", ID]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "asman: the job ended as Error: why\n");
}

#[tokio::test]
async fn small_files_go_inside_the_definition_and_large_ones_before_it() {
    let (api, shared) = serve(Script::default()).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.txt"), "hé").unwrap();
    std::fs::write(folder.path().join("large.bin"), vec![7; 3_000_000]).unwrap();
    let arguments = [
        "add",
        "q",
        "-i",
        "x",
        "-c",
        "sh -c 'ls'",
        "-e",
        "K=a=b",
        "-f",
        "small.txt",
        "data/l=large.bin",
        "--cpus",
        "2",
        "--tags",
        "a,b",
        "--max-duration",
        "90s",
    ];
    let output = run(&api, &folder, &arguments).await;
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), format!("{ID}\n")), "{output:?}");
    let key = protocol::sha256_hex(&vec![7; 3_000_000]);
    let script = shared.lock().unwrap();
    assert_eq!(script.stored, [(key.clone(), 3_000_000)]);
    let want = json!({"command": "sh -c 'ls'", "image": "x", "maxDuration": "90s", "tags": ["a", "b"], "env": {"K": "a=b"},
        "requirements": {"cpus": 2.0}, "inputs": {"small.txt": {"value": "hé", "type": "utf8"},
        "data/l": {"value": key, "type": "key", "hash": key}}});
    assert_eq!(script.submitted[0]["definition"], want);
}

#[tokio::test]
async fn a_definition_file_is_kept_and_flags_change_it() {
    let (api, shared) = serve(Script::default()).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.json"), r#"{"image":"a","unknown":[1],"env":{"A":"1"}}"#).unwrap();
    let output =
        run(&api, &folder, &["add", "q", "--definition", "job.json", "-i", "b", "-e", "B=2", "--namespace", "n", "--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({"jobId": ID}));
    let script = shared.lock().unwrap();
    assert_eq!(script.submitted[0]["definition"], json!({"image": "b", "unknown": [1], "env": {"A": "1", "B": "2"}}));
    assert_eq!(script.submitted[0]["control"]["namespace"], "n");
}

#[tokio::test]
async fn a_definition_is_read_as_other_programs_write_text() {
    let (api, shared) = serve(Script::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let definition = "{\r\n\"image\": \"alpine\", \"command\": \"ü\"\r\n}\r\n";
    let utf16: Vec<u8> = definition.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let files = [[b"\xef\xbb\xbf", definition.as_bytes()].concat(), [b"\xff\xfe", &utf16[..]].concat(), utf16];
    for bytes in files {
        std::fs::write(folder.path().join("job.json"), bytes).unwrap();
        let output = run(&api, &folder, &["add", "q", "--definition", "job.json"]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert!(shared.lock().unwrap().submitted.iter().all(|job| job["definition"] == json!({"image": "alpine", "command": "ü"})));
    std::fs::write(folder.path().join("job.json"), b"{\"image\": \"caf\xe9\"}").unwrap();
    let output = run(&api, &folder, &["add", "q", "--definition", "job.json"]).await;
    assert!(
        output.status.code() == Some(2) && text(&output.stderr).contains("job.json is neither UTF-8 nor UTF-16"),
        "{output:?}"
    );
}

#[tokio::test]
async fn the_apis_own_sentence_is_shown_and_a_refusal_exits_with_2() {
    let (api, _) = serve(Script::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let output = run(&api, &folder, &["add", "q", "-i", "refused"]).await;
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), "asman: that image is not for you\n".to_owned()));
}

#[tokio::test]
async fn what_a_gateway_says_while_the_api_starts_again_is_waited_out_and_its_page_is_never_shown() {
    const PAGE: &str = "<html><h1>Bad gateway</h1></html>";
    let gateway = vec![(502, PAGE), (503, PAGE), (504, PAGE), (429, "slow down")];
    let (api, shared) = serve(Script { gateway, ..Script::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let output = run(&api, &folder, &["add", "q", "-i", "x"]).await;
    assert_eq!((output.status.code(), text(&output.stdout), text(&output.stderr)), (Some(0), format!("{ID}\n"), String::new()));
    assert_eq!(shared.lock().unwrap().submitted.len(), 1);
    let (api, _) = serve(Script { gateway: vec![(404, PAGE)], ..Script::default() }).await;
    let output = run(&api, &folder, &["add", "q", "-i", "x"]).await;
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("404 Not Found") && !said.contains('<'), "{said}");
}

#[tokio::test]
async fn a_token_and_an_address_may_end_in_a_newline() {
    let (api, shared) = serve(Script::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = job(&format!(" {api}\r\n"), &folder, &["add", "q", "-i", "x"]);
    command.env("ASMAN_TOKEN", "the-token\n");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), format!("{ID}\n")), "{output:?}");
    let mut command = job(&api, &folder, &["add", "q", "-i", "x"]);
    command.env("ASMAN_TOKEN", "\n");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(shared.lock().unwrap().tokens, [Some("Bearer the-token".to_owned()), None]);
    let output = run(&api, &folder, &["--token", "a\nb", "list", "q"]).await;
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("cannot be sent in a header"), "{output:?}");
}

#[tokio::test]
async fn a_proxy_is_not_asked_for_this_machine_and_is_named_where_it_fails() {
    let (api, _) = serve(Script::default()).await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let mut command = job(&api, &folder, &["add", "q", "-i", "x"]);
        command.env(name, "http://127.0.0.1:9");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
    }
    let mut command = job("http://queue.example", &folder, &["add", "q", "-i", "x"]);
    command.env("http_proxy", "http://me:secret@127.0.0.1:9");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("through the proxy http://127.0.0.1:9 (http_proxy)"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[tokio::test]
async fn a_result_that_lacks_outputs_says_which_and_exits_with_4() {
    let mut result = finished("Success", Some(0), &json!({}));
    let why =
        json!([{"code": "too-many", "outputs": 10_000, "names": ["out/1", "b\u{202e}\n"], "message": "a result holds 10,000"}]);
    result["finished"]["result"]["missing"] = json!({"outputs": 10_000, "why": why});
    let (api, _) = serve(Script { streams: vec![END.into()], result, ..Script::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let output = run(&api, &folder, &["await", "q", ID]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(r"Missing: 10000 (out/1, b\u202e\u000a, …): a result holds 10,000"), "{said}");
    assert!(said.contains("asman: 10000 outputs are missing"), "{said}");
    let output = run(&api, &folder, &["await", "q", ID, "--json"]).await;
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &said["missing"]["outputs"]), (Some(4), &json!(10_000)));
}

/// The output of a command in a terminal.
async fn on_a_terminal(command: String) -> String {
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).stdin(std::process::Stdio::null());
    let shown = tokio::task::spawn_blocking(move || terminal.output().unwrap()).await.unwrap();
    text(&shown.stdout)
}

#[tokio::test]
async fn of_what_strangers_wrote_a_terminal_gets_colours_and_nothing_else_that_acts() {
    let evil = "\u{1b}]0;title\u{7} \u{1b}]52;c;cm0=\u{7} \u{1b}[2J \u{9b}2J \u{1b}[31mred\u{1b}[0m\ttab \u{202e}";
    let line = json!({"lines": [[evil, 1]], "cursor": 1});
    let streams = vec![format!("id: 1\nevent: run-log\ndata: {line}\n\n{END}")];
    let mut result = finished("Error", None, &json!({"a\u{202e}b": {"value": "x"}}));
    result["finished"]["message"] = evil.into();
    result["worker"] = "w\u{1b}[2J".into();
    let script = || Script { streams: streams.clone(), result: result.clone(), ..Script::default() };
    let folder = tempfile::tempdir().unwrap();
    let (asman, out) = (env!("CARGO_BIN_EXE_asman"), folder.path().display());
    for verb in [format!("await q {ID} -o {out}/a"), format!("logs -f q {ID}"), "list q".to_owned(), format!("result q {ID}")] {
        let (api, shared) = serve(script()).await;
        shared.lock().unwrap().resumed_after.push(None);
        shared.lock().unwrap().streams = streams.clone();
        let shown = on_a_terminal(format!("{asman} job {verb} --api {api}")).await;
        let left = shown.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
        assert!(!left.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']) && shown.contains("\\u001b"), "{verb}: {left:?}");
        let raw = on_a_terminal(format!("{asman} job {verb} --raw --api {api}")).await;
        // JSON has escapes of its own, and names in a table are always escaped.
        let is_escaped = verb.starts_with("result") || verb.starts_with("list");
        assert!(raw.contains(['\u{1b}', '\u{9b}']) || is_escaped, "{verb}: {raw:?}");
        if verb.starts_with("logs") {
            let output = run(&api, &folder, &["logs", "-f", "q", ID]).await;
            assert_eq!(text(&output.stdout), format!("{evil}\n"), "a pipe gets it as it is");
        }
    }
}

#[tokio::test]
async fn results_and_cancels_that_cannot_be_say_why() {
    let (api, _) = serve(Script::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let result = run(&api, &folder, &["result", "q", ID]).await;
    assert_eq!((result.status.code(), text(&result.stderr).contains("it is running")), (Some(1), true), "{result:?}");
    let cancel = run(&api, &folder, &["cancel", "q", ID]).await;
    assert_eq!((cancel.status.code(), text(&cancel.stderr).contains("already Finished")), (Some(1), true), "{cancel:?}");
}

#[tokio::test]
async fn a_job_that_the_queue_does_not_know_has_one_sentence_and_one_exit_code() {
    let (api, _) = serve(Script::default()).await;
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["result"][..], &["logs"], &["logs", "-f"], &["await"], &["cancel"]] {
        let output = run(&api, &folder, &[arguments, &["q", "unknown"]].concat()).await;
        let said = (output.status.code(), text(&output.stderr), text(&output.stdout));
        assert_eq!(said, (Some(2), "asman: the queue has no such job\n".to_owned(), String::new()), "{arguments:?}");
    }
}

#[tokio::test]
async fn whoever_may_submit_but_not_read_is_told_the_id_before_waiting_fails() {
    let (api, _) = serve(Script::default()).await;
    let folder = tempfile::tempdir().unwrap();
    for (more, id) in [(&[][..], format!("{ID}\n")), (&["--json"], format!("{{\"jobId\":\"{ID}\"}}\n"))] {
        let output = run(&api, &folder, &[&["add", "locked", "-i", "x", "--wait"], more].concat()).await;
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), id), "{output:?}");
        assert!(text(&output.stderr).contains("the token does not open this door"), "{output:?}");
    }
}

#[tokio::test]
async fn a_job_that_waits_says_why_once_for_each_reason_and_never_in_json() {
    const QUEUED: &str = "event: state\ndata: {\"state\":\"Queued\"}\n\n";
    // Each connection ends after its event, and the next one begins 200 ms later.
    let script = |n_connections: usize| Script {
        streams: vec![QUEUED.to_owned(); n_connections].into_iter().chain([END.to_owned()]).collect(),
        reasons: vec!["no worker is connected", "the queue is paused"],
        result: finished("Success", Some(0), &json!({})),
        ..Script::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let (api, _) = serve(script(20)).await;
    let output = run(&api, &folder, &["add", "q", "-i", "x", "--wait"]).await;
    let waits = "The job waits: no worker is connected\nThe job waits: the queue is paused\n";
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), waits), "{output:?}");
    for quiet in ["--json", "--quiet"] {
        let (api, _) = serve(script(7)).await;
        let output = run(&api, &folder, &["await", "q", ID, quiet]).await;
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{output:?}");
    }
}

#[tokio::test]
async fn a_result_that_was_there_before_says_that_nothing_ran() {
    let two_hours_ago = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap() - 2 * 3_600_000 - 1_000
    };
    let folder = tempfile::tempdir().unwrap();
    let script = |ended_before: Vec<i64>| Script {
        streams: vec![END.to_owned()],
        result: finished("Success", Some(0), &json!({})),
        ended_before,
        ..Script::default()
    };
    let ended = two_hours_ago();
    let (api, _) = serve(script(vec![ended, ended])).await;
    let output = run(&api, &folder, &["add", "q", "-i", "x", "--wait"]).await;
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(0), 1), "{output:?}");
    assert!(
        said.starts_with("This job ran before, 2 hours ago: this is its earlier result") && said.contains("--again"),
        "{said}"
    );
    let (api, _) = serve(script(vec![ended, ended])).await;
    let output = run(&api, &folder, &["add", "q", "-i", "x", "--wait", "--json"]).await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["hasRunBefore"], text(&output.stderr)), (&json!(true), String::new()), "{output:?}");
    // A new run has replaced the old result, or there was no old result.
    for ended_before in [vec![ended, ended + 1], vec![ended], vec![]] {
        let (api, _) = serve(script(ended_before)).await;
        let output = run(&api, &folder, &["add", "q", "-i", "x", "--wait", "--json"]).await;
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success() && json.get("hasRunBefore").is_none(), "{output:?}");
    }
}

#[tokio::test]
async fn a_list_has_a_heading_on_a_terminal_and_none_for_scripts() {
    let (api, _) = serve(Script { result: finished("Success", Some(0), &json!({})), ..Script::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let piped = run(&api, &folder, &["list", "q"]).await;
    assert_eq!((piped.status.code(), text(&piped.stdout).lines().count()), (Some(0), 1), "{piped:?}");
    assert!(text(&piped.stdout).starts_with(ID), "{piped:?}");
    // `script` gives the command a terminal.
    let command = format!("{} job list q --api {api}", env!("CARGO_BIN_EXE_asman"));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).stdin(std::process::Stdio::null());
    let shown = tokio::task::spawn_blocking(move || terminal.output().unwrap()).await.unwrap();
    let lines: Vec<String> = text(&shown.stdout).lines().map(|line| line.trim_end().to_owned()).collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["JOB", "STATE", "SINCE", "WORKER"], "{lines:?}");
    assert!(lines.len() == 2 && lines[1].starts_with(ID), "{lines:?}");
    assert_eq!(lines[0].find("STATE"), lines[1].find("Success"), "each above its column: {lines:?}");
}

#[tokio::test]
async fn ctrl_c_leaves_the_job_running_and_says_how_to_go_on() {
    let line = "event: run-log\ndata: {\"lines\":[[\"hello\",1]],\"cursor\":1}\n\n";
    let (api, _) = serve(Script { streams: vec![line.into()], ..Script::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = job(&api, &folder, &["await", "secret-name", ID]);
    let said = tokio::task::spawn_blocking(move || {
        let mut running = Running::start(&mut command);
        running.wait_for("hello");
        running.signal(Signal::INT);
        assert_eq!(running.wait().code(), Some(130));
        running.said.join("\n")
    });
    let said = said.await.unwrap();
    assert!(said.contains("asman job await") && said.contains(ID) && !said.contains("secret-name"), "{said}");
}

#[test]
fn two_files_of_one_name_are_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("data.csv"), folder.path().join("b"));
    std::fs::write(&one, "1").unwrap();
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("data.csv"), "2").unwrap();
    let mut command = support::asman();
    command
        .args(["job", "add", "q", "-i", "a", "--api", "http://127.0.0.1:9", "-f"])
        .arg(&one)
        .arg("-f")
        .arg(other.join("data.csv"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(support::text(&output.stderr).contains("two files would be /inputs/data.csv"), "{output:?}");
}
