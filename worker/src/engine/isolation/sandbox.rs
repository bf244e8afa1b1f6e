//! Sandboxes: networks that the worker prepares before jobs need them.
//!
//! To start a container, the engine spends most of its time on the network. A *sandbox* is a container that only keeps a network ready. A
//! job's container joins it and starts in less than half the time (243 instead of 631 ms, measured side by side on a busy machine of two
//! cores). The job has the same things as without a sandbox: its own addresses, ports and name servers, and the same rules.
//!
//! Invariants: two containers of jobs never run in one sandbox. The worker makes sandboxes one by one, up to [`READY_MAX`], and only while
//! no container starts, so that it does not slow down starts. A job that finds no sandbox gets a network of its own. A sandbox that a
//! container has joined is removed with that container ([`Runs::remove`](crate::engine::Runs::remove)). The worker removes the
//! others at its end. If the worker was killed, the next start of a worker that can see this removes them. Sandboxes are replaced every
//! [`REFRESH`], so that other workers can see from their age that their worker is alive.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::abandoned::{REFRESH, is_abandoned};
use crate::backoff::Backoff;
use crate::data_directory::DataDirectory;
use crate::engine::{Docker, Fault, SandboxSpec, UnusedSandbox};
use crate::labels::LABEL_SANDBOX;
use crate::owner::{Here, Lasts};

/// Most sandboxes that wait for jobs. Each costs the machine a sleeping process and a process of the engine.
const READY_MAX: usize = 2;
/// The worker makes a sandbox only after no container has started for this long, because jobs often come together.
const QUIET: Duration = Duration::from_millis(300);
/// Time between checks for old sandboxes.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// The sandboxes of one worker.
#[derive(Debug)]
pub(super) struct Sandboxes {
    stock: Arc<Stock>,
    keeper: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug)]
struct Stock {
    docker: Docker,
    spec: SandboxSpec,
    data_label: String,
    state: watch::Sender<StockState>,
}

#[derive(Debug, Default)]
struct StockState {
    /// Sandboxes that wait for jobs.
    ready: Vec<Ready>,
    /// Number of containers that are being started.
    n_starting: usize,
    is_closed: bool,
}

/// A sandbox that waits for a job.
#[derive(Debug)]
struct Ready {
    id: String,
    made: Instant,
}

impl StockState {
    fn is_quiet(&self) -> bool {
        self.n_starting == 0
    }
}

impl Sandboxes {
    /// Starts to make sandboxes, for containers of a network with these name servers.
    pub(super) fn open(docker: &Docker, data: &DataDirectory, network: String, dns: Vec<String>) -> Self {
        let (data_label, mut labels) = (data.label(), data.owner_labels());
        labels.insert(LABEL_SANDBOX.to_owned(), data_label.clone());
        let spec = SandboxSpec { network, dns, labels };
        let stock = Arc::new(Stock { docker: docker.clone(), spec, data_label, state: watch::Sender::default() });
        let keeper = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&stock).keep()));
        Self { stock, keeper: Mutex::new(Some(keeper)) }
    }

    /// Announces that a container will be started, and gives it a sandbox if one is ready.
    pub(super) async fn begin_start(&self) -> PendingStart {
        self.stock.begin_start().await
    }

    /// Stops making sandboxes, and removes those that no container has joined.
    pub(super) async fn close(&self) {
        self.stock.state.send_modify(|state| state.is_closed = true);
        if let Some(keeper) = self.keeper.lock().await.take() {
            // Joining fails only when the runtime ends.
            let _ = keeper.await;
        }
        let is_own = |sandbox: &UnusedSandbox| sandbox.data_label == self.stock.data_label;
        let docker = &self.stock.docker;
        let removed = remove_unused(docker, is_own).await;
        if let Err(fault) = removed.and(docker.remove_sandbox_image().await) {
            tracing::debug!(%fault, "cannot remove all sandboxes; the next start of this worker removes them");
        }
    }
}

impl Stock {
    /// Announces that a container will be started, and gives it a sandbox if one is ready.
    async fn begin_start(self: &Arc<Self>) -> PendingStart {
        let mut start = PendingStart { sandbox: None, stock: Arc::clone(self) };
        self.state.send_modify(|state| state.n_starting += 1);
        loop {
            self.state.send_modify(|state| start.sandbox = state.ready.pop());
            let Some(Ready { id, .. }) = &start.sandbox else { return start };
            // The engine may have been restarted since then, which stops its sandboxes.
            if self.docker.is_running(id).await.unwrap_or(false) {
                return start;
            }
            self.discard(id).await;
        }
    }

