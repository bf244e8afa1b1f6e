//! Checks that the engine answers and can run jobs. While it does not, the worker claims no jobs.

use std::sync::Arc;
use std::time::Duration;

use super::Common;
use crate::backoff::Backoff;
use crate::status::Obstacle;

/// Time between checks. The worker releases a job that it claims in between, without a penalty for the job.
const EVERY: Duration = Duration::from_secs(2);

/// Time between two trials of a container that this machine could not start.
const TRIAL_PAUSE: Duration = Duration::from_secs(5);
const TRIAL_PAUSE_MAX: Duration = Duration::from_mins(1);

/// Checks for ever; the caller aborts it.
pub(super) async fn watch(common: Arc<Common>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if common.host.engine.ping().await.is_err() {
            // The worker sends no claim until the engine was checked.
            common.is_engine_there.send_if_modified(|is_there| std::mem::replace(is_there, false));
            until_there(&common).await;
        }
    }
}

/// Returns when what failed for this machine's fault works again. Returns at once when nothing has failed.
pub(super) async fn until_it_runs(common: &Common) {
    let mut pause = TRIAL_PAUSE;
    while let Err(fault) = common.host.engine.try_again().await {
        let sentence = format!(
            "Docker cannot run a container with the limits and gpus that this worker offers ({fault}); see `asman doctor`"
        );
        common.api.status.blocked(Obstacle::Machine, 0, &sentence);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(TRIAL_PAUSE_MAX);
    }
    common.api.status.cleared(Obstacle::Machine, 0);
}

/// Returns when the engine answers and can run jobs, and notifies the waiting tasks.
pub(super) async fn until_there(common: &Common) {
    let mut backoff = Backoff::new();
    while let Err(sentence) = check(common).await {
        common.api.status.blocked(Obstacle::Engine, 0, &sentence);
        common.is_engine_there.send_if_modified(|is_there| std::mem::replace(is_there, false));
        backoff.wait().await;
    }
    common.api.status.cleared(Obstacle::Engine, 0);
    common.is_engine_there.send_if_modified(|is_there| !std::mem::replace(is_there, true));
}

/// Also checks that jobs can run: another engine may answer now, and a fault that failed one job may fail the next.
async fn check(common: &Common) -> Result<(), String> {
    let engine = &common.host.engine;
    engine.ping().await.map_err(|fault| format!("Docker does not answer ({fault}); see `asman doctor`"))?;
    engine.prove().await
}
