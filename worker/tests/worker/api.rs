//! A fake API for workers: it gives claims, records calls, and can misbehave.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures_util::StreamExt;
use protocol::{ClaimRequest, EndedJob, FinishRequest, HeartbeatRequest, HeldJob, LogsRequest, Reason, ReleaseRequest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// A test that waits longer has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// The recorded calls, and how to answer.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a misbehaviour of its own")]
pub(crate) struct Heard {
    pub(crate) waiting: VecDeque<Value>,
    pub(crate) claims: Vec<ClaimRequest>,
    pub(crate) introductions: Vec<ClaimRequest>,
    pub(crate) heartbeats: Vec<HeartbeatRequest>,
    /// Accepted chunks by job, each number once.
    pub(crate) logs: HashMap<String, BTreeMap<i32, LogsRequest>>,
    /// Number of log requests, including repeated ones.
    pub(crate) n_log_requests: usize,
    pub(crate) finished: HashMap<String, FinishRequest>,
    pub(crate) released: HashMap<String, ReleaseRequest>,
    pub(crate) blobs: HashMap<String, Bytes>,
    pub(crate) authorizations: HashSet<String>,
    /// Requests to the storage, and which of them had a token.
    pub(crate) elsewhere: Vec<(String, bool)>,
    /// Calls by path, in order.
    pub(crate) paths: Vec<String>,
    pub(crate) end: Vec<EndedJob>,
    /// The API does not know the claims of these jobs any more.
    pub(crate) forgotten: HashSet<String>,
    /// Queue and job of every claim, in order.
    pub(crate) taken: Vec<(String, String)>,
    /// Queues whose claims are answered with 403.
    pub(crate) refuses: HashSet<String>,
    /// Jobs that another worker has claimed by now.
    pub(crate) stale: HashSet<String>,
    /// Every call is answered with 503.
    pub(crate) is_down: bool,
    /// Heartbeats are not answered.
    pub(crate) is_down_but_for_heartbeats: bool,
    /// The last heartbeat of a worker is not answered.
    pub(crate) answers_no_farewell: bool,
    /// Log requests wait.
    pub(crate) holds_logs: bool,
    /// Every chunk is stored, but its first answer is lost.
    pub(crate) loses_log_answers: bool,
    /// Log requests are answered with 409.
    pub(crate) fences_logs: bool,
    /// Heartbeats say that the worker is unknown, until the next claim.
    pub(crate) is_worker_unknown: bool,
    /// Uploads are redirected to this address, unless the worker asks the API to take them itself.
    pub(crate) redirects_uploads: Option<String>,
    /// Downloads are redirected to this address, unless the worker asks the API to send the file itself.
    pub(crate) redirects_downloads: Option<String>,
    /// Requests for files at that address.
    pub(crate) n_elsewhere: usize,
    /// Uploads are answered with 413.
    pub(crate) refuses_uploads: bool,
    /// Uploads are hashed and counted, but not stored.
    pub(crate) discards_uploads: bool,
    /// Bytes of all uploads.
    pub(crate) uploaded_bytes: u64,
    pub(crate) epoch: i64,
    /// Claims that no heartbeat has named yet, with the number of heartbeats that left them out. Their answer may have been lost.
    given: Vec<(Value, usize)>,
}

/// Whether a job may go to a worker of this queue. Most tests have only one queue and do not name it.
fn is_of(claim: &Value, queue: &str) -> bool {
    claim["queue"].as_str().is_none_or(|its| its == queue)
}

impl Heard {
    pub(crate) fn queue(&mut self, definition: &Value, max_duration: &str) -> String {
        self.epoch += 1;
        let id = protocol::job_id_of(&json!([definition, self.epoch]));
        self.waiting.push_back(json!({
            "jobId": id, "epoch": self.epoch, "attempt": 1, "deadline": 0, "maxDuration": max_duration,
            "definition": definition, "namespaces": ["_"], "debug": false,
        }));
        id
    }

    /// Queues jobs again whose claim answer was lost.
    fn note_held(&mut self, queue: &str, held: &[HeldJob]) {
        let is_known = |heard: &Self, claim: &Value| {
            let id = claim["jobId"].as_str().unwrap();
            let is_ended = heard.finished.contains_key(id) || heard.released.contains_key(id);
            is_ended || held.iter().any(|job| job.job_id.as_str() == id)
        };
        for (claim, misses) in std::mem::take(&mut self.given) {
            match misses {
                _ if is_known(self, &claim) => (),
                _ if !is_of(&claim, queue) => self.given.push((claim, misses)),
                0..3 => self.given.push((claim, misses + 1)),
                _ => self.waiting.push_front(claim),
            }
        }
    }
}

#[derive(Clone)]
pub(crate) struct FakeApi {
    heard: Arc<Mutex<Heard>>,
    changed: watch::Sender<u64>,
    pub(crate) url: String,
    /// The same files on another port, for requests without a token. Uploads below `/on` are redirected.
    pub(crate) elsewhere: String,
}

impl FakeApi {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1").await
    }

    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = format!("http://{}", other.local_addr().unwrap());
        let api = Self { heard: Arc::default(), changed: watch::Sender::new(0), url, elsewhere };
        let store = Router::new()
            .route("/{key}", put(store_elsewhere).get(download_elsewhere))
            .route("/on/{key}", put(|| async { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/nowhere")]) }))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .layer(from_fn_with_state(api.clone(), record_elsewhere))
            .with_state(api.clone());
        tokio::spawn(async move { axum::serve(other, store).await.unwrap() });
        let router = Router::new()
            .route("/q/{queue}/claim", post(claim))
            .route("/q/{queue}/heartbeat", post(heartbeat))
            .route("/q/{queue}/j/{job}/logs", post(logs))
            .route("/q/{queue}/j/{job}/finish", post(finish))
            .route("/q/{queue}/j/{job}/release", post(release))
            .route("/q/{queue}/j/{job}/outputs/{name}", get(output))
            .route("/f/{key}", put(upload).get(download))
            .route("/f/{key}/exists", get(exists))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .layer(from_fn_with_state(api.clone(), record))
            .with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        api
    }

    /// Reads or changes the recorded calls, and wakes waiting tests.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        let result = look(&mut self.heard.lock().unwrap());
        self.changed.send_modify(|n| *n += 1);
        result
    }

    /// Waits until `look` returns a value.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut Heard) -> Option<T>) -> T {
        self.until_within(DEADLINE, what, &mut look).await
    }

    async fn until_within<T>(&self, timeout: Duration, what: &str, look: &mut impl FnMut(&mut Heard) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + timeout;
        loop {
            changed.mark_unchanged();
            if let Some(found) = look(&mut self.heard.lock().unwrap()) {
                return found;
            }
            if timeout_at(deadline, changed.changed()).await.is_err() {
                let mut calls = self.heard.lock().unwrap().paths.clone();
                calls.retain(|path| !path.ends_with("/heartbeat"));
                panic!("waited in vain: {what}; the last calls were {:?}", &calls[calls.len().saturating_sub(8)..]);
            }
        }
    }

    /// Submits a job to one queue. Returns its id.
    pub(crate) fn submit_to(&self, queue: &str, definition: &Value) -> String {
        self.with(|heard| {
            let id = heard.queue(definition, "1h");
            heard.waiting.back_mut().unwrap()["queue"] = queue.into();
            id
        })
    }

    /// Submits a job. Returns its id.
    pub(crate) fn submit(&self, definition: &Value) -> String {
        self.submit_for(definition, "1h")
    }

    pub(crate) fn submit_for(&self, definition: &Value, max_duration: &str) -> String {
        self.with(|heard| heard.queue(definition, max_duration))
    }

    pub(crate) async fn finish_of(&self, job: &str) -> FinishRequest {
        self.until("a finish", |heard| heard.finished.get(job).cloned()).await
    }

    pub(crate) async fn release_of(&self, job: &str) -> ReleaseRequest {
        self.until("a release", |heard| heard.released.get(job).cloned()).await
    }

    /// The same for a job that runs longer.
    pub(crate) async fn finish_of_long(&self, job: &str) -> FinishRequest {
        self.until_within(DEADLINE * 5, "a finish", &mut |heard: &mut Heard| heard.finished.get(job).cloned()).await
    }

    /// Tells the worker in its next heartbeat that the job was cancelled.
    pub(crate) fn cancel(&self, job: &str) {
        self.with(|heard| {
            let held = heard.heartbeats.iter().flat_map(|beat| &beat.jobs).find(|held| held.job_id.as_str() == job).unwrap();
            let HeldJob { job_id, epoch } = held.clone();
            heard.end.push(EndedJob { job_id, epoch, reason: Reason::Cancelled, message: None });
        });
    }

    /// All lines of a job so far: the text, and whether it is stderr.
    pub(crate) fn lines(&self, job: &str) -> Vec<(String, bool)> {
        self.with(|heard| {
            let chunks = heard.logs.get(job).into_iter().flat_map(BTreeMap::values);
            chunks.flat_map(|chunk| &chunk.lines).map(|line| (line.shown().to_owned(), line.is_stderr)).collect()
        })
    }

    /// Everything that a job wrote to one stream so far, byte for byte.
    pub(crate) fn written(&self, job: &str, is_stderr: bool) -> String {
        self.with(|heard| {
            let chunks = heard.logs.get(job).into_iter().flat_map(BTreeMap::values);
            chunks
                .flat_map(|chunk| &chunk.lines)
                .filter(|line| line.is_stderr == is_stderr)
                .map(|line| line.text.as_str())
                .collect()
        })
    }

    /// All text of a job so far, one stream.
    pub(crate) fn text(&self, job: &str, is_stderr: bool) -> String {
        let lines = self.lines(job).into_iter().filter(|line| line.1 == is_stderr);
        lines.map(|line| line.0 + "\n").collect()
    }

    /// Waits until a job has logged a line with this text in it.
    pub(crate) async fn until_logged(&self, job: &str, text: &str) {
        let has = |heard: &mut Heard| {
            let mut chunks = heard.logs.get(job).into_iter().flat_map(BTreeMap::values);
            chunks.any(|chunk| chunk.lines.iter().any(|line| line.text.contains(text))).then_some(())
        };
        self.until(text, has).await;
    }
}

