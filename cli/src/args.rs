//! The commands, and the flags that all of them share.

use clap::{Parser, Subcommand};

use crate::commands::{api, blob, consent, db, doctor, down, job, mcp, queue, up, worker};

const EXIT_CODES: &str = "\
Exit codes:
  0    it worked
  1    failure: the job ended as Error, TimedOut or Cancelled by its own fault, or the server failed
  2    bad input or usage
  3    something needed is missing: no Docker engine, no PostgreSQL, no API at the address
  4    the job succeeded, but its result lacks outputs: too many, too large, unreadable (`missing` in --json lists them)
  75   the job could not run for a reason outside of it (a machine, the network, a worker's settings, the cluster):
       sent again it is tried again
  130  interrupted
  `asman job add --wait` and `asman job await` exit with the container's own exit code.

Examples:
  asman up                                   everything on this machine, web page on http://localhost:8000
  asman job add local -i asman/demo -c 'echo hello' --wait
  asman worker run my-queue --api https://queue.example
  asman doctor                               what is missing here, and how to get it

Results go to stdout, everything else to stderr. ASMAN_LOG sets what is logged, such as `info` or `worker=debug`.";

/// Public compute queues on Postgres: submit container jobs to a queue by its name, run them on any machine.
#[derive(Debug, Parser)]
#[command(name = "asman", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Address of the API.
    #[arg(long, global = true, env = "ASMAN_API", default_value = "http://localhost:8000", value_name = "URL")]
    pub(crate) api: String,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print the output of jobs to the terminal unchanged, including escape sequences. In a pipe or a file it is always
    /// unchanged.
    #[arg(long, global = true)]
    pub(crate) raw: bool,
    /// Write the log as JSON, one object per line.
    #[arg(long, global = true, env = "ASMAN_LOG_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) log_json: bool,
}

/// A command, or a group of commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: Postgres, API, web page and one worker for the queue `local`.
    Up(Box<up::Args>),
    /// Stop the `asman up` of a data directory.
    Down(down::Args),
    /// Serve the API and the web page on a database that `asman db migrate` has prepared.
    Api(Box<api::Args>),
    /// Claim jobs of queues and run them.
    #[command(subcommand)]
    Worker(worker::Command),
    /// Submit jobs, follow them, fetch their outputs.
    Job(job::Args),
    /// Give agents the queue's tools on standard input and output (Model Context Protocol).
    Mcp(mcp::Args),
    /// Manage a queue: its policy, and the import of items.
    #[command(subcommand)]
    Queue(queue::Command),
    /// Prepare and maintain the database.
    #[command(subcommand)]
    Db(db::Command),
    /// Prepare the object storage for the files of jobs.
    #[command(subcommand)]
    Blob(blob::Command),
    /// Choose which web pages of other origins may use the API of this machine.
    Consent(consent::Args),
    /// Check this machine: what is installed, what is missing, and how to get it.
    Doctor(doctor::Args),
}

impl Command {
    /// Whether to log more.
    pub(crate) fn is_debug(&self) -> bool {
        matches!(self, Self::Worker(command) if command.is_debug())
    }
}
