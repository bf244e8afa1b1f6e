//! Finds out why a signal ended a container.
//!
//! When the engine is stopped, it first stops its containers and reports their ends like all others. Such a job has not failed, so it goes
//! back to the queue. After an end by a signal that this worker did not send, the worker watches for a moment whether the engine stops.

use std::time::Duration;

use protocol::{EndCode, Step};
use tokio::time::{Instant, sleep};

use super::RunError;
use crate::engine::{Executor, RunEnd};

/// `SIGTERM` and `SIGKILL`, as shells and engines count them.
const CODES: [i64; 2] = [143, 137];
/// Time in which a stopping engine closes its socket, unless another container delays it.
const WATCHED: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_millis(100);

/// Fails when the engine went away right after the container ended.
pub(super) async fn check(executor: &dyn Executor, end: RunEnd) -> Result<(), RunError> {
    if !CODES.contains(&end.exit_code) || end.is_out_of_memory {
        return Ok(());
    }
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        executor.ping().await.map_err(|fault| {
            RunError::failed(
                EndCode::EngineGone,
                Step::Running,
                format!("Docker stopped, and stopped the container with it: {fault}"),
            )
        })?;
        sleep(EVERY).await;
    }
    Ok(())
}
