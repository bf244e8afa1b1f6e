//! The binary `asman`: the API, the worker, the embedded stack, and the commands for people and scripts.
//!
//! Reading order: [`args`] names every command, `commands/` has one file or folder per command, [`failure`] the exit
//! codes. Results go to stdout, everything else to stderr. The work itself is in the crates `api`, `worker` and `migrations`, which
//! the commands call.

mod args;
mod client;
mod commands;
mod compat;
mod data;
mod environment;
mod failure;
mod lock;
mod postgres;
mod program;
mod say;
mod signals;
mod sse;
mod text_file;

use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches};
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use failure::Failure;

/// Libraries whose info messages do not help an operator.
const LOG_DEFAULT: &str = "info,refinery=warn,refinery_core=warn,tokio_postgres=warn,sqlx=warn,sqlx_core::pool=error";

/// For `--debug`. The libraries below HTTP stay at their level, because they would log every address, and with it names of queues.
const LOG_DEBUG: &str = "info,worker=debug,api=debug,cli=debug,refinery=warn,refinery_core=warn,tokio_postgres=warn,sqlx=warn";

fn main() -> ExitCode {
    match prepare_and_run() {
        Ok(code) => code,
        Err(error) => {
            say::note(&format!("asman: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn prepare_and_run() -> anyhow::Result<ExitCode> {
    environment::tidy().context("cannot restart with a cleaned environment")?;
    // More than one provider is compiled in, and rustls panics at the first connection if none is chosen.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("cannot choose a cryptography provider");
    }
    let matches = compat::worker_settings::understand(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if cli.global.raw {
        say::be_raw();
    }
    start_logging(&cli).context("ASMAN_LOG cannot be read")?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(dispatch(cli));
    // A blocking read of standard input must not keep a finished command alive.
    runtime.shutdown_background();
    Ok(exit_code(result))
}

fn exit_code(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    // The job's summary has reported the first already, and the user caused the second with Ctrl-C.
    if !matches!(failure, Failure::Container(_) | Failure::Interrupted) {
        say::note(&format!("asman: {failure}"));
    }
    failure.exit_code()
}

fn start_logging(cli: &Cli) -> anyhow::Result<()> {
    let default = if cli.command.is_debug() { LOG_DEBUG } else { LOG_DEFAULT };
    let words = std::env::var("ASMAN_LOG").unwrap_or_else(|_| default.to_owned());
    // `reqwest::connect` logs the hosts of webhooks, which may be secret, like a queue's name.
    let filter = EnvFilter::try_new(words)?.add_directive("reqwest::connect=warn".parse()?);
    // `rmcp` logs what callers send, including names of queues.
    let filter = filter.add_directive("rmcp=error".parse()?);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(say::log);
    if cli.global.log_json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
    Ok(())
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Up(args) => commands::up::run(*args, &cli.global).await,
        Command::Down(args) => commands::down::run(args, &cli.global).await,
        Command::Api(args) => commands::api::run(*args).await,
        Command::Worker(command) => commands::worker::run(command, &cli.global).await,
        Command::Job(args) => commands::job::run(args, &cli.global).await,
        Command::Mcp(args) => commands::mcp::run(args, &cli.global).await,
        Command::Queue(command) => commands::queue::run(command, &cli.global).await,
        Command::Db(command) => commands::db::run(command, &cli.global).await,
        Command::Blob(command) => commands::blob::run(command, &cli.global).await,
        Command::Consent(args) => commands::consent::run(args, &cli.global),
        Command::Doctor(args) => commands::doctor::run(args, &cli.global).await,
    }
}
