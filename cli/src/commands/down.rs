//! `asman down`: stop the stack of a data directory, in the foreground of another terminal or in the background.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::args::Global;
use crate::data::DataArgs;
use crate::failure::Failure;
use crate::lock::{LockOwner, lock_owner};
use crate::say;

/// Longer than the worker, the API and Postgres take together.
const TIMEOUT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);

const AFTER_HELP: &str = "\
These stay on this machine for the next `asman up`:
  the data directory     database, files of jobs, results, caches, logs
  images in Docker       asman/demo, those that jobs have pulled, and asman/build

To remove it all, after `asman down`:
  rm -r /var/lib/asman   for root, else ~/.local/share/asman, or the folder that you named
  docker rmi asman/demo
  docker images -q asman/build | xargs -r docker rmi

Example:
  asman down --data-directory /srv/asman";

/// What `asman down` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    data: DataArgs,
}

/// Asks the process with the lock to stop, and waits until the lock is free.
pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let path = args.data.path()?;
    let stopped = tokio::time::timeout(TIMEOUT, stop(&path)).await;
    let pid = stopped.map_err(|_| Failure::Failed(format!("the asman that uses {} does not stop", path.display())))??;
    if global.json {
        say::json(&json!({ "stopped": pid.map(Pid::as_raw_nonzero) }));
    }
    match pid {
        Some(_) if global.json => {}
        Some(pid) => say::note(&format!("Stopped process {}; its data stays in {}", pid.as_raw_nonzero(), path.display())),
        None => {
            let sentence = format!("no asman uses {}; give the right folder with --data-directory", path.display());
            return Err(Failure::Failed(sentence));
        }
    }
    Ok(())
}

/// The process that was stopped, if one ran.
async fn stop(path: &std::path::Path) -> Result<Option<Pid>, Failure> {
    let mut asked = None;
    loop {
        match lock_owner(path)? {
            LockOwner::Nobody => return Ok(asked),
            LockOwner::Elsewhere => {
                let path = path.display();
                let sentence = format!("the asman that uses {path} runs in a container or on another machine; stop it there");
                return Err(Failure::Failed(sentence));
            }
            // The process gets one signal: a second one would interrupt the orderly end of running jobs.
            LockOwner::Process(pid) if asked != Some(pid) => {
                kill_process(pid, Signal::TERM)
                    .map_err(|error| Failure::Failed(format!("cannot stop process {}: {error}", pid.as_raw_nonzero())))?;
                asked = Some(pid);
            }
            _ => {}
        }
        tokio::time::sleep(POLL).await;
    }
}
