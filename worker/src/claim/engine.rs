//! Checks that the engine answers and can run jobs. While it does not, the worker claims no jobs.

use std::sync::Arc;
use std::time::Duration;

use super::Common;
use crate::backoff::Backoff;
use crate::status::Obstacle;

/// Time between checks. If the engine goes away between two checks, the worker releases the jobs that it claims, without a penalty for
/// these jobs.
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

/// Returns when this machine can start the container again that it could not start. Returns at once when no start has failed.
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

/// Checks that the engine answers and that jobs can run. A different engine may answer now, and a fault that made one job fail may make the
/// next one fail.
async fn check(common: &Common) -> Result<(), String> {
    let engine = &common.host.engine;
    engine.ping().await.map_err(|fault| format!("Docker does not answer ({fault}); see `asman doctor`"))?;
    engine.prove().await
}
