//! `asman down`: stop the stack of a data directory, in the foreground of another terminal or in the background.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::args::Global;
use crate::data::DataArgs;
use crate::failure::Failure;
use crate::lock::{Holder, holder};
use crate::say;

/// More than the worker, the API and Postgres may take together.
const TIMEOUT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);

/// What `asman down` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    data: DataArgs,
}

/// Asks the holder of the lock to stop, and waits until the lock is free.
pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let path = args.data.path()?;
    let stopped = tokio::time::timeout(TIMEOUT, stop(&path)).await;
    let pid = stopped.map_err(|_| Failure::Failed(format!("the asman on {} does not stop", path.display())))??;
    if global.json {
        say::json(&json!({ "stopped": pid.map(Pid::as_raw_nonzero) }));
    }
    match pid {
        Some(_) if global.json => {}
        Some(pid) => say::note(&format!("Stopped process {}", pid.as_raw_nonzero())),
        None => {
            let sentence = format!("nothing runs on {}; name the right folder with --data-directory", path.display());
            return Err(Failure::Failed(sentence));
        }
    }
    Ok(())
}

/// The process that was stopped, if one ran.
async fn stop(path: &std::path::Path) -> Result<Option<Pid>, Failure> {
    let mut asked = None;
    loop {
        match holder(path)? {
            Holder::Nobody => return Ok(asked),
            // Asked once: a second signal would cut the running jobs' clean end short.
            Holder::Process(pid) if asked != Some(pid) => {
                kill_process(pid, Signal::TERM)
                    .map_err(|error| Failure::Failed(format!("cannot stop process {}: {error}", pid.as_raw_nonzero())))?;
                asked = Some(pid);
            }
            _ => {}
        }
        tokio::time::sleep(POLL).await;
    }
}
