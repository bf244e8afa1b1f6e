//! Sockets that are open now, by address and by queue.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::{ErrorCode, Qid};

use super::{Count, limited};
use crate::error::ApiError;

/// When to try again where every place is taken.
const RETRY: Duration = Duration::from_secs(10);

/// Places for sockets. A key is there only while somebody holds a place of it.
#[derive(Debug)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    per_address: Count,
    per_queue: Count,
}

#[derive(Debug, Default)]
struct Taken {
    by_address: HashMap<IpAddr, u32>,
    by_queue: HashMap<Qid, u32>,
}

/// A socket's place, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
    qid: Qid,
}

impl Places {
    pub(super) fn new(per_address: Count, per_queue: Count) -> Self {
        Self { taken: Mutex::default(), per_address, per_queue }
    }

    pub(super) fn take(self: &Arc<Self>, address: Option<IpAddr>, qid: Qid) -> Result<Place, ApiError> {
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
        Ok(Place { places: Arc::clone(self), address, qid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
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
