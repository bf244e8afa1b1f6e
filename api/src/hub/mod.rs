//! Turns hints into messages for the sockets and wake-ups for the waiting requests of this process.
//!
//! Comes in: hints, from this process at once and from the others through one listening connection (`listen`). Goes out: a
//! wake-up to every task that waits on a queue ([`Watch`]) and, for queues with client sockets, the messages themselves, made
//! once a tick for any number of sockets ([`feed`]).
//!
//! Invariants: a message contains what the database contained after the hint; a hint contains no data, only which queue
//! changed. Subscribing comes before reading, so no change is missed. Each queue's messages wait in a ring of [`RING`]. A
//! socket that lags behind gets a fresh snapshot instead.

mod feed;
mod message;
mod position;
mod snapshot;
mod told;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::Qid;
use sql::Db;
use tokio::sync::{Notify, Semaphore, broadcast, watch};

use crate::hint::Kinds;
pub(crate) use message::{text_of, workers_message};

/// Most messages that a slow socket may be behind.
const RING: usize = 64;
/// Most snapshots that are read at a time: each may list thousands of jobs.
const SNAPSHOTS_MAX: usize = 2;

/// The hub's state of one watched queue.
#[derive(Debug)]
struct Channel {
    /// Counts hints by kind, for waiting tasks.
    marks: watch::Sender<Marks>,
    /// Messages for client sockets.
    messages: broadcast::Sender<Arc<str>>,
    /// What changed since the last tick.
    dirty: Kinds,
    feed: position::Position,
    /// The last snapshot, and when its read began; locked during a read.
    reading: Reading,
    /// Each worker socket has a clone, so that worker sockets can be counted.
    workers: WorkerSocket,
}

/// A worker's socket keeps it for as long as it is open.
pub(crate) type WorkerSocket = Arc<()>;

type Reading = Arc<tokio::sync::Mutex<Option<(Instant, Arc<str>)>>>;

/// How many hints of each kind came. A waiting task compares them with the last counts that it saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) states: u64,
    pub(crate) logs: u64,
}

/// Wakes when its queue changes.
pub(crate) type Watch = watch::Receiver<Marks>;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    channels: Arc<Mutex<HashMap<Qid, Channel>>>,
    wake: Arc<Notify>,
    db: Db,
    lease: Duration,
    /// Limits how many snapshots of different queues are read at a time.
    snapshots: Arc<Semaphore>,
}

impl Hub {
    pub(crate) fn new(db: Db, lease: Duration) -> Self {
        Self { channels: Arc::default(), wake: Arc::default(), db, lease, snapshots: Arc::new(Semaphore::new(SNAPSHOTS_MAX)) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Qid, Channel>) -> T) -> T {
        work(&mut self.channels.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records that something changed in a queue.
    pub(crate) fn hint(&self, qid: Qid, kinds: Kinds) {
        let is_watched = self.with(|channels| channels.get_mut(&qid).map(|channel| channel.mark(kinds)).is_some());
        if is_watched {
            self.wake.notify_one();
        }
    }

    /// Marks every watched queue, because hints were lost and anything may have changed.
    pub(crate) fn resync(&self) {
        self.with(|channels| channels.values_mut().for_each(|channel| channel.mark(Kinds::all())));
        self.wake.notify_one();
    }

    /// Watches a queue: for long polls and event streams. Subscribe first, then read.
    pub(crate) fn watch(&self, qid: Qid) -> Watch {
        self.with(|channels| channels.entry(qid).or_insert_with(Channel::new).marks.subscribe())
    }

    /// Receives a queue's messages: for client sockets.
    pub(crate) async fn subscribe(&self, qid: Qid) -> sql::Result<broadcast::Receiver<Arc<str>>> {
        let (receiver, is_first) = self.with(|channels| {
            let channel = channels.entry(qid).or_insert_with(Channel::new);
            let is_first = channel.messages.receiver_count() == 0;
            (channel.messages.subscribe(), is_first)
        });
        if is_first {
            self.start_feed(qid).await?;
        }
        Ok(receiver)
    }

    /// Counts a socket as a worker's until the socket drops the returned value.
    pub(crate) fn count_worker(&self, qid: Qid) -> WorkerSocket {
        self.with(|channels| Arc::clone(&channels.entry(qid).or_insert_with(Channel::new).workers))
    }

    /// Client sockets on one queue of this process.
    pub(crate) fn n_clients(&self, qid: Qid) -> usize {
        let n_clients =
            |channel: &Channel| channel.messages.receiver_count().saturating_sub(Arc::strong_count(&channel.workers) - 1);
        self.with(|channels| channels.get(&qid).map_or(0, n_clients))
    }

    /// Forgets the queues that are no longer watched.
    fn forget_unwatched(&self) {
        self.with(|channels| {
            channels.retain(|_, channel| {
                let n_watchers = channel.marks.receiver_count() + channel.messages.receiver_count();
                n_watchers > 0 || Arc::strong_count(&channel.workers) > 1
            });
            let n_sockets: usize = channels.values().map(|channel| channel.messages.receiver_count()).sum();
            metrics::gauge!("asman_client_sockets").set(n_sockets as f64);
            metrics::gauge!("asman_watched_queues").set(channels.len() as f64);
        });
    }
}

impl Channel {
    fn new() -> Self {
        Self {
            marks: watch::Sender::default(),
            messages: broadcast::Sender::new(RING),
            dirty: Kinds::default(),
            feed: position::Position::default(),
            reading: Reading::default(),
            workers: WorkerSocket::default(),
        }
    }

    fn mark(&mut self, kinds: Kinds) {
        self.dirty |= kinds;
        self.feed.forget_snapshot();
        self.marks.send_modify(|marks| {
            marks.states += u64::from(kinds.intersects(Kinds::STATES));
            marks.logs += u64::from(kinds.intersects(Kinds::LOGS));
        });
    }
}