async fn record(State(api): State<FakeApi>, request: Request, next: Next) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let is_down = api.with(|heard| {
        heard.paths.push(request.uri().path().to_owned());
        heard.authorizations.extend(authorization);
        heard.is_down && !(heard.is_down_but_for_heartbeats && request.uri().path().ends_with("/heartbeat"))
    });
    if is_down { StatusCode::SERVICE_UNAVAILABLE.into_response() } else { next.run(request).await }
}

async fn claim(State(api): State<FakeApi>, Path(queue): Path<String>, Json(request): Json<ClaimRequest>) -> Response {
    let (jobs, wait) = (request.free.jobs as usize, request.wait.0);
    let is_refused = api.with(|heard| {
        heard.is_worker_unknown = false;
        // A request for no jobs only describes the worker.
        let said = if request.free.jobs == 0 { &mut heard.introductions } else { &mut heard.claims };
        said.push(request.clone());
        heard.refuses.contains(&queue)
    });
    if is_refused {
        return (StatusCode::FORBIDDEN, Json(json!({ "error": "the token does not give the permission for this call" })))
            .into_response();
    }
    let take = |heard: &mut Heard| {
        let place = (jobs > 0).then(|| heard.waiting.iter().position(|job| is_of(job, &queue))).flatten()?;
        let job = heard.waiting.remove(place).unwrap();
        heard.taken.push((queue.clone(), job["jobId"].as_str().unwrap().to_owned()));
        heard.given.push((job.clone(), 0));
        Some(vec![job])
    };
    let jobs = tokio::time::timeout(wait, api.until("a job", take)).await.unwrap_or_default();
    Json(json!({ "jobs": jobs })).into_response()
}

