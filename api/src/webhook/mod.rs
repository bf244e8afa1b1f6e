//! Tells submitters about the states of their jobs.
//!
//! Comes in: deliveries that are due, from the outbox that `asman.submit` and the end of a job fill in their own transactions.
//! Goes out: one POST a try. Any process may take any delivery. Others leave a taken row alone for [`Config::webhook_lease`];
//! then a dead sender's delivery is available again. Deliveries happen at least once, with the same id at every try.
//!
//! Invariants: a delivery is visible only after the commit that made it due; no transaction is open during a request to a
//! receiver; a row is taken only when its try can begin at once; hosts take turns, so a slow host does not block others. Bounds:
//! [`TRIES_MAX`] tries at once, [`TRIES_PER_HOST`] of them to one host, each with the timeout of [`GuardedClient`]. A failed
//! delivery is tried again after a pause that doubles up to [`PAUSE_MAX`], and given up a day after it was first due. If a
//! receiver answers 429 or 503 with `Retry-After`, the pause has that length, within that day. After a 410 there are no more
//! tries.
//!
//! [`Config::webhook_lease`]: crate::Config::webhook_lease

mod message;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use sql::{Db, DueWebhook, WebhookRoom, WebhookTry};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::App;
use crate::background::Background;
use crate::batcher::{Batcher, Bounds, Weight};
use crate::guard::{GuardedClient, RequestError};

/// Most tries at once in this process.
const TRIES_MAX: usize = 128;
/// Most tries to one host at once in this process.
const TRIES_PER_HOST: i32 = 16;
/// How often the outbox is read without a hint.
const POLL: Duration = Duration::from_secs(1);
/// After a read that found nothing, hints wait this long: most of them are about jobs without webhooks.
const REST: Duration = Duration::from_millis(20);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_hours(1);
/// How often the size of the outbox is measured.
const MEASURE: Duration = Duration::from_secs(15);
/// How often storing a try's result is attempted, once a second. After that the result is lost, and the try is repeated.
const NOTE_TRIES: u32 = 5;

const NOTES: Bounds = Bounds { items_max: 500, weight_max: usize::MAX, in_flight: 1 };

impl Weight for WebhookTry {
    fn weight(&self) -> usize {
        64
    }
}

/// The batcher that stores the results of tries. It returns whether the delivery was given up, or none if it stored nothing.
type Notes = Batcher<WebhookTry, Option<bool>>;

/// The sender of this process.
struct Sender {
    app: Arc<App>,
    client: GuardedClient,
    notes: Arc<Notes>,
    /// One task for each try. It returns the host.
    tries: JoinSet<String>,
    busy: HashMap<String, i32>,
    /// Hosts up to this one had their turn.
    after: String,
    /// Whether the last read found something, or could not read everything.
    has_more: bool,
    /// Hints are ignored before this time.
    rest_until: Instant,
}

/// Sends until the process stops, then finishes the tries in progress.
pub(crate) async fn send(background: Background, app: Arc<App>, client: GuardedClient) {
    let (db, first) = (app.db.clone(), app.config.webhook_backoff.0);
    let notes =
        Arc::new(Batcher::start(&background, "the notes of webhooks", NOTES, move |tries| note(db.clone(), tries, first)));
    let mut sender = Sender {
        app,
        client,
        notes,
        tries: JoinSet::new(),
        busy: HashMap::new(),
        after: String::new(),
        has_more: true,
        rest_until: Instant::now(),
    };
    sender.run().await;
    while sender.tries.join_next().await.is_some() {}
}

impl Sender {
    async fn run(&mut self) {
        let app = Arc::clone(&self.app);
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut measure = tokio::time::interval(MEASURE);
        loop {
            tokio::select! {
                () = app.webhooks_due.notified() => {
                    // The pause is short, and a stop signal is handled right after it.
                    tokio::time::sleep_until(self.rest_until).await;
                    self.look().await;
                }
                Some(tried) = self.tries.join_next() => {
                    self.note_tried(tried.ok());
                    if self.has_more && self.has_half_a_host() {
                        self.look().await;
                    }
                }
                _ = poll.tick() => self.look().await,
                _ = measure.tick() => measure_backlog(&app.db, self.tries.len()).await,
                () = app.shutdown.cancelled() => return,
            }
        }
    }

    /// Collects the finished tries, takes as many deliveries as fit, and starts their tries.
    async fn look(&mut self) {
        while let Some(tried) = self.tries.try_join_next() {
            self.note_tried(tried.ok());
        }
        let room = TRIES_MAX.saturating_sub(self.tries.len());
        if room == 0 || self.app.shutdown.is_cancelled() {
            return;
        }
        let busy: Vec<(String, i32)> = self.busy.iter().map(|(host, n)| (host.clone(), *n)).collect();
        let max = i32::try_from(room).unwrap_or(i32::MAX);
        let wanted = WebhookRoom { busy: &busy, host_max: TRIES_PER_HOST, max, after: &self.after };
        let rows = match self.app.db.claim_webhooks(wanted, self.app.config.webhook_lease.0).await {
            Ok(rows) => rows,
            Err(error) => {
                self.has_more = false;
                tracing::debug!(%error, "the outbox of webhooks cannot be read; it is read again soon");
                return;
            }
        };
        self.note_look(&rows, room);
        for due in rows {
            *self.busy.entry(due.host.clone()).or_default() += 1;
            self.tries.spawn(deliver(self.client.clone(), Arc::clone(&self.notes), Arc::clone(&self.app), due));
        }
    }

