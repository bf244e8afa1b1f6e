//! `asman queue`: what concerns a queue as a whole.

mod import;
mod policy;

use crate::args::Global;
use crate::failure::Failure;

const IMPORT_HELP: &str = "\
Example:
  asman queue import --from-sqlqueue postgresql://user@host/tasks --queue-name jobs --to my-queue --dry-run

Stop the old controller first: it goes on writing to the old table, and what it ends there is not seen here. Items in PROCESSING are
imported as WAITING, because whoever has claimed them reports to the old table, if he still lives: taken over as claimed, they would
wait for an end that never comes. They may so run a second time. With --keep-processing they stay claimed, for ever, until somebody
posts success, fail or release of them to the new API.

Running it again imports what is new and nothing twice.";

/// Verbs of `asman queue`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Bring the items of an existing `sqlqueue` table, and the events of its `sqleventstore`, into a queue.
    #[command(after_help = IMPORT_HELP)]
    Import(import::ImportArgs),
    /// Show, change or clear a queue's policy: its tokens, limits, retention and pause.
    #[command(subcommand)]
    Policy(policy::Command),
}

/// Runs one verb.
pub(crate) async fn run(command: Command, global: &Global) -> Result<(), Failure> {
    match command {
        Command::Import(args) => import::run(args, global.json).await,
        Command::Policy(command) => policy::run(command, global).await,
    }
}
