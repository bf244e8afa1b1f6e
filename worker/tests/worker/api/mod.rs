//! A fake API for workers: it gives claims, records calls, and can misbehave.

mod calls;
mod files;
mod heard;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use protocol::{ClaimedJob, EndedJob, FinishRequest, Reason, ReleaseRequest};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use calls::{claim, finish, heartbeat, logs, release};
use files::{download, download_elsewhere, exists, output, record_elsewhere, store_elsewhere, upload};
pub(crate) use heard::Heard;

/// A test that waits longer fails. A busy machine needs a minute for what takes a second on a quiet one, and the test runner ends a
/// test after three minutes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(150);

#[derive(Clone)]
pub(crate) struct FakeApi {
    heard: Arc<Mutex<Heard>>,
    changed: watch::Sender<u64>,
    pub(crate) url: String,
    /// The address of the same files on another port, for requests without a token. Uploads below `/on` are redirected.
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
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + DEADLINE;
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

    /// Makes the answer to the worker's next heartbeat say that the job was cancelled.
    pub(crate) fn cancel(&self, job: &str) {
        self.with(|heard| {
            let held = heard.heartbeats.iter().flat_map(|beat| &beat.jobs).find(|held| held.job_id.as_str() == job).unwrap();
            let ClaimedJob { job_id, epoch } = held.clone();
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

    /// All text that a job wrote to one stream so far, as lines.
    pub(crate) fn text(&self, job: &str, is_stderr: bool) -> String {
        let lines = self.lines(job).into_iter().filter(|line| line.1 == is_stderr);
        lines.map(|line| line.0 + "\n").collect()
    }

    /// Waits until a job has logged a line that contains this text.
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
