//! `asman job` against an API that keeps its files in a storage: one that answers, one that cannot be reached, and one that redirects.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use support::asman;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OUTPUT: &[u8] = b"what the job made";
const INPUT_BYTES: usize = 3_000_000;

/// How the API names a large output.
#[derive(Clone, Copy, Debug, Default)]
enum Form {
    #[default]
    Url,
    /// By its key, as earlier releases did.
    Key,
}

/// The requests to the API and the storage.
#[derive(Default)]
struct Seen {
    form: Form,
    /// Where the API redirects requests for a file.
    place: String,
    /// Method and path of the requests to the storage.
    at_storage: Vec<String>,
    /// The same for files that went through the API.
    through_api: Vec<String>,
    tokens_at_api: Vec<String>,
    n_tokens_at_storage: usize,
    stored: Vec<usize>,
}

type Shared = Arc<Mutex<Seen>>;

async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Starts the API and the storage. Returns their addresses.
async fn start() -> (String, String, Shared) {
    let seen = Shared::default();
    let api = Router::new()
        .route("/q/{queue}", post(submit))
        .route("/q/{queue}/j/{id}/stream", get(stream))
        .route("/q/{queue}/j/{id}/result.json", get(result))
        .route("/q/{queue}/j/{id}/outputs/{*name}", get(output))
        .route("/f/{key}/exists", get(async || StatusCode::NOT_FOUND))
        .route("/f/{key}", put(send_or_store).get(give_through))
        .layer(DefaultBodyLimit::disable())
        .with_state(seen.clone());
    let storage = Router::new()
        .route("/{key}", put(store).get(async || OUTPUT))
        .route("/on/{key}", put(on).get(async || StatusCode::SERVICE_UNAVAILABLE))
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(seen.clone(), record))
        .with_state(seen.clone());
    (listen(api).await, listen(storage).await, seen)
}

async fn submit(State(seen): State<Shared>, headers: HeaderMap) -> Json<Value> {
    let token = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
    seen.lock().unwrap().tokens_at_api.push(token);
    Json(json!({"success": true, "jobId": ID}))
}

async fn stream() -> Response {
    let end = "event: final\ndata: {\"state\":\"Finished\",\"reason\":\"Success\"}\n\n";
    ([("content-type", "text/event-stream")], end).into_response()
}

async fn result(State(seen): State<Shared>) -> Response {
    let key = protocol::sha256_hex(OUTPUT);
    let made = match seen.lock().unwrap().form {
        Form::Url => json!({"value": format!("https://queue.example/f/{key}"), "type": "url", "hash": key}),
        Form::Key => json!({"value": key, "type": "key"}),
    };
    let outputs = json!({"made": made});
    let result = json!({"StatusCode": 0, "logs": [], "isTimedOut": false, "outputs": outputs});
    let job = json!({"state": "Finished", "queuedTime": 1, "time": 2, "worker": "w", "finishedReason": "Success",
        "finished": {"type": "Finished", "reason": "Success", "time": 2, "message": "", "result": result}});
    ([("x-asman-state", "finished")], Json(json!({"data": job}))).into_response()
}

async fn output(State(seen): State<Shared>) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, place(&seen, &protocol::sha256_hex(OUTPUT)))]).into_response()
}

fn place(seen: &Shared, key: &str) -> String {
    format!("{}/{key}", seen.lock().unwrap().place)
}

async fn send_or_store(state: State<Shared>, Path(key): Path<String>, uri: Uri, body: Bytes) -> Response {
    if uri.query() != Some("proxy=1") {
        return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place(&state, &key))]).into_response();
    }
    state.lock().unwrap().through_api.push(format!("PUT /{key}"));
    store(state, Path(key), body).await.into_response()
}

async fn give_through(State(seen): State<Shared>, Path(key): Path<String>, uri: Uri) -> Response {
    assert_eq!(uri.query(), Some("proxy=1"));
    seen.lock().unwrap().through_api.push(format!("GET /{key}"));
    OUTPUT.into_response()
}

async fn record(State(seen): State<Shared>, request: Request, next: Next) -> Response {
    let has_token = request.headers().contains_key(header::AUTHORIZATION);
    {
        let mut seen = seen.lock().unwrap();
        seen.at_storage.push(format!("{} {}", request.method(), request.uri().path()));
        seen.n_tokens_at_storage += usize::from(has_token);
    }
    next.run(request).await
}

async fn store(State(seen): State<Shared>, Path(key): Path<String>, body: Bytes) -> StatusCode {
    assert_eq!(key, protocol::sha256_hex(&body));
    seen.lock().unwrap().stored.push(body.len());
    StatusCode::OK
}

/// Reads the whole body, so that the redirect is the only unusual part of the answer.
async fn on(body: Bytes) -> impl IntoResponse {
    assert_eq!(body.len(), INPUT_BYTES);
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/nowhere")])
}

/// Sends a job with a large file, waits for its end and fetches its output.
async fn run(place: impl Fn(&str) -> String) -> Shared {
    run_with(Form::Url, place).await
}

async fn run_with(form: Form, place: impl Fn(&str) -> String) -> Shared {
    let (api, storage, seen) = start().await;
    {
        let mut seen = seen.lock().unwrap();
        (seen.place, seen.form) = (place(&storage), form);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large"), vec![7; INPUT_BYTES]).unwrap();
    let mut command = asman();
    command.args(["job", "add", "q", "-i", "x", "-f", "large", "--wait", "-o", "out"]).current_dir(folder.path());
    command.env("ASMAN_API", api).env("ASMAN_TOKEN", "for-the-api");
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(std::fs::read(folder.path().join("out/made")).unwrap(), OUTPUT);
    {
        let seen = seen.lock().unwrap();
        assert_eq!(seen.stored, [INPUT_BYTES]);
        assert_eq!(seen.tokens_at_api, ["Bearer for-the-api"]);
        assert_eq!(seen.n_tokens_at_storage, 0, "the token is only for the API");
    }
    seen
}

fn both_ways() -> Vec<String> {
    let input = protocol::sha256_hex(&vec![7; INPUT_BYTES]);
    vec![format!("PUT /{input}"), format!("GET /{}", protocol::sha256_hex(OUTPUT))]
}

#[tokio::test]
async fn files_go_past_the_api_and_the_token_does_not() {
    let seen = run(str::to_owned).await;
    let seen = seen.lock().unwrap();
    assert_eq!((&seen.at_storage, seen.through_api.len()), (&both_ways(), 0));
}

#[tokio::test]
async fn files_go_through_the_api_where_the_storage_is_out_of_reach() {
    let seen = run(|_| "http://127.0.0.1:1".to_owned()).await;
    let seen = seen.lock().unwrap();
    assert_eq!((seen.at_storage.len(), &seen.through_api), (0, &both_ways()));
}

#[tokio::test]
async fn outputs_of_an_earlier_release_come_by_their_key() {
    for (place, n_through) in [(None, 0), (Some("http://127.0.0.1:1"), 2)] {
        let seen = run_with(Form::Key, |storage| place.unwrap_or(storage).to_owned()).await;
        assert_eq!(seen.lock().unwrap().through_api.len(), n_through);
    }
}

#[tokio::test]
async fn an_upload_that_the_storage_sends_on_is_none() {
    let seen = run(|storage| format!("{storage}/on")).await;
    let seen = seen.lock().unwrap();
    assert_eq!((seen.at_storage.len(), &seen.through_api), (2, &both_ways()));
}
