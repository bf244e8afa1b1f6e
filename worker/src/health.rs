//! `GET /healthz` and `GET /metrics`: the state of one worker, for people, orchestrators and Prometheus. There are no other routes, and no
//! answer contains a queue's name or a token. Open connections have no limit, so only trusted programs may reach the address.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::claim::Common;
use crate::error::Error;
use crate::status::Look;

#[derive(Clone)]
struct Health {
    common: Arc<Common>,
    started: Instant,
}

/// Opens the address first, so that the worker reports an occupied address before it changes anything.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let refused = |error| Error::Config(format!("cannot listen on {address} for health and metrics: {error}"));
    TcpListener::bind(address).await.map_err(refused)
}

/// Answers until the handle is dropped.
pub(crate) fn serve(listener: TcpListener, common: Arc<Common>) -> AbortOnDropHandle<()> {
    let nothing = async || (StatusCode::NOT_FOUND, Json(json!({ "error": "no such route; there are /healthz and /metrics" })));
    let health = Health { common, started: Instant::now() };
    let router = Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics)).fallback(nothing);
    let router = router.with_state(health);
    if let Ok(bound) = listener.local_addr() {
        tracing::info!("health and metrics at http://{bound}");
    }
    AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the server of /healthz and /metrics has stopped");
        }
    }))
}

async fn healthz(State(health): State<Health>) -> Json<Value> {
    let (state, reason) = match health.common.api.status.look(health.common.n_queues) {
        Look::Ready => ("ready", None),
        Look::Draining => ("draining", None),
        Look::Waiting(reason) => ("waiting", Some(reason)),
    };
    let mut answer =
        json!({ "state": state, "jobs": health.common.n_running(), "uptimeSeconds": health.started.elapsed().as_secs() });
    if let Some(reason) = reason {
        answer["reason"] = reason.into();
    }
    Json(answer)
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let text = render(&health.common, health.started.elapsed());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// The text of the metrics, family by family.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, series: &str, value: f64) {
        let _ = writeln!(self.0, "{series} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.value(name, value as f64);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.value(name, value);
    }
}

fn render(common: &Common, uptime: Duration) -> String {
    let stats = &common.api.stats;
    let mut page = Page(String::new());
    page.family("asman_worker_jobs_total", "counter", "Jobs that ended on this worker, by how they ended.");
    for (outcome, count) in [
        ("success", &stats.succeeded),
        ("error", &stats.failed),
        ("timed_out", &stats.timed_out),
        ("released", &stats.released),
        ("ended_by_api", &stats.ended),
        ("lost", &stats.lost),
    ] {
        page.value(&format!("asman_worker_jobs_total{{outcome=\"{outcome}\"}}"), count.get() as f64);
    }
    page.counter("asman_worker_claims_total", "Claimed jobs.", stats.claims.get());
    page.counter("asman_worker_leases_lost_total", "Claims that this worker lost.", stats.lost.get());
    page.counter("asman_worker_log_bytes_total", "Bytes of log text that the API took.", stats.log_bytes.get());
    page.counter("asman_worker_image_pulls_total", "Images that the worker pulled.", stats.pulls.get());
    page.counter("asman_worker_api_errors_total", "Calls to the API without a usable answer.", stats.api_errors.get());
    page.gauge("asman_worker_jobs_running", "Jobs that use capacity now.", f64::from(common.n_running()));
    page.gauge("asman_worker_spooled_results", "Results on disk that the API has not taken.", common.spool.depth() as f64);
    page.gauge("asman_worker_uptime_seconds", "Time since the start.", uptime.as_secs_f64());
    let is_ready = common.api.status.look(common.n_queues) == Look::Ready;
    page.gauge("asman_worker_ready", "1 when the worker can claim jobs.", f64::from(u8::from(is_ready)));
    capacity(common, &mut page);
    page.0
}

/// The offered and the free capacity.
fn capacity(common: &Common, page: &mut Page) {
    let (offer, free) = (&common.description, common.ledger.free());
    let all = |cpus, gpus: u32, memory: u64| [("cpus", cpus), ("gpus", f64::from(gpus)), ("memory_bytes", memory as f64)];
    for (name, help, values) in [
        ("asman_worker_capacity", "Capacity that the worker offers.", all(offer.cpus, offer.gpus, offer.memory)),
        ("asman_worker_capacity_free", "Capacity that no job uses.", all(free.cpus, free.gpus, free.memory)),
    ] {
        page.family(name, "gauge", help);
        for (resource, value) in values {
            page.value(&format!("{name}{{resource=\"{resource}\"}}"), value);
        }
    }
}