async fn heartbeat(State(api): State<FakeApi>, Path(queue): Path<String>, Json(request): Json<HeartbeatRequest>) -> Json<Value> {
    let (held, wait, is_leaving) = (request.jobs.clone(), request.wait.0, request.is_leaving);
    let is_unanswered = api.with(|heard| {
        heard.note_held(&queue, &held);
        heard.heartbeats.push(request);
        is_leaving && heard.answers_no_farewell
    });
    if is_unanswered {
        std::future::pending::<()>().await;
    }
    let news = |heard: &mut Heard| {
        let end: Vec<EndedJob> =
            heard.end.iter().filter(|ended| held.iter().any(|job| job.job_id == ended.job_id)).cloned().collect();
        let unknown: Vec<HeldJob> = held.iter().filter(|job| heard.forgotten.contains(job.job_id.as_str())).cloned().collect();
        let has_news = !end.is_empty() || !unknown.is_empty() || heard.is_worker_unknown;
        has_news.then_some((end, unknown, heard.is_worker_unknown))
    };
    let (end, unknown, is_unknown) = tokio::time::timeout(wait, api.until("news", news)).await.unwrap_or_default();
    Json(json!({ "leaseSeconds": 30, "end": end, "unknown": unknown, "isUnknown": is_unknown }))
}