    /// Records where to read next, and whether to do so before the next hint.
    fn note_look(&mut self, rows: &[DueWebhook], room: usize) {
        let was_whole = self.after.is_empty();
        let is_cut = rows.len() >= room;
        self.after =
            if is_cut { rows.iter().map(|due| due.host.as_str()).max().unwrap_or_default().to_owned() } else { String::new() };
        if !was_whole && !is_cut {
            // The hosts before the starting host were not read yet.
            self.app.webhooks_due.notify_one();
        }
        self.has_more = !rows.is_empty() || self.busy.values().any(|n| *n >= TRIES_PER_HOST);
        if rows.is_empty() {
            self.rest_until = Instant::now() + REST;
        }
    }

    /// Whether reading is worth a statement now. If all hosts have many tries, it is better to wait until more of them end.
    fn has_half_a_host(&self) -> bool {
        self.busy.is_empty() || self.busy.values().any(|n| *n <= TRIES_PER_HOST / 2)
    }

    fn note_tried(&mut self, host: Option<String>) {
        let Some(host) = host else {
            // A task that panicked does not report its host, so the counts restart from zero. The leases limit the extra tries.
            tracing::error!("the task of a webhook failed");
            self.busy.clear();
            return;
        };
        if let Some(n) = self.busy.get_mut(&host) {
            *n -= 1;
            if *n <= 0 {
                self.busy.remove(&host);
            }
        }
    }
}

/// One try, up to storing its result.
async fn deliver(client: GuardedClient, notes: Arc<Notes>, app: Arc<App>, due: DueWebhook) -> String {
    let body = message::body_of(&due, app.config.public_url.as_deref());
    let headers = message::headers_of(&due, &body);
    let start = Instant::now();
    let outcome = client.post(&due.url, headers, body).await;
    metrics::histogram!("asman_webhook_try_seconds").record(start.elapsed().as_secs_f64());
    let error = outcome.err();
    let is_given_up = keep_noting(&notes, &due, error).await;
    let word = match error {
        _ if is_given_up => "given_up",
        None => "delivered",
        Some(RequestError::Forbidden(_)) => "forbidden",
        Some(_) => "failed",
    };
    metrics::counter!("asman_webhook_tries_total", "outcome" => word).increment(1);
    if let Some(error) = error {
        tracing::debug!(delivery = %due.id, n_attempts = due.n_attempts, cause = %error, outcome = word, "a webhook was not delivered");
    }
    due.host
}

/// Stores the result of a try, and repeats this while the database cannot be reached. Returns whether the delivery was given up.
async fn keep_noting(notes: &Notes, due: &DueWebhook, error: Option<RequestError>) -> bool {
    let tried = WebhookTry {
        id: due.id,
        n_attempts: due.n_attempts,
        error: error.map(|cause| cause.to_string()),
        pause: error.and_then(pause_asked),
        is_refused: matches!(error, Some(RequestError::Status(StatusCode::GONE, _))),
    };
    for _ in 0..NOTE_TRIES {
        if let Some(is_given_up) = notes.call(tried.clone()).await.flatten() {
            return is_given_up;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    false
}

/// How long an overloaded receiver asks to wait.
fn pause_asked(failure: RequestError) -> Option<Duration> {
    match failure {
        RequestError::Status(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, wait) => wait,
        _ => None,
    }
}

async fn note(db: Db, tries: Vec<WebhookTry>, first: Duration) -> Vec<Option<bool>> {
    match db.settle_webhooks(&tries, first, PAUSE_MAX).await {
        Ok(over) => {
            let given_up: Vec<_> = over.iter().filter(|row| row.is_given_up).map(|row| row.id).collect();
            tries.iter().map(|tried| Some(given_up.contains(&tried.id))).collect()
        }
        Err(error) => {
            tracing::debug!(%error, "results of webhooks' tries were not stored");
            vec![None; tries.len()]
        }
    }
}

async fn measure_backlog(db: &Db, n_in_flight: usize) {
    metrics::gauge!("asman_webhooks_in_flight").set(n_in_flight as f64);
    let Ok(backlog) = db.webhook_backlog().await else { return };
    metrics::gauge!("asman_webhooks_due").set(backlog.n_due as f64);
    metrics::gauge!("asman_webhooks_retried").set(backlog.n_retried as f64);
    metrics::gauge!("asman_webhooks_oldest_due_seconds").set(backlog.oldest_seconds);
}
