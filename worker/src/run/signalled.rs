//! Finds out why a signal ended a run.
//!
//! When the engine is stopped, it first stops its containers and reports their ends like all others. Such a job has not failed, so it goes
//! back to the queue. After an end by a signal that this worker did not send, the worker watches for a moment whether the engine stops.

use std::time::Duration;

use protocol::{EndCode, Step};
use tokio::time::{Instant, sleep};

use super::RunError;
use crate::engine::{Engine, RunEnd};

/// Exit codes after `SIGTERM` and `SIGKILL`, as shells and engines report them.
const CODES: [i64; 2] = [143, 137];
/// Time in which a stopping engine closes its socket, unless another container delays it.
const WATCHED: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_millis(100);

/// Fails when the engine went away right after the container ended.
pub(super) async fn check(engine: &dyn Engine, end: RunEnd) -> Result<(), RunError> {
    if !CODES.contains(&end.exit_code) || end.is_out_of_memory {
        return Ok(());
    }
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        engine.ping().await.map_err(|fault| {
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

/// What an exit code means, when the program ended by itself and did not run out of memory.
pub(super) fn note(exit_code: i64) -> Option<String> {
    let (number, name) = match exit_code {
        132 => (4, "SIGILL"),
        134 => (6, "SIGABRT"),
        135 => (7, "SIGBUS"),
        136 => (8, "SIGFPE"),
        137 => (9, "SIGKILL"),
        139 => (11, "SIGSEGV"),
        143 => (15, "SIGTERM"),
        _ => return None,
    };
    let cause = if number == 9 { "; the engine does not report that memory ran out" } else { "" };
    Some(format!("exit code {exit_code} means that signal {number} ({name}) ended the program{cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_by_a_signal_differs_from_an_end_for_memory() {
        assert_eq!(note(3), None);
        assert!(
            note(137).unwrap().ends_with("signal 9 (SIGKILL) ended the program; the engine does not report that memory ran out")
        );
    }
}
