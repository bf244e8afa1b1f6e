//! Jobs that an earlier process of this worker left running.
//!
//! A container goes on while its worker is away. The next process of the same data directory takes it over when the claim is kept
//! beside it, and names the claim in its first heartbeat; whether the lease still held is the API's to say, and a claim it does not
//! know any more is dropped like any lost one. Everything else that a crash left is removed.

use std::sync::Arc;

use protocol::{HeldJob, ParsedDefinition};

use super::Session;
use super::job::{Work, work};
use super::machine::Machine;
use super::remains::remove_scratch;
use crate::capacity::Needs;
use crate::data_directory::{DataDirectory, KeptClaim};
use crate::error::Error;
use crate::executor::{Fault, LABEL_EPOCH, LABEL_JOB, Left};
use crate::log::Kept;

/// A container and the claim that it runs for.
#[derive(Debug)]
pub(super) struct Running {
    container: String,
    kept: KeptClaim,
    log: Option<Kept>,
}

impl Running {
    fn job(&self) -> HeldJob {
        HeldJob { job_id: self.kept.claim.job_id.clone(), epoch: self.kept.claim.epoch }
    }
}

/// Finds what can go on and removes the rest.
pub(super) async fn sort(machine: &Machine, data: &DataDirectory) -> Result<Vec<Running>, Error> {
    let executor = &*machine.executor;
    let refused = |fault: Fault| Error::Docker(fault.to_string());
    let mut all = Vec::new();
    for left in executor.list(&data.label()).await.map_err(refused)? {
        if let Some(running) = running(data, &left) {
            all.push(running);
        } else {
            tracing::warn!(container = %left.id, "container of an earlier run is removed");
            executor.remove(&left.id).await.map_err(refused)?;
        }
    }
    let jobs: Vec<_> = all.iter().map(Running::job).collect();
    let docker = machine.docker();
    for folder in data.left_scratch(&jobs) {
        remove_scratch(docker.as_ref(), folder, &data.label()).await;
    }
    Ok(all)
}

/// None: it has not started, or its claim or log cannot be read.
fn running(data: &DataDirectory, left: &Left) -> Option<Running> {
    let job_id = left.labels.get(LABEL_JOB)?.parse().ok()?;
    let job = HeldJob { job_id, epoch: left.labels.get(LABEL_EPOCH)?.parse().ok()? };
    let scratch = data.scratch(&job);
    let kept = scratch.kept_claim().ok().filter(|kept| kept.claim.job_id == job.job_id && kept.claim.epoch == job.epoch)?;
    let log = Kept::read(&scratch.log()).ok()?;
    left.can_go_on.then(|| Running { container: left.id.clone(), kept, log })
}

/// Goes on with what was left running. Before the first heartbeat: one that leaves a claim out gives it up.
pub(super) fn take_over(sessions: &[Arc<Session>], left: Vec<Running>) {
    let Some(first) = sessions.first() else { return };
    for running in left {
        let job = running.job();
        let session = sessions.iter().find(|session| session.queue == running.kept.queue);
        let held = session.and_then(|session| Some((session, session.holds.enter(job.clone())?)));
        let Some((session, hold)) = held else {
            // It had finished, and its finish is on the way; or its queue is served no more.
            discard(Arc::clone(first), job, running.container);
            continue;
        };
        let parsed = ParsedDefinition::parse_stored(running.kept.claim.definition.get());
        let needs = parsed.as_ref().map(Needs::from).unwrap_or_default();
        let slot = session.ledger.retake(needs, &running.kept.gpus);
        tracing::info!(job = %job.job_id, epoch = job.epoch, "job of an earlier run goes on");
        let claim = running.kept.claim;
        let going_on = Work { claim, parsed, slot, hold, running: Some((running.container, running.log)) };
        session.tasks.spawn(work(Arc::clone(session), going_on));
    }
}

fn discard(session: Arc<Session>, job: HeldJob, container: String) {
    let tasks = session.tasks.clone();
    tasks.spawn(async move { session.clean_up(&job, Some(&container)).await });
}