async fn logs(State(api): State<FakeApi>, Path((_, job)): Path<(String, String)>, Json(chunk): Json<LogsRequest>) -> Response {
    api.with(|heard| heard.n_log_requests += 1);
    api.until("leave to log", |heard| (!heard.holds_logs).then_some(())).await;
    api.with(|heard| {
        if heard.fences_logs || heard.stale.contains(&job) {
            return StatusCode::CONFLICT.into_response();
        }
        let chunks = heard.logs.entry(job).or_default();
        let is_new = !chunks.contains_key(&chunk.seq);
        if let Some(known) = chunks.get(&chunk.seq) {
            assert_eq!(known.lines, chunk.lines, "a chunk that is sent again is the same");
        }
        if is_new {
            assert_eq!(chunks.len(), usize::try_from(chunk.seq).unwrap(), "chunks are numbered without gaps");
            chunks.insert(chunk.seq, chunk);
        }
        if is_new && heard.loses_log_answers { StatusCode::BAD_GATEWAY.into_response() } else { Json(json!({})).into_response() }
    })
}

async fn finish(State(api): State<FakeApi>, Path((_, job)): Path<(String, String)>, Json(body): Json<FinishRequest>) -> Response {
    api.with(|heard| {
        if heard.stale.contains(&job) {
            return StatusCode::CONFLICT.into_response();
        }
        heard.finished.insert(job, body);
        Json(json!({})).into_response()
    })
}

async fn release(
    State(api): State<FakeApi>,
    Path((_, job)): Path<(String, String)>,
    Json(body): Json<ReleaseRequest>,
) -> Json<Value> {
    api.with(|heard| heard.released.insert(job, body));
    Json(json!({}))
}

/// Answers 307 before it reads a byte, like the real API.
async fn upload(State(api): State<FakeApi>, Path(key): Path<String>, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    assert!(headers.contains_key(header::CONTENT_LENGTH), "a signed upload needs a length");
    if api.with(|heard| heard.refuses_uploads) {
        return (StatusCode::PAYLOAD_TOO_LARGE, Json(json!({ "error": "the store is full" }))).into_response();
    }
    let elsewhere = api.with(|heard| heard.redirects_uploads.clone());
    match elsewhere.filter(|_| uri.query() != Some("proxy=1")) {
        Some(elsewhere) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("{elsewhere}/{key}"))]).into_response(),
        None => store(&api, key, body).await,
    }
}

async fn record_elsewhere(State(api): State<FakeApi>, request: Request, next: Next) -> Response {
    let has_token = request.headers().contains_key(header::AUTHORIZATION);
    api.with(|heard| heard.elsewhere.push((format!("{} {}", request.method(), request.uri().path()), has_token)));
    next.run(request).await
}

async fn store_elsewhere(State(api): State<FakeApi>, Path(key): Path<String>, body: Body) -> Response {
    store(&api, key, body).await
}

async fn store(api: &FakeApi, key: String, body: Body) -> Response {
    if api.with(|heard| heard.discards_uploads) {
        let (mut pieces, mut hash, mut n) = (body.into_data_stream(), Sha256::new(), 0);
        while let Some(piece) = pieces.next().await {
            let piece = piece.unwrap();
            hash.update(&piece);
            n += piece.len() as u64;
        }
        assert_eq!(hex::encode(hash.finalize()), key);
        api.with(|heard| heard.uploaded_bytes += n);
        return StatusCode::OK.into_response();
    }
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    assert_eq!(protocol::sha256_hex(&bytes), key);
    api.with(|heard| heard.blobs.insert(key, bytes));
    StatusCode::OK.into_response()
}

async fn download(State(api): State<FakeApi>, Path(key): Path<String>, uri: Uri) -> Response {
    let elsewhere = api.with(|heard| heard.redirects_downloads.clone());
    match elsewhere.filter(|_| uri.query() != Some("proxy=1")) {
        Some(elsewhere) => (StatusCode::FOUND, [(header::LOCATION, format!("{elsewhere}/{key}"))]).into_response(),
        None => give(&api, &key),
    }
}

async fn download_elsewhere(State(api): State<FakeApi>, Path(key): Path<String>) -> Response {
    api.with(|heard| heard.n_elsewhere += 1);
    give(&api, &key)
}

fn give(api: &FakeApi, key: &str) -> Response {
    match api.with(|heard| heard.blobs.get(key).cloned()) {
        Some(bytes) => bytes.into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({ "error": "no such file" }))).into_response(),
    }
}

/// Redirects to the address that the definition of another job names.
async fn output(State(api): State<FakeApi>, Path((_, _, name)): Path<(String, String, String)>) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, format!("{}/{name}", api.elsewhere))]).into_response()
}

async fn exists(State(api): State<FakeApi>, Path(key): Path<String>) -> Response {
    let is_there = api.with(|heard| heard.blobs.contains_key(&key));
    let status = if is_there { StatusCode::OK } else { StatusCode::NOT_FOUND };
    (status, Json(json!({ "exists": is_there }))).into_response()
}
