//! The messages of queues with client sockets: made once a tick for any number of sockets.
//!
//! Each event that the cursor of a queue has not seen is read once. A change that is committed during a long read may come
//! twice, which is harmless. Clients get every state that a job had, in order: first the states that the job has left by the
//! time of the read, then its present state. When a job disappears from listings, clients get a whole snapshot, as existing
//! clients expect.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::{ClearMessage, JobState, Jobs, JobsMessage, Namespace, Qid, Reason, ServerMessage};
use sql::{Db, EventCursor, JobRow, Result};

use super::message::{joined, text_of, without_times, workers_message};
use super::told::Told;
use super::{Channel, Hub, message::jobs_message};
use crate::hint::Kinds;

/// Hints within this time become one message.
const TICK: Duration = Duration::from_millis(5);
/// How often every socket gets a whole snapshot. Existing workers and clients reconnect after 20 s without one.
const SNAPSHOT: Duration = Duration::from_secs(10);

impl Hub {
    /// Makes messages until dropped.
    pub(crate) async fn run_feeds(self) {
        let mut whole = tokio::time::interval(SNAPSHOT);
        loop {
            let outcome = tokio::select! {
                () = self.wake.notified() => {
                    tokio::time::sleep(TICK).await;
                    self.tick().await
                }
                _ = whole.tick() => {
                    self.forget_unwatched();
                    self.whole_tick().await
                }
            };
            if let Err(error) = outcome {
                metrics::counter!("asman_feed_failures_total").increment(1);
                tracing::debug!(%error, "a change was not sent to clients; the next snapshot shows it");
            }
        }
    }

    /// Called for the first socket of a queue: from now on its events matter. Earlier log lines are not repeated.
    pub(super) async fn start_feed(&self, qid: Qid) -> Result<()> {
        let cursor = self.db.event_horizon(qid).await?;
        let rows = self.db.list_jobs(qid).await?;
        let runs = rows.iter().filter(|row| row.state() == JobState::Running);
        let running: HashMap<String, i64> = runs.map(|row| (row.job_id.clone(), row.queued_ms())).collect();
        let logs = read_to_the_end(&self.db, qid, &running).await?;
        self.with(|channels| {
            if let Some(channel) = channels.get_mut(&qid) {
                channel.feed.start(cursor, running, logs);
                // Earlier hints had no effect, because there was no cursor.
                channel.mark(Kinds::STATES);
            }
        });
        self.wake.notify_one();
        Ok(())
    }

    /// Every queue with sockets gets a whole snapshot, and its workers when they changed.
    async fn whole_tick(&self) -> Result<()> {
        let qids =
            self.with(|channels| channels.iter().filter(|(_, c)| c.has_sockets()).map(|(qid, _)| *qid).collect::<Vec<_>>());
        for qid in qids {
            self.with(|channels| channels.get_mut(&qid).map(|channel| channel.feed.forget_snapshot()));
            let text = self.snapshot(qid).await?;
            self.send(qid, text);
            self.send_workers(qid).await?;
        }
        Ok(())
    }

    async fn tick(&self) -> Result<()> {
        let dirty = self.with(|channels| {
            let take = |(qid, channel): (&Qid, &mut Channel)| (*qid, std::mem::take(&mut channel.dirty));
            channels.iter_mut().filter(|(_, c)| c.has_sockets() && c.dirty != Kinds::default()).map(take).collect::<Vec<_>>()
        });
        let of =
            |kind: Kinds| dirty.iter().filter(move |(_, kinds)| kinds.intersects(kind)).map(|(qid, _)| *qid).collect::<Vec<_>>();
        // States before logs, so that a client knows that the job runs before it sees a line.
        self.send_states(of(Kinds::STATES)).await?;
        for qid in of(Kinds::LOGS) {
            self.send_logs(qid).await?;
        }
        for qid in of(Kinds::WORKERS) {
            self.send_workers(qid).await?;
        }
        Ok(())
    }