    async fn keep(self: Arc<Self>) {
        let mut backoff = Backoff::new();
        let mut has_image = false;
        while self.is_time().await {
            match self.make(has_image).await {
                Ok(true) => (has_image, backoff) = (true, Backoff::new()),
                Ok(false) => return,
                Err(fault) => {
                    tracing::debug!(%fault, "cannot make a sandbox");
                    has_image = false;
                    tokio::select! {
                        () = backoff.wait() => (),
                        () = self.until(|state| state.is_closed) => (),
                    }
                }
            }
        }
    }

    /// Returns true when it is time to make a sandbox, and false at the end.
    async fn is_time(&self) -> bool {
        loop {
            let room = self.until(|state| state.is_closed || (state.is_quiet() && state.ready.len() < READY_MAX));
            if tokio::time::timeout(LOOK_EVERY, room).await.is_err() {
                self.discard_old().await;
                continue;
            }
            let noise = self.until(|state| state.is_closed || !state.is_quiet());
            if tokio::time::timeout(QUIET, noise).await.is_err() {
                return true;
            }
            if self.state.borrow().is_closed {
                return false;
            }
        }
    }

    async fn until(&self, is_met: impl FnMut(&StockState) -> bool) {
        // This never fails, because this object has the sender.
        let _ = self.state.subscribe().wait_for(is_met).await;
    }

    /// Makes a sandbox. Returns false when there is no program for the engine's machine.
    async fn make(&self, has_image: bool) -> Result<bool, Fault> {
        if !has_image && !self.docker.ensure_sandbox_image().await? {
            tracing::debug!("the worker has no sandbox program for this architecture, so it makes no sandboxes");
            return Ok(false);
        }
        let id = self.docker.open_sandbox(&self.spec).await?;
        self.state.send_modify(|state| state.ready.push(Ready { id, made: Instant::now() }));
        Ok(true)
    }

    /// Removes sandboxes that have been idle for long, so that new ones replace them.
    async fn discard_old(&self) {
        let mut old = Vec::new();
        self.state.send_modify(|state| {
            let is_old = |ready: &mut Ready| ready.made.elapsed() > REFRESH;
            old = state.ready.extract_if(.., is_old).collect();
        });
        for Ready { id, .. } in old {
            self.discard(&id).await;
        }
    }

    async fn discard(&self, id: &str) {
        if let Err(fault) = self.docker.remove_one(id).await {
            tracing::debug!(%fault, "cannot remove a sandbox; the next start of this worker removes it");
        }
    }
}

/// A container that is about to start. Keep it until the container has started.
#[derive(Debug)]
pub(crate) struct PendingStart {
    sandbox: Option<Ready>,
    stock: Arc<Stock>,
}

impl PendingStart {
    /// The sandbox to join, if there is one.
    pub(crate) fn sandbox(&self) -> Option<&str> {
        self.sandbox.as_ref().map(|ready| ready.id.as_str())
    }

    /// A container has joined the sandbox, so the sandbox now belongs to the container.
    pub(crate) fn joined(&mut self) {
        self.sandbox = None;
    }
}

impl Drop for PendingStart {
    /// Makes the sandbox available again if no container has joined it.
    fn drop(&mut self) {
        self.stock.state.send_modify(|state| {
            state.n_starting -= 1;
            state.ready.extend(self.sandbox.take());
        });
    }
}

/// Removes the sandboxes of killed workers: those of this data directory, and those of workers that are dead.
pub(super) async fn sweep(docker: &Docker, data: &DataDirectory) -> Result<(), Fault> {
    let (own, here) = (data.label(), Here::look());
    let is_abandoned =
        |one: &UnusedSandbox| is_abandoned(one.owner.as_deref(), Lasts::WithItsProcess, one.created, here.as_ref());
    remove_unused(docker, |sandbox| sandbox.data_label == own || is_abandoned(sandbox)).await
}

/// Removes unused sandboxes. The next start tries again what could not be removed.
async fn remove_unused(docker: &Docker, is_asked: impl Fn(&UnusedSandbox) -> bool) -> Result<(), Fault> {
    for sandbox in docker.unused_sandboxes().await?.iter().filter(|sandbox| is_asked(sandbox)) {
        if let Err(fault) = docker.remove_one(&sandbox.id).await {
            tracing::warn!(%fault, "cannot remove a sandbox; the next start of this worker removes it");
        }
    }
    Ok(())
}
