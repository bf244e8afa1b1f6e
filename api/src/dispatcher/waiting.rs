//! The wants that wait, by queue, and which of them the next statement shall try.
//!
//! Wants of one queue with the same labels and longest run form one want of the statement: its slots are dealt in turn, one job a
//! worker, then a second one a worker, …, so that work spreads. Other wants of the queue have their turn in the next statement.
//! Wants that got nothing beside others with more or less room than theirs are tried again among their like.

use std::collections::{HashMap, HashSet, VecDeque};

use protocol::Qid;
use sql::{ClaimedRow, Slot, Want};

use super::WorkerWant;

#[derive(Debug)]
struct Entry {
    want: WorkerWant,
    /// How a statement has looked for it since the queue was last marked.
    tried: Tried,
}

/// Slots are dealt in turn, so a job may fall to a worker without room for it while another of the same statement has room.
/// Whoever was tried in such company and got nothing is tried once more among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    No,
    InMixedCompany,
    Yes,
}

impl Entry {
    fn answer_empty(self) {
        // An asker that went away needs no answer.
        let _ = self.want.reply.send(Vec::new());
    }
}

/// One statement's worth of wants, and the askers behind them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) wants: Vec<Want>,
    entries: HashMap<Qid, Vec<Entry>>,
}

/// Wants by queue. A queue under way in a statement keeps its other wants here and is not started again.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queues: HashMap<Qid, Vec<Entry>>,
    /// Queues to look at, in order; `is_marked` says the same without order.
    marked: VecDeque<Qid>,
    is_marked: HashSet<Qid>,
    in_flight: HashSet<Qid>,
}

impl Waiting {
    /// A new want. A worker's older want in the same queue is answered empty: the worker asked anew.
    pub(super) fn add(&mut self, want: WorkerWant) {
        let qid = want.qid;
        let entries = self.queues.entry(qid).or_default();
        let (kept, replaced) = entries.drain(..).partition(|entry| entry.want.worker.id != want.worker.id);
        *entries = kept;
        replaced.into_iter().for_each(Entry::answer_empty);
        entries.push(Entry { want, tried: Tried::No });
        self.enlist(qid);
    }

    /// Something may wait in the queue: its wants are to be tried again.
    pub(super) fn mark(&mut self, qid: Qid) {
        if let Some(entries) = self.queues.get_mut(&qid) {
            entries.iter_mut().for_each(|entry| entry.tried = Tried::No);
            self.enlist(qid);
        } else if self.in_flight.contains(&qid) {
            self.enlist(qid);
        }
    }

    /// The same for every queue: the poll that makes lost hints good.
    pub(super) fn mark_all(&mut self) {
        self.queues.retain(|_, entries| {
            entries.retain(|entry| !entry.want.reply.is_closed());
            !entries.is_empty()
        });
        let all: Vec<Qid> = self.queues.keys().copied().collect();
        all.into_iter().for_each(|qid| self.mark(qid));
    }

    /// Wants that wait for a job.
    pub(super) fn n_wants(&self) -> usize {
        self.queues.values().map(Vec::len).sum()
    }

    fn enlist(&mut self, qid: Qid) {
        if self.is_marked.insert(qid) {
            self.marked.push_back(qid);
        }
    }

    /// The next statement's wants: one a queue, up to about `slots_max` slots. `None` when there is nothing to try.
    pub(super) fn next_batch(&mut self, slots_max: usize) -> Option<Batch> {
        let mut batch = Batch { wants: Vec::new(), entries: HashMap::new() };
        let mut n_slots = 0;
        for _ in 0..self.marked.len() {
            if n_slots >= slots_max {
                break;
            }
            let Some(qid) = self.marked.pop_front() else { break };
            if self.in_flight.contains(&qid) {
                self.marked.push_back(qid);
                continue;
            }
            self.is_marked.remove(&qid);
            let group = self.take_group(qid);
            if group.is_empty() {
                continue;
            }
            let want = statement_want(qid, &group, slots_max);
            n_slots += want.slots.len();
            batch.wants.push(want);
            batch.entries.insert(qid, group);
            self.in_flight.insert(qid);
        }
        (!batch.wants.is_empty()).then_some(batch)
    }

