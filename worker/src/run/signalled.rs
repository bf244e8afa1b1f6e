//! Whose doing it is that a container was ended by a signal.
//!
//! An engine that is stopped stops its containers first, and reports them as ended like any others. A job that ends so has not
//! failed: it goes back to the queue. So after an end by a signal that nobody here sent, the engine is watched for a moment.

use std::time::Duration;

use protocol::{EndCode, Step};
use tokio::time::{Instant, sleep};

use super::RunError;
use crate::executor::{Ending, Executor};

/// `SIGTERM` and `SIGKILL`, as shells and engines count them.
const CODES: [i64; 2] = [143, 137];
/// An engine that ends has let go of its socket by then, unless another container resists.
const WATCHED: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_millis(100);

/// Fails where the engine went away right after the container ended.
pub(super) async fn check(executor: &dyn Executor, ending: Ending) -> Result<(), RunError> {
    if !CODES.contains(&ending.exit_code) || ending.is_out_of_memory {
        return Ok(());
    }
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        executor.ping().await.map_err(|fault| {
            RunError::failed(EndCode::EngineGone, Step::Running, format!("Docker ended, and the container with it: {fault}"))
        })?;
        sleep(EVERY).await;
    }
    Ok(())
}
