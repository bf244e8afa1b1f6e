//! Sees that the engine answers and can run jobs: while it does not, no jobs are asked for.

use std::sync::Arc;
use std::time::Duration;

use super::Common;
use crate::backoff::Backoff;
use crate::executor::Fault;
use crate::status::Obstacle;

/// Time between looks. A job that is given in the meantime is released, which costs it nothing but the way.
const EVERY: Duration = Duration::from_secs(2);

/// Time between two trials of a container that this machine could not start.
const TRIAL_PAUSE: Duration = Duration::from_secs(5);
const TRIAL_PAUSE_MAX: Duration = Duration::from_mins(1);

/// Looks for ever; the caller aborts it.
pub(super) async fn watch(common: Arc<Common>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if common.host.executor.ping().await.is_err() {
            // No claim goes out before it is looked at.
            common.is_engine_there.send_if_modified(|is_there| std::mem::replace(is_there, false));
            until_there(&common).await;
        }
    }
}

/// Returns when a container starts that could not, though it asked for no more than this worker offers. At once where there is none.
pub(super) async fn until_it_runs(common: &Common) {
    let Some(trial) = common.host.take_failed_trial() else { return };
    let mut pause = TRIAL_PAUSE;
    loop {
        match common.host.try_out(&trial).await {
            // Its image has gone: the next job tells.
            Ok(()) | Err(Fault::Refused { status: 404, .. }) => break,
            Err(fault) => {
                let sentence =
                    format!("Docker cannot run a container with what this worker offers ({fault}); see `asman doctor`");
                common.api.status.blocked(Obstacle::Machine, 0, &sentence);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(TRIAL_PAUSE_MAX);
    }
    common.api.status.cleared(Obstacle::Machine, 0);
}

/// Returns when the engine answers and can run jobs, and says so to those who wait.
pub(super) async fn until_there(common: &Common) {
    let mut backoff = Backoff::new();
    while let Err(sentence) = look(common).await {
        common.api.status.blocked(Obstacle::Engine, 0, &sentence);
        common.is_engine_there.send_if_modified(|is_there| std::mem::replace(is_there, false));
        backoff.wait().await;
    }
    common.api.status.cleared(Obstacle::Engine, 0);
    common.is_engine_there.send_if_modified(|is_there| !std::mem::replace(is_there, true));
}

/// What answers after a while need not be what was there before, and what failed a job may fail the next.
async fn look(common: &Common) -> Result<(), String> {
    let executor = &common.host.executor;
    executor.ping().await.map_err(|fault| format!("Docker does not answer ({fault}); see `asman doctor`"))?;
    match &common.host.containers {
        Some(containers) => containers.isolation.prove(&common.data).await,
        None => Ok(()),
    }
}
