//! Limits of one address, one queue and one socket, so that a public server withstands its users.
//!
//! Comes in: a caller ([`Caller`]) and what it wants. Goes out: a 429 with `Retry-After`, or nothing.
//! `asman_limited_total{limit}` counts every refusal. Each process counts for itself: two processes behind one address allow
//! twice as much. The operator's own machine (loopback) is not counted by address. Limits on queues and sockets still apply to
//! it, because a proxy on the same machine may forward for others without saying so.

mod buckets;
mod depth;
mod rate;
mod sockets;

use std::sync::Arc;

use protocol::{ErrorCode, Qid};

use crate::access::Caller;
use crate::app::App;
use crate::error::ApiError;
use buckets::Buckets;
use depth::Depths;
pub use rate::{Count, Idle, Rate};
pub(crate) use rate::{MessageBucket, Passage};
pub(crate) use sockets::SocketSlot;
use sockets::SocketSlots;

/// Limits of one process. `0` or `off` means none.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Limits (each: 0 or off for none)")]
pub struct Limits {
    /// Number of proxies in front of this process that add to X-Forwarded-For. The client's address is that many entries from the
    /// right. 0: the address of the connection. Set it behind any proxy: otherwise the clients of a proxy on this machine may all
    /// count as loopback, which limits by address ignore.
    #[arg(long, env = "ASMAN_TRUSTED_PROXIES", default_value_t = 0)]
    pub trusted_proxies: u8,
    /// Submissions and cancels from one address (one /64 of IPv6).
    #[arg(long = "limit-submits-per-address", env = "ASMAN_LIMIT_SUBMITS_PER_ADDRESS", default_value_t = Self::DEFAULT.submits_per_address)]
    pub submits_per_address: Rate,
    /// Submissions and cancels to one queue.
    #[arg(long = "limit-submits-per-queue", env = "ASMAN_LIMIT_SUBMITS_PER_QUEUE", default_value_t = Self::DEFAULT.submits_per_queue)]
    pub submits_per_queue: Rate,
    /// Uploads to /f from one address.
    #[arg(long = "limit-uploads-per-address", env = "ASMAN_LIMIT_UPLOADS_PER_ADDRESS", default_value_t = Self::DEFAULT.uploads_per_address)]
    pub uploads_per_address: Rate,
    /// Sockets opened from one address.
    #[arg(long = "limit-connects-per-address", env = "ASMAN_LIMIT_CONNECTS_PER_ADDRESS", default_value_t = Self::DEFAULT.connects_per_address)]
    pub connects_per_address: Rate,
    /// Sockets open at the same time from one address.
    #[arg(long = "limit-sockets-per-address", env = "ASMAN_LIMIT_SOCKETS_PER_ADDRESS", default_value_t = Self::DEFAULT.sockets_per_address)]
    pub sockets_per_address: Count,
    /// Sockets open at the same time on one queue.
    #[arg(long = "limit-sockets-per-queue", env = "ASMAN_LIMIT_SOCKETS_PER_QUEUE", default_value_t = Self::DEFAULT.sockets_per_queue)]
    pub sockets_per_queue: Count,
    /// Messages of one socket. Further messages are ignored. A socket that keeps exceeding the limit is closed.
    #[arg(long = "limit-messages-per-socket", env = "ASMAN_LIMIT_MESSAGES_PER_SOCKET", default_value_t = Self::DEFAULT.messages_per_socket)]
    pub messages_per_socket: Rate,
    /// A socket that sends nothing and answers no ping for this long is closed.
    #[arg(long = "limit-socket-idle", env = "ASMAN_LIMIT_SOCKET_IDLE", default_value_t = Self::DEFAULT.socket_idle)]
    pub socket_idle: Idle,
    /// Jobs that may wait in one queue whose policy has no limit. They are counted every two seconds, so a burst may exceed it.
    #[arg(long = "limit-queue-depth", env = "ASMAN_LIMIT_QUEUE_DEPTH", default_value_t = Self::DEFAULT.queue_depth)]
    pub queue_depth: Count,
}

