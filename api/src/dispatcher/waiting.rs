//! The waiting claim requests, by queue, and the choice of those that the next statement tries.
//!
//! Requests of one queue with the same labels and longest run form one [`ClaimGroup`] of the statement. Its slots are dealt in turn: one
//! job for each worker, then a second one, and so on, so that work spreads. Other requests of the queue have their turn in the next
//! statement. If a request got nothing while others of its group had a different capacity, it is tried again in a group of equal
//! capacity.

use std::collections::{HashMap, HashSet, VecDeque};

use protocol::Qid;
use sql::{ClaimGroup, ClaimedRow, Slot};

use super::WaitingRequest;

#[derive(Debug)]
struct Waiter {
    request: WaitingRequest,
    /// How it was tried since the queue was last marked.
    tried: Tried,
}

/// Slots are dealt in turn, so a job may fall to a worker that is too small while another worker of the same statement is large
/// enough. A request that was tried in such a group and got nothing is tried once more in a group of equal capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    No,
    InMixedGroup,
    Yes,
}

impl Waiter {
    fn answer_empty(self) {
        // A client that went away needs no answer.
        let _ = self.request.reply.send(Vec::new());
    }
}

/// The groups of one statement, and the waiting requests behind them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) groups: Vec<ClaimGroup>,
    waiters: HashMap<Qid, Vec<Waiter>>,
}

/// Requests by queue. While a statement works on a queue, the queue's other requests stay here and no second statement starts
/// for the queue.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queues: HashMap<Qid, Vec<Waiter>>,
    /// Queues whose requests must be tried, in order. `is_marked` contains the same queues as a set.
    marked: VecDeque<Qid>,
    is_marked: HashSet<Qid>,
    in_flight: HashSet<Qid>,
}

impl Waiting {
    /// Adds a new request. The worker's older request in the same queue is answered without jobs, because the worker asked again.
    pub(super) fn add(&mut self, request: WaitingRequest) {
        let qid = request.qid;
        let waiters = self.queues.entry(qid).or_default();
        let (kept, replaced) = waiters.drain(..).partition(|waiter| waiter.request.worker.id != request.worker.id);
        *waiters = kept;
        replaced.into_iter().for_each(Waiter::answer_empty);
        waiters.push(Waiter { request, tried: Tried::No });
        self.enlist(qid);
    }

    /// Marks a queue in which a job may wait: its requests must be tried again.
    pub(super) fn mark(&mut self, qid: Qid) {
        if let Some(waiters) = self.queues.get_mut(&qid) {
            waiters.iter_mut().for_each(|waiter| waiter.tried = Tried::No);
            self.enlist(qid);
        } else if self.in_flight.contains(&qid) {
            self.enlist(qid);
        }
    }