    async fn send_states(&self, qids: Vec<Qid>) -> Result<()> {
        let mut cursors: Vec<EventCursor> =
            self.with(|channels| qids.iter().filter_map(|qid| channels.get(qid)?.feed.cursor.clone()).collect());
        // Each read is bounded, so it is repeated until nothing is left.
        while !cursors.is_empty() {
            let changes = self.db.changed_jobs(&cursors).await?;
            cursors = changes.rest;
            let keys: HashSet<_> = changes.rows.iter().map(|change| (change.qid, change.job_id.clone())).collect();
            let keys: Vec<_> = keys.into_iter().collect();
            let mut rows = self.db.get_jobs(&keys).await?;
            let told = Told::of(&changes.rows, &rows);
            for (qid, jobs) in told.left {
                let message = JobsMessage { state: Jobs { jobs }, is_subset: true, is_past: true, cursor: None };
                self.send(qid, text_of(&ServerMessage::JobStateUpdates(message)));
            }
            let found: HashSet<(Qid, &str)> = rows.iter().map(|row| (row.qid, row.job_id.as_str())).collect();
            let is_gone = |key: &&(Qid, String)| !found.contains(&(key.0, key.1.as_str()));
            let thinned: HashSet<Qid> = keys.iter().filter(is_gone).map(|key| key.0).collect();
            for (qid, _) in &told.ahead {
                self.hint(*qid, Kinds::STATES | Kinds::LOGS);
            }
            rows.retain(|row| !told.ahead.contains(&(row.qid, row.job_id.clone())));
            self.send_changed(rows).await?;
            // A deleted item has no row that could be sent, so clients get a snapshot.
            for qid in thinned {
                let text = self.snapshot(qid).await?;
                self.send(qid, text);
            }
            self.with(|channels| {
                for cursor in changes.seen {
                    if let Some(channel) = channels.get_mut(&cursor.qid) {
                        channel.feed.cursor = Some(cursor);
                    }
                }
            });
        }
        Ok(())
    }

    async fn send_changed(&self, rows: Vec<JobRow>) -> Result<()> {
        let cursor = rows.first().and_then(JobRow::cursor);
        let mut by_queue: HashMap<Qid, Vec<JobRow>> = HashMap::new();
        for row in rows {
            by_queue.entry(row.qid).or_default().push(row);
        }
        for (qid, rows) in by_queue {
            self.with(|channels| channels.get_mut(&qid).map(|channel| channel.feed.note_running(&rows)));
            if rows.iter().any(|row| row.state() == JobState::Finished) {
                // The last lines are sent before the end: clients ignore lines after it.
                self.send_logs(qid).await?;
                self.with(|channels| channels.get_mut(&qid).map(|channel| channel.feed.forget_ended(&rows)));
            }
            // Items that are not container jobs are not shown here.
            let (listed, vanished): (Vec<_>, Vec<_>) = rows.into_iter().filter(|row| !row.is_item).partition(JobRow::is_listed);
            let has_vanished = !vanished.is_empty();
            // Workers need not keep vanished and cancelled jobs in their cache.
            let cancelled = listed.iter().filter(|row| row.reason() == Some(Reason::Cancelled));
            for row in vanished.iter().chain(cancelled) {
                let namespace = row.namespace.clone().unwrap_or_else(|| Namespace::SHARED.to_owned());
                let message = ClearMessage { job_id: row.job_id.clone(), namespace };
                self.send(qid, text_of(&ServerMessage::ClearJobCache(message)));
            }
            if !listed.is_empty() {
                let message = JobsMessage { is_subset: true, ..jobs_message(&listed, cursor) };
                self.send(qid, text_of(&ServerMessage::JobStateUpdates(message)));
            }
            if has_vanished {
                let text = self.snapshot(qid).await?;
                self.send(qid, text);
            }
        }
        Ok(())
    }

    async fn send_logs(&self, qid: Qid) -> Result<()> {
        // Each read is bounded, so it is repeated until nothing is left.
        loop {
            let cursors = self.with(|channels| channels.get(&qid).map(|channel| channel.feed.log_cursors()).unwrap_or_default());
            let rows = self.db.newer_logs(qid, &cursors).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                let place = (row.epoch, row.seq);
                self.with(|channels| channels.get_mut(&qid).map(|c| c.feed.logs.insert(row.job_id.clone(), place)));
            }
            for message in joined(rows)? {
                self.send(qid, text_of(&ServerMessage::JobStatusPayload(message)));
                // Sockets that keep up receive it before the ring is full.
                tokio::task::yield_now().await;
            }
        }
    }

    async fn send_workers(&self, qid: Qid) -> Result<()> {
        let text = workers_message(&self.db, qid, self.lease).await?;
        let is_new = self.with(|channels| {
            let Some(channel) = channels.get_mut(&qid) else { return false };
            channel.feed.workers.replace(without_times(&text)) != Some(without_times(&text))
        });
        if is_new {
            self.send(qid, text);
        }
        Ok(())
    }

    fn send(&self, qid: Qid, text: Arc<str>) {
        // Sending fails only if the last socket has closed in the meantime.
        self.with(|channels| channels.get(&qid).map(|channel| channel.messages.send(text)));
    }
}

impl Channel {
    fn has_sockets(&self) -> bool {
        self.messages.receiver_count() > 0
    }
}

/// For each running job, a cursor after its last stored line.
async fn read_to_the_end(db: &Db, qid: Qid, running: &HashMap<String, i64>) -> Result<HashMap<String, (i64, i32)>> {
    let job_ids: Vec<&str> = running.keys().map(String::as_str).collect();
    let last = db.last_logs(qid, &job_ids).await?;
    Ok(last.into_iter().map(|(job_id, epoch, seq)| (job_id, (epoch, seq))).collect())
}