impl Limits {
    /// Defaults that protect a public server and still suit a busy laboratory behind one address.
    const DEFAULT: Self = Self {
        trusted_proxies: 0,
        submits_per_address: Rate::per_minute(1_200),
        submits_per_queue: Rate::per_minute(6_000),
        uploads_per_address: Rate::per_minute(600),
        connects_per_address: Rate::per_minute(240),
        sockets_per_address: Count(200),
        sockets_per_queue: Count(5_000),
        messages_per_socket: Rate::per_minute(6_000),
        socket_idle: Idle(std::time::Duration::from_secs(90)),
        queue_depth: Count(100_000),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The counters behind [`Limits`].
#[derive(Debug)]
pub(crate) struct Meters {
    submits_by_address: Buckets<std::net::IpAddr>,
    submits_by_queue: Buckets<Qid>,
    uploads: Buckets<std::net::IpAddr>,
    connects: Buckets<std::net::IpAddr>,
    slots: Arc<SocketSlots>,
    depths: Depths,
}

impl Meters {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            submits_by_address: Buckets::new("submits_per_address", ErrorCode::AddressLimit, limits.submits_per_address),
            submits_by_queue: Buckets::new("submits_per_queue", ErrorCode::QueueLimit, limits.submits_per_queue),
            uploads: Buckets::new("uploads_per_address", ErrorCode::AddressLimit, limits.uploads_per_address),
            connects: Buckets::new("connects_per_address", ErrorCode::AddressLimit, limits.connects_per_address),
            slots: Arc::new(SocketSlots::new(limits.sockets_per_address, limits.sockets_per_queue)),
            depths: Depths::new(limits.queue_depth),
        }
    }

    /// Counts one submission or cancel.
    pub(crate) fn submit(&self, caller: &Caller, qid: Qid) -> Result<(), ApiError> {
        if let Some(address) = caller.address {
            self.submits_by_address.take(&address, "this address sends too many requests; slow down")?;
        }
        self.submits_by_queue.take(&qid, "this queue gets too many requests; try again later")
    }

    /// Counts one upload.
    pub(crate) fn upload(&self, caller: &Caller) -> Result<(), ApiError> {
        let Some(address) = caller.address else { return Ok(()) };
        self.uploads.take(&address, "this address uploads too many files; slow down")
    }

    /// Counts one more socket, which is open for as long as the caller keeps the slot.
    pub(crate) fn connect(&self, caller: &Caller, qid: Qid) -> Result<SocketSlot, ApiError> {
        if let Some(address) = caller.address {
            self.connects.take(&address, "this address opens sockets too fast; slow down")?;
        }
        self.slots.take(caller.address, qid)
    }

    /// Takes the slot of a socket for a call that follows a job. The call keeps the slot for as long as it lasts.
    pub(crate) fn follow(&self, caller: &Caller, qid: Qid) -> Result<SocketSlot, ApiError> {
        self.slots.take(caller.address, qid)
    }
}

impl App {
    /// Refuses a new job when too many jobs wait. A job that the queue already has is accepted: sending it again is harmless.
    pub(crate) async fn check_depth(&self, qid: Qid, job_id: &str) -> Result<(), ApiError> {
        if !self.meters.depths.is_full(&self.db, qid).await? {
            return Ok(());
        }
        let id = self.db.row_id(qid, job_id).await?;
        if self.db.get_job(qid, &id).await?.is_none() {
            return Err(limited("queue_depth", ErrorCode::QueueFull, FULL_RETRY, QUEUE_FULL));
        }
        Ok(())
    }
}

/// When to check again whether a full queue has room.
pub(crate) const FULL_RETRY: std::time::Duration = std::time::Duration::from_secs(10);
/// The sentence for the server's limit and for the limit of the queue's policy.
pub(crate) const QUEUE_FULL: &str = "the queue is full; submit the job again when some of its waiting jobs have been claimed";

/// Counts a refusal and returns it.
pub(crate) fn limited(
    limit: &'static str,
    code: ErrorCode,
    retry_after: std::time::Duration,
    sentence: &'static str,
) -> ApiError {
    metrics::counter!("asman_limited_total", "limit" => limit).increment(1);
    ApiError::TooMany { code, sentence, retry_after }
}