    /// The first want to be tried and all that can share a statement with it. Those never tried come first.
    fn take_group(&mut self, qid: Qid) -> Vec<Entry> {
        let Some(entries) = self.queues.get_mut(&qid) else { return Vec::new() };
        entries.retain(|entry| !entry.want.reply.is_closed());
        let of = |tried: Tried| entries.iter().find(|entry| entry.tried == tried);
        let Some(first) = of(Tried::No).or_else(|| of(Tried::InMixedCompany)) else { return Vec::new() };
        let (tried, profile, room) = (first.tried, profile_of(first), room_of(first));
        let fits = |entry: &Entry| entry.tried == tried && profile_of(entry) == profile;
        let is_alike = |entry: &Entry| tried == Tried::No || room_of(entry) == room;
        let (group, rest) = entries.drain(..).partition(|entry| fits(entry) && is_alike(entry));
        *entries = rest;
        if entries.is_empty() {
            self.queues.remove(&qid);
        }
        group
    }

    /// Gives the claimed rows to their askers; wants without a row wait on. Gives back the rows whose asker went away.
    pub(super) fn settle(
        &mut self,
        batch: Batch,
        mut rows: HashMap<(Qid, String), Vec<ClaimedRow>>,
        is_failed: bool,
    ) -> Vec<ClaimedRow> {
        let mut orphans = Vec::new();
        for (qid, entries) in batch.entries {
            self.in_flight.remove(&qid);
            let mut is_served = false;
            let is_mixed = entries.iter().any(|entry| room_of(entry) != room_of(&entries[0]));
            let tried = if is_mixed && !is_failed { Tried::InMixedCompany } else { Tried::Yes };
            for entry in entries {
                let mut mine = rows.remove(&(qid, entry.want.worker.id.as_str().to_owned())).unwrap_or_default();
                is_served |= !mine.is_empty();
                mine.sort_by_key(|row| (row.priority, row.seq));
                if mine.is_empty() && (is_failed || !entry.want.no_wait) {
                    // A newer want of the same worker may have come while this one was tried.
                    let others = self.queues.entry(qid).or_default();
                    if others.iter().any(|other| other.want.worker.id == entry.want.worker.id) {
                        entry.answer_empty();
                    } else {
                        others.push(Entry { tried, ..entry });
                    }
                } else if let Err(unwanted) = entry.want.reply.send(mine) {
                    orphans.extend(unwanted);
                }
            }
            self.look_on(qid, is_served);
        }
        orphans.extend(rows.into_values().flatten());
        orphans
    }

    /// After a statement that found something there may be more; after one that did not, others of the queue have their turn.
    fn look_on(&mut self, qid: Qid, is_served: bool) {
        let is_remarked = self.is_marked.contains(&qid);
        let Some(entries) = self.queues.get_mut(&qid) else { return };
        if entries.is_empty() {
            self.queues.remove(&qid);
            return;
        }
        if is_served || is_remarked {
            entries.iter_mut().for_each(|entry| entry.tried = Tried::No);
        }
        if entries.iter().any(|entry| entry.tried != Tried::Yes) {
            self.enlist(qid);
        }
    }
}

fn profile_of(entry: &Entry) -> (Vec<String>, std::time::Duration) {
    (entry.want.worker.labels(), entry.want.worker.max_job_duration.0)
}

/// What a worker has free, but for the number of jobs.
fn room_of(entry: &Entry) -> (f64, u32, u64) {
    let free = &entry.want.free;
    (free.cpus, free.gpus, free.memory)
}

fn statement_want(qid: Qid, group: &[Entry], slots_max: usize) -> Want {
    let (labels, max) = group.first().map(profile_of).unwrap_or_default();
    let rounds = group.iter().map(|entry| entry.want.free.jobs).max().unwrap_or(0);
    let mut slots = Vec::new();
    'deal: for round in 0..rounds {
        for entry in group.iter().filter(|entry| entry.want.free.jobs > round) {
            if slots.len() >= slots_max {
                break 'deal;
            }
            let free = &entry.want.free;
            slots.push(Slot {
                worker_id: entry.want.worker.id.as_str().to_owned(),
                cpus: free.cpus,
                gpus: i32::try_from(free.gpus).unwrap_or(i32::MAX),
                memory_bytes: i64::try_from(free.memory).unwrap_or(i64::MAX),
            });
        }
    }
    Want { qid, labels, max_seconds: i32::try_from(max.as_secs()).unwrap_or(i32::MAX), slots }
}
