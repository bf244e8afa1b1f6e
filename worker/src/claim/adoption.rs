//! Jobs that an earlier process of this worker left running.
//!
//! A container continues while its worker is away. The next process of the same data directory takes the container over if the claim
//! was kept on disk, and names the claim in its first heartbeat. The API decides whether the lease has run out: the worker stops a
//! job whose claim the API does not know any more. Everything else that a crash left is removed.

use std::sync::Arc;

use protocol::{ClaimedJob, ParsedDefinition};

use super::Session;
use super::capacity::Needs;
use super::cleanup::remove_scratch;
use super::job::{Work, work};
use crate::data_directory::{DataDirectory, KeptClaim};
use crate::engine::{Engine, Fault, Left};
use crate::error::Error;
use crate::labels::{LABEL_EPOCH, LABEL_JOB};
use crate::run::log::KeptChunk;

/// A container and the claim that it runs for.
#[derive(Debug)]
pub(crate) struct Running {
    container: String,
    kept: KeptClaim,
    log: Option<KeptChunk>,
}

impl Running {
    fn job(&self) -> ClaimedJob {
        ClaimedJob { job_id: self.kept.claim.job_id.clone(), epoch: self.kept.claim.epoch }
    }
}

/// Finds the containers that can continue and removes the others.
pub(crate) async fn sort(engine: &dyn Engine, data: &DataDirectory) -> Result<Vec<Running>, Error> {
    let refused = |fault: Fault| Error::Docker(fault.to_string());
    let mut all = Vec::new();
    for left in engine.list().await.map_err(refused)? {
        if let Some(running) = running(data, &left) {
            all.push(running);
        } else {
            tracing::warn!(container = %left.id, "removing a container of an earlier run");
            engine.remove(&left.id).await.map_err(refused)?;
        }
    }
    let jobs: Vec<_> = all.iter().map(Running::job).collect();
    for folder in data.left_scratch(&jobs) {
        remove_scratch(engine, folder).await;
    }
    Ok(all)
}

/// Returns None for a container that has not started, or whose claim or log cannot be read.
fn running(data: &DataDirectory, left: &Left) -> Option<Running> {
    let job_id = left.labels.get(LABEL_JOB)?.parse().ok()?;
    let job = ClaimedJob { job_id, epoch: left.labels.get(LABEL_EPOCH)?.parse().ok()? };
    let scratch = data.scratch(&job);
    let kept = scratch.kept_claim().ok().filter(|kept| kept.claim.job_id == job.job_id && kept.claim.epoch == job.epoch)?;
    let log = KeptChunk::read(&scratch.log()).ok()?;
    left.can_go_on.then(|| Running { container: left.id.clone(), kept, log })
}

/// Continues the jobs of these containers. Call it before the first heartbeat, because the API ends a claim that a heartbeat leaves out.
pub(super) fn take_over(sessions: &[Arc<Session>], left: Vec<Running>) {
    let Some(first) = sessions.first() else { return };
    for running in left {
        let job = running.job();
        let session = sessions.iter().find(|session| session.queue == running.kept.queue);
        let held = session.and_then(|session| Some((session, session.claims.add(job.clone())?)));
        let Some((session, held)) = held else {
            // The job has finished and its finish is in the spool, or this process does not serve its queue.
            discard(Arc::clone(first), job, running.container);
            continue;
        };
        let parsed = ParsedDefinition::parse_stored(running.kept.claim.definition.get());
        let needs = parsed.as_ref().map(Needs::from).unwrap_or_default();
        let slot = session.common.ledger.retake(needs, &running.kept.gpus);
        tracing::info!(job = %job.job_id, epoch = job.epoch, "a job of an earlier run continues");
        let claim = running.kept.claim;
        let work_left = Work { claim, parsed, slot, held, running: Some((running.container, running.log)) };
        session.common.tasks.spawn(work(Arc::clone(session), work_left));
    }
}

fn discard(session: Arc<Session>, job: ClaimedJob, container: String) {
    let tasks = session.common.tasks.clone();
    tasks.spawn(async move { session.remove(&job, Some(&container)).await });
}
