//! A small HTTP server that records requests and answers as the test requires.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::test_api::eventually;

/// One request, unchanged.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) path: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) raw: Vec<u8>,
    pub(super) body: Value,
    pub(super) status: u16,
}

impl Delivery {
    pub(super) fn id(&self) -> &str {
        &self.headers["x-asman-delivery"]
    }

    pub(super) fn event(&self) -> &str {
        &self.headers["x-asman-event"]
    }
}

type Answer = dyn Fn(usize, &str) -> (u16, Option<String>) + Send + Sync;

#[derive(Clone)]
struct Shared {
    got: Arc<Mutex<Vec<Delivery>>>,
    answer: Arc<Answer>,
}

/// The server. It stops with its test.
pub(super) struct Receiver {
    /// `http://127.0.0.1:<port>`.
    pub(super) url: String,
    pub(super) port: u16,
    shared: Shared,
}

impl Receiver {
    /// Answers each request with the result of `answer` for its number and path: a status, and optionally the target of a redirect, or
    /// with 429 and 503 the time after which to try again.
    pub(super) async fn new(answer: impl Fn(usize, &str) -> (u16, Option<String>) + Send + Sync + 'static) -> Self {
        let shared = Shared { got: Arc::default(), answer: Arc::new(answer) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(receive).with_state(shared.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url: format!("http://127.0.0.1:{port}"), port, shared }
    }

    pub(super) async fn taking_all() -> Self {
        Self::new(|_, _| (200, None)).await
    }

    pub(super) fn got(&self) -> Vec<Delivery> {
        self.shared.got.lock().unwrap().clone()
    }

    /// Waits for this many requests.
    pub(super) async fn until(&self, n: usize) -> Vec<Delivery> {
        eventually("the deliveries arrive", || async { Some(self.got()).filter(|got| got.len() >= n) }).await
    }
}

async fn receive(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, raw: Bytes) -> Response {
    let mut got = shared.got.lock().unwrap();
    let (status, location) = (shared.answer)(got.len(), uri.path());
    let text = |value: &header::HeaderValue| value.to_str().unwrap().to_owned();
    got.push(Delivery {
        path: uri.path().to_owned(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: serde_json::from_slice(&raw).unwrap_or_default(),
        raw: raw.to_vec(),
        status,
    });
    let status = StatusCode::from_u16(status).unwrap();
    match location {
        Some(seconds) if matches!(status.as_u16(), 429 | 503) => (status, [(header::RETRY_AFTER, seconds)]).into_response(),
        Some(location) => (status, [(header::LOCATION, location)]).into_response(),
        None => status.into_response(),
    }
}
