//! A browser's job table: a `JobStates` message replaces the table, a `JobStateUpdates` message is merged into it.

use serde_json::{Map, Value, json};

use crate::socket::Socket;
use crate::test_api::{TestApi, in_time};

/// A scripted browser client.
pub(super) struct Client {
    socket: Socket,
    jobs: Map<String, Value>,
}

impl Client {
    pub(super) async fn connect(api: &TestApi, queue: &str) -> Self {
        Self { socket: Socket::connect_raw(api, &format!("/{queue}/client")).await, jobs: Map::new() }
    }

    /// Takes messages until the table has the expected state.
    pub(super) async fn until<T>(&mut self, is_so: impl Fn(&Map<String, Value>) -> Option<T>) -> T {
        in_time(async {
            loop {
                if let Some(answer) = is_so(&self.jobs) {
                    return answer;
                }
                let message = self.socket.next().await;
                let Some(jobs) = message["payload"]["state"]["jobs"].as_object() else { continue };
                match message["type"].as_str() {
                    Some("JobStates") => self.jobs.clone_from(jobs),
                    Some("JobStateUpdates") => self.jobs.extend(jobs.clone()),
                    _ => {}
                }
            }
        })
        .await
    }

    /// Waits until the table shows the job in this state. With `""` it waits until the table does not show the job.
    pub(super) async fn until_state(&mut self, id: &str, state: &str) -> Value {
        self.until(|jobs| match jobs.get(id) {
            Some(job) => (job["state"] == state).then(|| job.clone()),
            None => state.is_empty().then_some(Value::Null),
        })
        .await
    }

    pub(super) async fn submit(&mut self, id: &str, command: &str, namespace: &str) {
        let definition = json!({"image": "alpine:3.18.5", "command": command, "env": {}});
        let enqueued = json!({"id": id, "definition": definition, "control": {"namespace": namespace}});
        self.change(id, "Queued", json!({"type": "Queued", "time": 1_795_309_202_560_i64, "enqueued": enqueued})).await;
    }

    pub(super) async fn submit_definition(&mut self, id: &str, definition: &Value) {
        let enqueued = json!({"id": id, "definition": definition, "control": {"namespace": "_"}});
        self.change(id, "Queued", json!({"type": "Queued", "time": 1_795_309_202_560_i64, "enqueued": enqueued})).await;
    }

    pub(super) async fn cancel(&mut self, id: &str, namespace: &str) {
        let value = json!({"type": "Finished", "reason": "Cancelled", "message": "Job cancelled by client",
            "time": 1, "namespace": namespace});
        self.change(id, "Finished", value).await;
    }

    pub(super) async fn delete(&mut self, id: &str) {
        self.change(id, "Finished", json!({"reason": "Deleted", "time": 1, "namespace": "_"})).await;
    }

    pub(super) async fn query(&mut self, id: &str) {
        self.socket.send(&json!({"type": "QueryJob", "payload": {"jobId": id}})).await;
    }

    async fn change(&mut self, id: &str, state: &str, value: Value) {
        self.socket
            .send(&json!({"type": "StateChange", "payload": {"tag": "", "job": id, "state": state, "value": value}}))
            .await;
    }
}