    /// Marks every queue, because hints may have been lost.
    pub(super) fn mark_all(&mut self) {
        self.queues.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.request.reply.is_closed());
            !waiters.is_empty()
        });
        let all: Vec<Qid> = self.queues.keys().copied().collect();
        all.into_iter().for_each(|qid| self.mark(qid));
    }

    /// The number of requests that wait for a job.
    pub(super) fn n_requests(&self) -> usize {
        self.queues.values().map(Vec::len).sum()
    }

    fn enlist(&mut self, qid: Qid) {
        if self.is_marked.insert(qid) {
            self.marked.push_back(qid);
        }
    }

    /// The groups of the next statement: one for each queue, with about `slots_max` slots at most. `None` when there is nothing to
    /// try.
    pub(super) fn next_batch(&mut self, slots_max: usize) -> Option<Batch> {
        let mut batch = Batch { groups: Vec::new(), waiters: HashMap::new() };
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
            let waiters = self.take_group(qid);
            if waiters.is_empty() {
                continue;
            }
            let group = claim_group(qid, &waiters, slots_max);
            n_slots += group.slots.len();
            batch.groups.push(group);
            batch.waiters.insert(qid, waiters);
            self.in_flight.insert(qid);
        }
        (!batch.groups.is_empty()).then_some(batch)
    }

    /// The first request to be tried and all requests that can share a group with it. Requests that were never tried come first.
    fn take_group(&mut self, qid: Qid) -> Vec<Waiter> {
        let Some(waiters) = self.queues.get_mut(&qid) else { return Vec::new() };
        waiters.retain(|waiter| !waiter.request.reply.is_closed());
        let of = |tried: Tried| waiters.iter().find(|waiter| waiter.tried == tried);
        let Some(first) = of(Tried::No).or_else(|| of(Tried::InMixedGroup)) else { return Vec::new() };
        let (tried, profile, room) = (first.tried, profile_of(first), room_of(first));
        let fits = |waiter: &Waiter| waiter.tried == tried && profile_of(waiter) == profile;
        let is_alike = |waiter: &Waiter| tried == Tried::No || room_of(waiter) == room;
        let (group, rest) = waiters.drain(..).partition(|waiter| fits(waiter) && is_alike(waiter));
        *waiters = rest;
        if waiters.is_empty() {
            self.queues.remove(&qid);
        }
        group
    }

    /// Sends the claimed rows to their waiting requests. Requests without a row continue to wait. Returns the rows whose client went
    /// away.
    pub(super) fn resolve(
        &mut self,
        batch: Batch,
        mut rows: HashMap<(Qid, String), Vec<ClaimedRow>>,
        is_failed: bool,
    ) -> Vec<ClaimedRow> {
        let mut orphans = Vec::new();
        for (qid, waiters) in batch.waiters {
            self.in_flight.remove(&qid);
            let mut is_served = false;
            let is_mixed = waiters.iter().any(|waiter| room_of(waiter) != room_of(&waiters[0]));
            let tried = if is_mixed && !is_failed { Tried::InMixedGroup } else { Tried::Yes };
            for waiter in waiters {
                let mut mine = rows.remove(&(qid, waiter.request.worker.id.as_str().to_owned())).unwrap_or_default();
                is_served |= !mine.is_empty();
                mine.sort_by_key(|row| (row.priority, row.seq));
                if mine.is_empty() && (is_failed || !waiter.request.no_wait) {
                    // A newer request of the same worker may have arrived while this one was tried.
                    let others = self.queues.entry(qid).or_default();
                    if others.iter().any(|other| other.request.worker.id == waiter.request.worker.id) {
                        waiter.answer_empty();
                    } else {
                        others.push(Waiter { tried, ..waiter });
                    }
                } else if let Err(unwanted) = waiter.request.reply.send(mine) {
                    orphans.extend(unwanted);
                }
            }
            self.look_on(qid, is_served);
        }
        orphans.extend(rows.into_values().flatten());
        orphans
    }

    /// Marks the queue again if a request is left to try. After a statement that found jobs, there may be more. After one that
    /// found nothing, other requests of the queue have their turn.
    fn look_on(&mut self, qid: Qid, is_served: bool) {
        let is_remarked = self.is_marked.contains(&qid);
        let Some(waiters) = self.queues.get_mut(&qid) else { return };
        if waiters.is_empty() {
            self.queues.remove(&qid);
            return;
        }
        if is_served || is_remarked {
            waiters.iter_mut().for_each(|waiter| waiter.tried = Tried::No);
        }
        if waiters.iter().any(|waiter| waiter.tried != Tried::Yes) {
            self.enlist(qid);
        }
    }
}

fn profile_of(waiter: &Waiter) -> (Vec<String>, std::time::Duration) {
    (waiter.request.worker.labels(), waiter.request.worker.max_job_duration.0)
}

/// The free capacity of a worker, without the number of jobs.
fn room_of(waiter: &Waiter) -> (f64, u32, u64) {
    let free = &waiter.request.free;
    (free.cpus, free.gpus, free.memory)
}

fn claim_group(qid: Qid, group: &[Waiter], slots_max: usize) -> ClaimGroup {
    let (labels, max) = group.first().map(profile_of).unwrap_or_default();
    let rounds = group.iter().map(|waiter| waiter.request.free.jobs).max().unwrap_or(0);
    let mut slots = Vec::new();
    'deal: for round in 0..rounds {
        for waiter in group.iter().filter(|waiter| waiter.request.free.jobs > round) {
            if slots.len() >= slots_max {
                break 'deal;
            }
            let free = &waiter.request.free;
            slots.push(Slot {
                worker_id: waiter.request.worker.id.as_str().to_owned(),
                cpus: free.cpus,
                gpus: i32::try_from(free.gpus).unwrap_or(i32::MAX),
                memory_bytes: i64::try_from(free.memory).unwrap_or(i64::MAX),
            });
        }
    }
    ClaimGroup { qid, labels, max_seconds: i32::try_from(max.as_secs()).unwrap_or(i32::MAX), slots }
}
