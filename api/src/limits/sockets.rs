//! The open sockets, by address and by queue.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::{ErrorCode, Qid};

use super::{Count, limited};
use crate::error::ApiError;

/// How long a client should wait when every slot is taken.
const RETRY: Duration = Duration::from_secs(10);

/// Counts the open sockets of each key. A key exists only while at least one of its slots is taken.
#[derive(Debug)]
pub(super) struct SocketSlots {
    taken: Mutex<Taken>,
    per_address: Count,
    per_queue: Count,
}

#[derive(Debug, Default)]
struct Taken {
    by_address: HashMap<IpAddr, u32>,
    by_queue: HashMap<Qid, u32>,
}

/// The slot of one open socket. Dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct SocketSlot {
    slots: Arc<SocketSlots>,
    address: Option<IpAddr>,
    qid: Qid,
}

impl SocketSlots {
    pub(super) fn new(per_address: Count, per_queue: Count) -> Self {
        Self { taken: Mutex::default(), per_address, per_queue }
    }

    pub(super) fn take(self: &Arc<Self>, address: Option<IpAddr>, qid: Qid) -> Result<SocketSlot, ApiError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if address.is_some_and(|address| is_full(&taken.by_address, &address, self.per_address)) {
            return Err(limited(
                "sockets_per_address",
                ErrorCode::AddressLimit,
                RETRY,
                "this address has too many sockets open; close some",
            ));
        }
        if is_full(&taken.by_queue, &qid, self.per_queue) {
            return Err(limited(
                "sockets_per_queue",
                ErrorCode::QueueLimit,
                RETRY,
                "this queue has too many sockets open; try again later",
            ));
        }
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += 1;
        }
        *taken.by_queue.entry(qid).or_default() += 1;
        Ok(SocketSlot { slots: Arc::clone(self), address, qid })
    }
}

impl Drop for SocketSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = self.address {
            leave(&mut taken.by_address, &address);
        }
        leave(&mut taken.by_queue, &self.qid);
    }
}

fn is_full<K: Hash + Eq>(taken: &HashMap<K, u32>, key: &K, max: Count) -> bool {
    max.0 > 0 && taken.get(key).is_some_and(|n| *n >= max.0)
}

fn leave<K: Hash + Eq>(taken: &mut HashMap<K, u32>, key: &K) {
    if let Some(n) = taken.get_mut(key) {
        *n -= 1;
        if *n == 0 {
            taken.remove(key);
        }
    }
}
