//! `asman worker`: claims jobs of queues and runs them; replaces the program by that of its API.

mod run;
mod upgrade;

use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::failure::Failure;

const RUN_HELP: &str = "\
Examples:
  asman worker run my-queue --api https://queue.example
  asman worker run mine/3 ours theirs      while all have work, three of five jobs are from `mine`
  asman worker run my-queue --max-jobs 1 --exit-when-idle 60s      for autoscalers: one job, then gone
  asman worker run my-queue --port 8001    GET /healthz and /metrics on 127.0.0.1:8001
  asman worker run --mode local            API, web page and worker on this machine only

Settings of the worker that this one replaces (METAPAGE_IO_WORKER_…, --api-address) are supported; ours have priority.";

/// Verbs of `asman worker`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Claim and run jobs until stopped. After the first SIGTERM or Ctrl-C running jobs may finish; the second one gives them
    /// back.
    #[command(after_help = RUN_HELP)]
    Run(Box<run::Args>),
    /// Replace this program by the one that the API runs.
    #[command(after_help = upgrade::HELP)]
    Upgrade(upgrade::Args),
}

impl Command {
    /// Whether to log more.
    pub(crate) fn is_debug(&self) -> bool {
        matches!(self, Self::Run(args) if args.is_debug())
    }
}

/// Runs one command.
pub(crate) async fn run(command: Command, global: &Global) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(*args, global).await,
        Command::Upgrade(args) => upgrade::run(args, global).await,
    }
}

/// Runs one worker in this process. `drain` takes no new jobs, `stop` ends the running ones.
pub(crate) async fn work(config: worker::Config, drain: CancellationToken, stop: CancellationToken) -> Result<(), Failure> {
    Box::pin(worker::run(config, worker::Shutdown { drain, stop })).await.map_err(|error| failure(&error))
}

/// A missing engine is a problem of the machine, a wrong setting one of the user, everything else a failure.
pub(crate) fn failure(error: &worker::Error) -> Failure {
    let sentence = error.to_string();
    match error {
        worker::Error::NoDocker { .. } | worker::Error::NoDockerd(_) | worker::Error::Machine(_) | worker::Error::Unheard(_) => {
            Failure::Missing(sentence)
        }
        worker::Error::Config(_) => Failure::BadInput(sentence),
        _ => Failure::Failed(sentence),
    }
}
