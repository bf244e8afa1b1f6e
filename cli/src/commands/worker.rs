//! `asman worker run`: claim jobs of a queue and run them in Docker.

use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::signals::Signals;

/// Verbs of `asman worker`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Claim and run jobs until stopped. The first SIGTERM or Ctrl-C lets running jobs end, the second gives them back.
    #[command(after_help = "Example:\n  asman worker run my-queue --api https://queue.example")]
    Run(Box<RunArgs>),
}

/// What `asman worker run` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    config: worker::Config,
}

/// Runs until a signal comes.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let Command::Run(args) = command;
    let signals = Signals::listen()?;
    work(args.config, signals.first, signals.second).await
}

/// Runs one worker in this process. `drain` takes no new jobs, `stop` ends the running ones.
pub(crate) async fn work(config: worker::Config, drain: CancellationToken, stop: CancellationToken) -> Result<(), Failure> {
    worker::run(config, worker::Shutdown { drain, stop }).await.map_err(|error| failure(&error))
}

/// A missing engine is the machine's lack, a bad setting the typist's, everything else a failure.
pub(crate) fn failure(error: &worker::Error) -> Failure {
    let sentence = error.to_string();
    match error {
        worker::Error::NoDocker { .. } | worker::Error::Lack(_) => Failure::Missing(sentence),
        worker::Error::Config(_) => Failure::BadInput(sentence),
        _ => Failure::Failed(sentence),
    }
}
