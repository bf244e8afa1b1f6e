//! Sees that the engine answers and can run jobs: while it does not, no jobs are asked for.

use std::sync::Arc;
use std::time::Duration;

use super::Common;
use crate::backoff::Backoff;
use crate::status::Obstacle;

/// Time between looks. A job that is given in the meantime is released, which costs it nothing but the way.
const EVERY: Duration = Duration::from_secs(2);

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
