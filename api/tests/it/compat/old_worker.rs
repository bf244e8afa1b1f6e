//! A worker of the published kind: it registers, sees queued jobs in `JobStates`, and claims one by reporting that it runs.

use serde_json::{Value, json};

use super::Release;
use crate::socket::Socket;
use crate::test_api::TestApi;

/// A scripted worker.
pub(crate) struct OldWorker {
    pub(crate) id: String,
    pub(crate) socket: Socket,
    release: Release,
}

impl OldWorker {
    /// Connects, registers, and proves that the registration arrived.
    pub(crate) async fn connect(api: &TestApi, queue: &str, id: &str) -> Self {
        Self::connect_as(Release::V0_54_80, api, queue, id).await
    }

    /// The same for a worker of this release.
    pub(crate) async fn connect_as(release: Release, api: &TestApi, queue: &str, id: &str) -> Self {
        let socket = Socket::connect_raw(api, &format!("/q/{queue}/worker")).await;
        let mut worker = Self { id: id.to_owned(), socket, release };
        worker.register().await;
        worker.ping().await;
        worker
    }

    pub(crate) async fn register(&mut self) {
        let payload =
            json!({"id": self.id, "version": self.release.version(), "cpus": 4, "gpus": 0, "time": 1, "maxJobDuration": "24h"});
        self.socket.send(&json!({"type": "WorkerRegistration", "payload": payload})).await;
    }

    /// Returns when the server has handled everything that was sent before.
    pub(crate) async fn ping(&mut self) {
        self.socket.send_text("PING").await;
        let pong = format!("PONG {}", self.id);
        self.socket.until(|message| (message == pong.as_str()).then_some(())).await;
    }

    /// Asks for a job, without waiting for the answer.
    pub(crate) async fn ask(&mut self, id: &str) {
        let value = json!({"type": "Running", "time": 1, "worker": self.id});
        self.change(id, "Running", value).await;
    }

    /// Asks for a job and returns the job as the answer shows it.
    pub(crate) async fn claim(&mut self, id: &str) -> Value {
        self.ping().await;
        self.ask(id).await;
        self.answer(id).await
    }

    /// Returns the job from the next update about a claim: the update shows that the job is no longer queued, or it shows no job.
    pub(crate) async fn answer(&mut self, id: &str) -> Value {
        self.socket
            .until(|message| {
                let jobs = message["payload"]["state"]["jobs"].as_object()?;
                // A broadcast that was sent before the request may still show the job as queued.
                let is_taken = jobs.get(id).is_some_and(|job| job["state"] != "Queued");
                let is_answer = message["type"] == "JobStateUpdates" && (is_taken || jobs.is_empty());
                is_answer.then(|| jobs.get(id).cloned().unwrap_or_default())
            })
            .await
    }

    pub(crate) async fn log(&mut self, id: &str, step: &str, lines: &[&str]) {
        let logs: Vec<_> = lines.iter().map(|line| json!([line, 7])).collect();
        self.socket.send(&json!({"type": "JobStatusLogs", "payload": {"jobId": id, "step": step, "logs": logs}})).await;
    }

    pub(crate) async fn finish(&mut self, id: &str, reason: &str, logs: Value) {
        let outputs = json!({"out.txt": {"type": "utf8", "value": "made"}});
        let result = json!({"StatusCode": 3, "logs": logs, "duration": 12, "isTimedOut": false, "outputs": outputs});
        self.end(id, reason, result).await;
    }

    /// Ends a job with a result of its own.
    pub(crate) async fn end(&mut self, id: &str, reason: &str, result: Value) {
        let value = json!({"type": "Finished", "time": 1, "reason": reason, "worker": self.id, "result": result});
        self.change(id, "Finished", value).await;
    }

    async fn change(&mut self, id: &str, state: &str, value: Value) {
        self.socket
            .send(&json!({"type": "StateChange", "payload": {"tag": "", "job": id, "state": state, "value": value}}))
            .await;
    }
}
