//! The calls that the fake API has received, and how it answers.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use axum::body::Bytes;
use protocol::{ClaimRequest, ClaimedJob, EndedJob, FinishRequest, HeartbeatRequest, LogsRequest, ReleaseRequest};
use serde_json::{Value, json};

/// The recorded calls, and the answers to give.
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
    /// Paths of the requests to the storage, and whether each had a token.
    pub(crate) elsewhere: Vec<(String, bool)>,
    /// Paths of all calls, in order.
    pub(crate) paths: Vec<String>,
    pub(crate) end: Vec<EndedJob>,
    /// Jobs whose claims the API does not know any more.
    pub(crate) forgotten: HashSet<String>,
    /// Queue and job of every claim, in order.
    pub(crate) taken: Vec<(String, String)>,
    /// Queues whose claims are answered with 403.
    pub(crate) refuses: HashSet<String>,
    /// Jobs that another worker has claimed by now.
    pub(crate) stale: HashSet<String>,
    /// Whether every call is answered with 503.
    pub(crate) is_down: bool,
    /// Whether heartbeats are answered even while `is_down` is set.
    pub(crate) is_down_but_for_heartbeats: bool,
    /// Whether the last heartbeat of a worker gets no answer.
    pub(crate) answers_no_last_heartbeat: bool,
    /// Whether log requests wait.
    pub(crate) holds_logs: bool,
    /// Whether the first answer to every chunk is lost, although the chunk is stored.
    pub(crate) loses_log_answers: bool,
    /// Whether log requests are answered with 409.
    pub(crate) fences_logs: bool,
    /// Whether the answers to heartbeats say that the worker is unknown, until the next claim.
    pub(crate) is_worker_unknown: bool,
    /// Uploads are redirected to this address, unless the worker asks the API to take them itself.
    pub(crate) redirects_uploads: Option<String>,
    /// Downloads are redirected to this address, unless the worker asks the API to send the file itself.
    pub(crate) redirects_downloads: Option<String>,
    /// Number of requests for files at that address.
    pub(crate) n_elsewhere: usize,
    /// Whether uploads are answered with 413.
    pub(crate) refuses_uploads: bool,
    /// Whether uploads are hashed and counted, but not stored.
    pub(crate) discards_uploads: bool,
    /// Number of bytes of all uploads.
    pub(crate) uploaded_bytes: u64,
    pub(crate) epoch: i64,
    /// Claims that no heartbeat has named yet, and how many heartbeats left each out. The answer with the claim may have been lost.
    pub(super) given: Vec<(Value, usize)>,
}

/// Whether a worker of this queue may get a job. Most tests have only one queue and do not name it.
pub(super) fn is_of(claim: &Value, queue: &str) -> bool {
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

    /// Queues the jobs again for which the answer to a claim was lost.
    pub(super) fn note_held(&mut self, queue: &str, held: &[ClaimedJob]) {
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
