//! Clients that send jobs, cancel some, and check every result as soon as it exists. The API may be down at any time; then they ask
//! again, as clients do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::kinds::{self, Kind};

pub const QUEUE: &str = "soak";
/// Longest time for one job, outages included.
const JOB_TIMEOUT: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_millis(200);

/// What all clients share.
pub struct Clients {
    http: reqwest::Client,
    api: String,
    n_jobs: usize,
    next: AtomicUsize,
    /// Jobs that have ended and whose result was checked.
    pub n_done: AtomicUsize,
    seen: Mutex<Seen>,
}

/// What the clients have seen.
#[derive(Default)]
pub struct Seen {
    pub ids: BTreeMap<usize, String>,
    pub kinds: BTreeMap<Kind, usize>,
    pub events: BTreeMap<String, usize>,
    pub problems: Vec<String>,
}

impl Clients {
    pub fn new(api: String, n_jobs: usize) -> Arc<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        Arc::new(Self { http, api, n_jobs, next: AtomicUsize::new(0), n_done: AtomicUsize::new(0), seen: Mutex::default() })
    }

    pub fn take_seen(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// One client: sends the next job and follows it to its end, until there are no more.
    pub async fn work(self: Arc<Self>) {
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.n_jobs {
                return;
            }
            if let Err(problem) = self.one(n).await {
                println!("job {n}: {problem}");
                self.seen.lock().unwrap().problems.push(format!("job {n}: {problem}"));
            }
            self.n_done.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn one(&self, n: usize) -> Result<(), String> {
        let kind = kinds::kind_of(n);
        if kind == Kind::Inputs {
            let bytes = kinds::kept_input(n);
            let path = format!("/f/{}", protocol::sha256_hex(&bytes));
            self.insist(|| self.http.put(format!("{}{path}", self.api)).body(bytes.clone())).await?;
        }
        let body = json!({ "definition": kinds::definition(n) });
        let said = self.json(|| self.http.post(format!("{}/q/{QUEUE}", self.api)).json(&body)).await?;
        let id = said["jobId"].as_str().ok_or_else(|| format!("no id: {said}"))?.to_owned();
        {
            let mut seen = self.seen.lock().unwrap();
            seen.ids.insert(n, id.clone());
            *seen.kinds.entry(kind).or_default() += 1;
        }
        let job = format!("/q/{QUEUE}/j/{id}");
        if kind == Kind::CancelledLate {
            self.until(&job, |said| said["data"]["results"]["state"] == "Running").await?;
        }
        if matches!(kind, Kind::CancelledEarly | Kind::CancelledLate) {
            self.insist(|| self.http.post(format!("{}{job}/cancel", self.api))).await?;
        }
        let result = self.until(&format!("{job}/result.json"), |said| said["data"].is_object()).await?["data"].clone();
        if kind == Kind::Large {
            let fetched = self.insist(|| self.http.get(format!("{}{job}/outputs/in/large", self.api))).await?;
            let is_whole = fetched.text().await.is_ok_and(|text| text == kinds::large_output(n));
            if !is_whole {
                return Err(format!("its output is another: {result}"));
            }
        }
        let given_up = self.is_given_up(&job, &result).await?;
        kinds::problem(n, &result).filter(|_| !given_up).map_or(Ok(()), |problem| Err(format!("{id}: {problem}")))
    }

    /// Whether a job was given up, and rightly so: three workers were killed while they had it and before it had a container.
    async fn is_given_up(&self, job: &str, result: &Value) -> Result<bool, String> {
        let message = result["finished"]["message"].as_str().unwrap_or_default();
        if !message.starts_with("given up after 3 lost workers") {
            return Ok(false);
        }
        let events = self.events(job).await?;
        *self.seen.lock().unwrap().events.entry("given up".to_owned()).or_default() += 1;
        Ok(events.iter().filter(|event| *event == "requeued").count() == 2)
    }

    /// Checks the history of every job after all have ended.
    pub async fn audit(&self) {
        let ids = self.seen.lock().unwrap().ids.clone();
        for (n, id) in ids {
            let events = self.events(&format!("/q/{QUEUE}/j/{id}")).await.unwrap();
            let count = |kind: &str| events.iter().filter(|event| *event == kind).count();
            let is_one = count("queued") == 1 && count("finished") == 1 && events.last().is_some_and(|last| last == "finished");
            let mut seen = self.seen.lock().unwrap();
            if !is_one {
                seen.problems.push(format!("job {n}: {id}: its history is {events:?}"));
            }
            events.into_iter().for_each(|event| *seen.events.entry(event).or_default() += 1);
        }
    }

    async fn events(&self, job: &str) -> Result<Vec<String>, String> {
        let history = self.json(|| self.http.get(format!("{}{job}/history.json", self.api))).await?;
        let entries = history["data"].as_array().ok_or_else(|| history.to_string())?;
        Ok(entries.iter().filter_map(|entry| entry["event"].as_str()).map(str::to_owned).collect())
    }

    /// Asks until the answer is the expected one.
    async fn until(&self, path: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let deadline = Instant::now() + JOB_TIMEOUT;
        loop {
            let said = self.json(|| self.http.get(format!("{}{path}", self.api))).await?;
            if is_it(&said) {
                return Ok(said);
            }
            if Instant::now() > deadline {
                let job = path.trim_end_matches("/result.json");
                let state = self.json(|| self.http.get(format!("{}{job}", self.api))).await;
                return Err(format!("{path} says in vain {said}, {state:?}, {:?}", self.events(job).await));
            }
            sleep(PAUSE).await;
        }
    }

    async fn json(&self, ask: impl Fn() -> reqwest::RequestBuilder) -> Result<Value, String> {
        self.insist(ask).await?.json().await.map_err(|error| error.to_string())
    }

    /// Sends a request until the API answers. A refusal is also an answer.
    async fn insist(&self, ask: impl Fn() -> reqwest::RequestBuilder) -> Result<reqwest::Response, String> {
        let deadline = Instant::now() + JOB_TIMEOUT;
        loop {
            let why = match ask().send().await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) if answer.status().is_client_error() => return Err(format!("refused with {}", answer.status())),
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Err(why);
            }
            sleep(PAUSE).await;
        }
    }
}
