//! The messages of queues with client sockets: made once a tick for any number of sockets.
//!
//! Changes are read from the events that each queue's cursor has not seen, each once. A change that is committed during a long
//! read may come twice, which is harmless. Clients get every state that a job had, in order: the states that it has left by the
//! time of the read come first. When a job disappears from listings, clients get a whole snapshot, as existing clients expect.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{ClearMessage, Job, Jobs, JobsMessage, LogsMessage, Namespace, Qid, Reason, ServerMessage, State, WorkersMessage};
use sql::{ChangedRow, Db, EventCursor, JobRow, Result};

use super::{Channel, Hub};
use crate::hint::Kinds;

/// Hints within this time become one message.
const TICK: Duration = Duration::from_millis(5);
/// How often every socket gets a whole snapshot. Existing workers and clients reconnect after 20 s without one.
const SNAPSHOT: Duration = Duration::from_secs(10);

/// A log message with this many lines gets no further chunk.
const LINES_JOINED_MAX: usize = 1_000;

/// A whole snapshot as text, shared by all sockets that need one.
pub(crate) type Snapshot = Arc<str>;

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
        let runs = rows.iter().filter(|row| row.state() == State::Running);
        let running: HashMap<String, i64> = runs.map(|row| (row.job_id.clone(), row.queued_ms())).collect();
        let logs = read_to_the_end(&self.db, qid, &running).await?;
        self.with(|channels| {
            if let Some(channel) = channels.get_mut(&qid) {
                channel.feed.start(cursor, running, logs);
                // Hints that came before there was a cursor had no effect.
                channel.mark(Kinds::STATES);
            }
        });
        self.wake.notify_one();
        Ok(())
    }

    /// All jobs of a queue as one message, kept until the next hint.
    pub(crate) async fn snapshot(&self, qid: Qid) -> Result<Snapshot> {
        let kept = || self.with(|channels| channels.get(&qid).and_then(|channel| channel.feed.snapshot.clone()));
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        // Many sockets that connect or lag at the same time share one read, which must not be older than their request.
        let asked = Instant::now();
        let reading = self.with(|channels| channels.get(&qid).map(|channel| Arc::clone(&channel.reading))).unwrap_or_default();
        let mut last = reading.lock().await;
        if let Some((_, text)) = last.as_ref().filter(|(began, _)| *began >= asked) {
            return Ok(Arc::clone(text));
        }
        let _turn = self.snapshots.acquire().await;
        let began = Instant::now();
        let text = self.read_snapshot(qid).await?;
        *last = Some((began, Arc::clone(&text)));
        Ok(text)
    }

    async fn read_snapshot(&self, qid: Qid) -> Result<Snapshot> {
        let marks = self.with(|channels| channels.get(&qid).map(|channel| *channel.marks.borrow()));
        let rows = self.db.list_jobs(qid).await?;
        let text = text_of(&ServerMessage::JobStates(jobs_message(&rows)));
        self.with(|channels| {
            let Some(channel) = channels.get_mut(&qid) else { return };
            // It is kept only if nothing happened during the read.
            if Some(*channel.marks.borrow()) == marks {
                channel.feed.snapshot = Some(Arc::clone(&text));
            }
        });
        Ok(text)
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
                let message = JobsMessage { state: Jobs { jobs }, is_subset: true, is_past: true };
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
            // Items may be deleted without a trace.
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
        let mut by_queue: HashMap<Qid, Vec<JobRow>> = HashMap::new();
        for row in rows {
            by_queue.entry(row.qid).or_default().push(row);
        }
        for (qid, rows) in by_queue {
            self.with(|channels| channels.get_mut(&qid).map(|channel| channel.feed.note_running(&rows)));
            if rows.iter().any(|row| row.state() == State::Finished) {
                // The last lines are sent before the end: clients ignore lines after it.
                self.send_logs(qid).await?;
                self.with(|channels| channels.get_mut(&qid).map(|channel| channel.feed.forget_ended(&rows)));
            }
            // Items that are not container jobs are not shown here.
            let (listed, vanished): (Vec<_>, Vec<_>) = rows.into_iter().filter(|row| !row.is_item).partition(JobRow::is_listed);
            let has_vanished = !vanished.is_empty();
            // Deleted jobs are of no use in a worker's cache.
            let cancelled = listed.iter().filter(|row| row.reason() == Some(Reason::Cancelled));
            for row in vanished.iter().chain(cancelled) {
                let namespace = row.namespace.clone().unwrap_or_else(|| Namespace::SHARED.to_owned());
                let message = ClearMessage { job_id: row.job_id.clone(), namespace };
                self.send(qid, text_of(&ServerMessage::ClearJobCache(message)));
            }
            if !listed.is_empty() {
                let message = JobsMessage { is_subset: true, ..jobs_message(&listed) };
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
        // No receiver: the last socket has closed in the meantime.
        self.with(|channels| channels.get(&qid).map(|channel| channel.messages.send(text)));
    }
}

impl Channel {
    fn has_sockets(&self) -> bool {
        self.messages.receiver_count() > 0
    }
}

/// One message for neighbouring chunks of one job and step: a burst must not push earlier messages out of the ring.
fn joined(rows: Vec<sql::NewerRow>) -> Result<Vec<LogsMessage>> {
    let mut messages: Vec<LogsMessage> = Vec::new();
    for row in rows {
        let mut logs = row.lines()?;
        match messages.last_mut() {
            Some(last) if last.job_id == row.job_id && last.step == row.step && last.logs.len() < LINES_JOINED_MAX => {
                last.logs.append(&mut logs);
                last.cursor = Some(row.lines_after);
            }
            _ => messages.push(LogsMessage { job_id: row.job_id, step: row.step, logs, cursor: Some(row.lines_after) }),
        }
    }
    Ok(messages)
}

/// Cursors behind all present lines.
async fn read_to_the_end(db: &Db, qid: Qid, running: &HashMap<String, i64>) -> Result<HashMap<String, (i64, i32)>> {
    let job_ids: Vec<&str> = running.keys().map(String::as_str).collect();
    let last = db.last_logs(qid, &job_ids).await?;
    Ok(last.into_iter().map(|(job_id, epoch, seq)| (job_id, (epoch, seq))).collect())
}

/// A message for these jobs.
fn jobs_message(rows: &[JobRow]) -> JobsMessage {
    let jobs: BTreeMap<_, _> = rows.iter().map(|row| (row.job_id.clone(), row.to_job())).collect();
    JobsMessage { state: Jobs { jobs }, is_subset: false, is_past: false }
}

/// The earlier states of jobs, in addition to the present ones.
#[derive(Debug, Default)]
struct Told {
    /// The states that the jobs had and have left again, in messages in the same order.
    left: Vec<(Qid, BTreeMap<String, Job>)>,
    /// Jobs whose newest change came after the events were read: its own event will report it.
    ahead: HashSet<(Qid, String)>,
}

impl Told {
    fn of(changes: &[ChangedRow], rows: &[JobRow]) -> Self {
        let now: HashMap<_, &JobRow> =
            rows.iter().filter(|row| !row.is_item).map(|row| ((row.qid, row.job_id.as_str()), row)).collect();
        let mut had: HashMap<(Qid, &str), Vec<&ChangedRow>> = HashMap::new();
        for change in changes.iter().filter(|change| change.state().is_some()) {
            let states = had.entry((change.qid, change.job_id.as_str())).or_default();
            states.pop_if(|last| last.state() == change.state());
            states.push(change);
        }
        let (mut messages, mut ahead) = (BTreeMap::<(usize, Qid), BTreeMap<String, Job>>::new(), HashSet::new());
        for (key, mut states) in had {
            let Some(row) = now.get(&key) else { continue };
            if states.pop_if(|last| last.state() == Some(row.state())).is_none() {
                ahead.insert((key.0, key.1.to_owned()));
            }
            let left = states.iter().map(|change| change.job_then(row.to_job()));
            let listed = left.filter(|job| job.finished_reason.is_none_or(Reason::is_listed));
            for (n, job) in listed.enumerate() {
                messages.entry((n, key.0)).or_default().insert(key.1.to_owned(), job);
            }
        }
        Self { left: messages.into_iter().map(|((_, qid), jobs)| (qid, jobs)).collect(), ahead }
    }
}

/// The workers of a queue as one message.
pub(crate) async fn workers_message(db: &Db, qid: Qid, lease: Duration) -> Result<Arc<str>> {
    let rows = db.list_workers(qid, lease).await?;
    let workers = rows.iter().map(sql::WorkerRow::to_info).collect();
    Ok(text_of(&ServerMessage::Workers(WorkersMessage { workers })))
}

/// The part of the message that decides whether anything changed: every heartbeat changes `time`.
fn without_times(text: &str) -> Arc<str> {
    let mut value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let workers = value.pointer_mut("/payload/workers").and_then(|workers| workers.as_array_mut());
    for worker in workers.into_iter().flatten() {
        worker["time"] = 0.into();
    }
    value.to_string().into()
}

/// A server message as a text frame.
pub(crate) fn text_of(message: &ServerMessage) -> Arc<str> {
    serde_json::to_string(message).unwrap_or_default().into()
}
