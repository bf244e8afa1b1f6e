//! `asman up`: everything on this machine, in one process, until a signal comes.
//!
//! Order: lock, Postgres, migrations, port, API, demo image, worker, demo job. It stops in the opposite order and releases the
//! lock last, so the next process with the lock finds nothing running. If something is missing, one sentence says so, and the
//! rest starts anyway.

mod demo;
mod demo_image;
mod detach;
mod stack;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde_json::json;

use crate::args::Global;
use crate::data::{DataArgs, DataDirectory};
use crate::failure::Failure;
use crate::lock::Lock;
use crate::program::{how_to_call, how_to_stop};
use crate::say;
use crate::signals::Signals;
use detach::Address;
use stack::Stack;

const AFTER_HELP: &str = "\
Examples:
  asman up                      http://localhost:8000, queue `local`
  asman up --demo               and run a first job at once
  asman up --detach; asman down
  asman up --database-url postgres://user@host/asman   your own PostgreSQL instead of a private one
  asman up --allow-origin https://page.example         a web page of another origin may use this API
  asman up --s3-bucket asman --s3-endpoint http://…    files in object storage, not in a folder

Ctrl-C stops everything, including running jobs: they are queued again and run at the next start.";

/// What `asman up` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    /// Port of the API and the web page. 0 takes any free one.
    #[arg(long, default_value_t = 8000, env = "ASMAN_PORT")]
    port: u16,
    /// Address to listen on. On an address other than loopback, other machines can reach the API, and requests are no longer
    /// restricted to this machine's names and pages.
    #[arg(long, env = "ASMAN_UP_LISTEN", default_value = "127.0.0.1", value_name = "ADDRESS")]
    listen: IpAddr,
    /// An origin, such as `https://page.example`, whose web pages may also use the API. The flag may be repeated.
    #[arg(long, env = "ASMAN_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN", value_parser = api::parse_origin)]
    allow_origin: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Use this Postgres instead of starting a private one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Start no worker.
    #[arg(long)]
    no_worker: bool,
    /// Let webhooks reach loopback and private addresses, such as a receiver on this machine.
    #[arg(long, env = "ASMAN_ALLOW_PRIVATE_WEBHOOKS", value_parser = clap::builder::FalseyValueParser::new())]
    allow_private_webhooks: bool,
    /// Run in the background; `asman down` stops it.
    #[arg(long)]
    detach: bool,
    /// Submit a first job that counts the packages in a Cargo.lock, and show its log and its output.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "Cargo.lock")]
    demo: Option<PathBuf>,
    /// Set by `--detach` for the process that it starts.
    #[arg(long, hide = true)]
    detached: bool,
    /// Do not start anything. If Asman already runs, print the same text as `up` and exit with the same code. For the script `x`, which checks
    /// before it builds.
    #[arg(long, hide = true)]
    tell_running: bool,
    /// Settings of the worker that differ from the defaults.
    #[arg(skip)]
    worker: Option<Box<worker::Config>>,
    // Last, because its heading would apply to everything after it.
    #[command(flatten)]
    s3: api::S3Config,
}

/// What `asman worker run --mode local` runs: the same in the foreground, with a worker of these settings.
pub(crate) async fn run_for_worker(
    worker: worker::Config,
    port: u16,
    allow_origin: Vec<String>,
    signals: &Signals,
    global: &Global,
) -> Result<(), Failure> {
    let args = Args {
        port,
        listen: Ipv4Addr::LOCALHOST.into(),
        allow_origin,
        data: DataArgs::at(worker.data_directory.clone()),
        database_url: None,
        s3: api::S3Config::default(),
        no_worker: false,
        allow_private_webhooks: false,
        detach: false,
        demo: None,
        detached: false,
        tell_running: false,
        worker: Some(Box::new(worker)),
    };
    let data = args.data.create()?;
    detach::refuse_second(data.root())?;
    let lock = Lock::take(&data)?;
    let result = serve(&args, &data, signals, global).await;
    detach::forget_address(&data);
    drop(lock);
    result
}

/// Runs in the foreground, or starts itself in the background.
pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    if let Some(file) = args.demo.as_ref().filter(|file| !file.is_file()) {
        return Err(Failure::BadInput(format!("the demo's input {} is not a file; name one with --demo FILE", file.display())));
    }
    if args.tell_running {
        return tell_running(&args);
    }
    let data = args.data.create()?;
    if args.detach {
        return detach::start(&args, &data, global).await;
    }
    detach::refuse_second(data.root())?;
    if args.detached {
        detach::leave_terminal()?;
    }
    let signals = Signals::listen()?;
    let lock = Lock::take(&data)?;
    let result = serve(&args, &data, &signals, global).await;
    detach::forget_address(&data);
    drop(lock);
    result
}

fn tell_running(args: &Args) -> Result<(), Failure> {
    let root = args.data.path()?;
    if let Some(running) = detach::running(&root)?.filter(|running| args.detach && running.is_as_asked(args)) {
        say::result(&format!("{}; stop it with `{}`", running.sentence(), how_to_stop(&root)));
        return Ok(());
    }
    detach::refuse_second(&root).inspect_err(|failure| say::result(&failure.to_string()))
}

async fn serve(args: &Args, data: &DataDirectory, signals: &Signals, global: &Global) -> Result<(), Failure> {
    let mut stack = Stack::start(args, data, signals).await?;
    let address = stack.address();
    let result = tokio::select! {
        result = stack.ended(signals) => result,
        // If `greet` succeeds, this branch is disabled and the other one continues.
        Err(failure) = greet(args, data, &address, global) => Err(failure),
    };
    say::note("Stopping");
    let stopped = stack.stop(signals).await;
    result.and(stopped)
}

async fn greet(args: &Args, data: &DataDirectory, address: &Address, global: &Global) -> Result<(), Failure> {
    detach::write_address(data, address)?;
    announce(address, data, global);
    show_demo(args, data, address).await;
    Ok(())
}

/// Runs the demo if it was requested.
async fn show_demo(args: &Args, data: &DataDirectory, address: &Address) {
    match &args.demo {
        Some(_) if !address.has_worker => say::note("The demo job needs a worker, so it was not submitted."),
        // The stack is useful without the demo.
        Some(file) => {
            demo::run(file, data, &address.api).await.unwrap_or_else(|failure| say::note(&format!("The demo job: {failure}")));
        }
        None => {}
    }
}

/// Prints the addresses of the stack and what to try next.
fn announce(address: &Address, data: &DataDirectory, global: &Global) {
    let api_url = &address.api;
    if global.json {
        return say::json(&json!({ "api": api_url, "queue": "local", "psql": address.psql }));
    }
    say::note(&format!("Asman is up: {api_url}"));
    say::note(&format!("  web page  {}", page_of(api_url)));
    say::note("  queue     local");
    let asman = how_to_call();
    say::note(&format!("  try       {asman} job add local -i asman/demo -c 'echo hello' --wait --api {api_url}"));
    if let Some(psql) = &address.psql {
        say::note(&format!("  SQL       {psql}"));
    }
    say::note(&format!("  stop      Ctrl-C, or {}", how_to_stop(data.root())));
}

/// The address of the web page, with our queue in it. The page takes `local` for the queue at port 8000 of this machine. For another
/// port the queue's full address is used.
fn page_of(api_url: &str) -> String {
    let queue = if api_url == "http://localhost:8000" {
        "local".to_owned()
    } else {
        format!("{api_url}/local").replace(':', "%3A").replace('/', "%2F")
    };
    format!("{api_url}/#?queue={queue}")
}
