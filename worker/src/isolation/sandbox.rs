//! Networks that are made ahead of the jobs that get them.
//!
//! Most of the time that the engine takes to start a container goes into its network. A *sandbox* is a container that does nothing
//! but hold one; a job's container joins it and starts in less than half the time (243 instead of 631 ms, measured side by side on
//! a busy machine of two cores). A job finds what it finds without: its own addresses, ports and name servers, the same rules.
//!
//! Invariants: no two containers of jobs ever run in one sandbox. They are made one by one, up to [`READY_MAX`], while no container
//! starts, so that a machine which is busy with starting is not kept from it; a job that finds none gets a network of its own. A
//! sandbox that was joined goes with its container ([`Executor::remove`](crate::executor::Executor::remove)). The others go with the
//! worker, or, when it was killed, at the next start of any worker that can tell. They are made anew every [`REFRESH`]: whoever cannot
//! see a worker knows by the age of what it has that it lives.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::abandoned::{REFRESH, is_abandoned};
use crate::backoff::Backoff;
use crate::data_directory::DataDirectory;
use crate::executor::{Docker, Fault, LABEL_SANDBOX, SandboxSpec, UnusedSandbox};
use crate::owner::{Here, Lasts};

/// Sandboxes that wait for jobs. Each costs the machine a sleeping process and the engine's own beside it.
const READY_MAX: usize = 2;
/// How long nothing must have started before one is made: the jobs of one moment come together.
const QUIET: Duration = Duration::from_millis(300);
/// Between looks whether one has been idle for long.
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
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those that wait.
    ready: Vec<Ready>,
    /// Containers that are being started.
    n_starting: usize,
    is_closed: bool,
}

/// A sandbox that waits.
#[derive(Debug)]
struct Ready {
    id: String,
    made: Instant,
}

impl State {
    fn is_quiet(&self) -> bool {
        self.n_starting == 0
    }
}

impl Sandboxes {
    /// Begins to make them, for containers of a network with these name servers.
    pub(super) fn open(docker: &Docker, data: &DataDirectory, network: String, dns: Vec<String>) -> Self {
        let (data_label, mut labels) = (data.label(), data.owner_labels());
        labels.insert(LABEL_SANDBOX.to_owned(), data_label.clone());
        let spec = SandboxSpec { network, dns, labels };
        let stock = Arc::new(Stock { docker: docker.clone(), spec, data_label, state: watch::Sender::default() });
        let keeper = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&stock).keep()));
        Self { stock, keeper: Mutex::new(Some(keeper)) }
    }

    /// Announces that a container will be started, and gives it a sandbox if one is there.
    pub(super) async fn enter(&self) -> Place {
        self.stock.enter().await
    }

    /// Ends it, and removes those that no container has joined.
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
            tracing::debug!(%fault, "of what was made ahead something stays until the next start");
        }
    }
}

impl Stock {
    /// Announces that a container will be started, and gives it a sandbox if one is there.
    async fn enter(self: &Arc<Self>) -> Place {
        let mut place = Place { sandbox: None, stock: Arc::clone(self) };
        self.state.send_modify(|state| state.n_starting += 1);
        loop {
            self.state.send_modify(|state| place.sandbox = state.ready.pop());
            let Some(Ready { id, .. }) = &place.sandbox else { return place };
            // The engine may have been restarted since.
            if self.docker.is_running(id).await.unwrap_or(false) {
                return place;
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
                    tracing::debug!(%fault, "no network could be made ahead");
                    has_image = false;
                    tokio::select! {
                        () = backoff.wait() => (),
                        () = self.until(|state| state.is_closed) => (),
                    }
                }
            }
        }
    }

    /// Returns when one is to be made, or false at the end.
    async fn is_time(&self) -> bool {
        loop {
            let lack = self.until(|state| state.is_closed || (state.is_quiet() && state.ready.len() < READY_MAX));
            if tokio::time::timeout(LOOK_EVERY, lack).await.is_err() {
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

    async fn until(&self, holds: impl FnMut(&State) -> bool) {
        // The sender is this object's own.
        let _ = self.state.subscribe().wait_for(holds).await;
    }

    /// False: the engine's machine is none that the image is written for.
    async fn make(&self, has_image: bool) -> Result<bool, Fault> {
        if !has_image && !self.docker.ensure_sandbox_image().await? {
            tracing::debug!("no networks are made ahead on such a machine");
            return Ok(false);
        }
        let id = self.docker.open_sandbox(&self.spec).await?;
        self.state.send_modify(|state| state.ready.push(Ready { id, made: Instant::now() }));
        Ok(true)
    }

    /// What is idle for long is made anew.
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
            tracing::debug!(%fault, "a network that was made ahead stays until the next start");
        }
    }
}

/// Where a container is about to start. Held until it has.
#[derive(Debug)]
pub(crate) struct Place {
    sandbox: Option<Ready>,
    stock: Arc<Stock>,
}

impl Place {
    /// The sandbox to join, if there is one.
    pub(crate) fn sandbox(&self) -> Option<&str> {
        self.sandbox.as_ref().map(|ready| ready.id.as_str())
    }

    /// A container is there which has joined: from now on the sandbox is its own.
    pub(crate) fn settle(&mut self) {
        self.sandbox = None;
    }
}

impl Drop for Place {
    /// A sandbox in which nothing was ever started is as good as new.
    fn drop(&mut self) {
        self.stock.state.send_modify(|state| {
            state.n_starting -= 1;
            state.ready.extend(self.sandbox.take());
        });
    }
}

/// Removes what workers that were killed made ahead: this data directory's, and those of workers that are no more.
pub(super) async fn sweep(docker: &Docker, data: &DataDirectory) -> Result<(), Fault> {
    let (own, here) = (data.label(), Here::look());
    let is_abandoned =
        |one: &UnusedSandbox| is_abandoned(one.owner.as_deref(), Lasts::WithItsProcess, one.created, here.as_ref());
    remove_unused(docker, |sandbox| sandbox.data_label == own || is_abandoned(sandbox)).await
}

/// Of another worker's, what cannot be removed is left to the next start.
async fn remove_unused(docker: &Docker, is_asked: impl Fn(&UnusedSandbox) -> bool) -> Result<(), Fault> {
    for sandbox in docker.unused_sandboxes().await?.iter().filter(|sandbox| is_asked(sandbox)) {
        if let Err(fault) = docker.remove_one(&sandbox.id).await {
            tracing::warn!(%fault, "a network that was made ahead stays until the next start");
        }
    }
    Ok(())
}
