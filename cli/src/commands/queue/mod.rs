//! `asman queue`: commands for a whole queue.

mod policy;

use crate::args::Global;
use crate::compat::sqlqueue;
use crate::failure::Failure;

const IMPORT_HELP: &str = "\
Example:
  asman queue import --from-sqlqueue postgresql://user@host/tasks --queue-name jobs --to my-queue --dry-run

Stop the old controller first: it keeps writing to the old table, and this command does not see what it ends there. Items in PROCESSING are imported as WAITING, because their workers report to the old table: imported as claimed, they would wait for an end that never comes. So they may run a second time. With --keep-processing they stay claimed until a client posts success, fail or release for them to the new API.

Running it again imports only what is new.";

/// Verbs of `asman queue`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Import the items of an existing `sqlqueue` table, and the events of its `sqleventstore`, into a queue.
    #[command(after_help = IMPORT_HELP)]
    Import(sqlqueue::ImportArgs),
    /// Show, change or clear a queue's policy: its tokens, limits, retention and pause.
    #[command(subcommand)]
    Policy(policy::Command),
}

/// Runs one command.
pub(crate) async fn run(command: Command, global: &Global) -> Result<(), Failure> {
    match command {
        Command::Import(args) => sqlqueue::run(args, global.json).await,
        Command::Policy(command) => policy::run(command, global).await,
    }
}
