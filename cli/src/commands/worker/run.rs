//! `asman worker run`, for queues of a remote API or of this machine only.

use std::net::{Ipv4Addr, SocketAddr};

use clap::builder::FalseyValueParser;

use super::{failure, work};
use crate::args::Global;
use crate::commands::up;
use crate::compat::worker_settings;
use crate::failure::Failure;
use crate::say;
use crate::signals::Signals;

/// Port of a local API.
const LOCAL_PORT: u16 = 8000;

/// Where the API of a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// At --api.
    Remote,
    /// In this process, with a private PostgreSQL: nothing leaves the machine. The queue is `local`; the named queues are served
    /// too.
    Local,
}

/// What `asman worker run` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: worker::Config,
    /// Where the API is.
    #[arg(long, env = "ASMAN_WORKER_MODE", value_enum, default_value = "remote")]
    mode: Mode,
    /// Port on 127.0.0.1: with --mode local the port of the API and the web page [default: 8000]; otherwise the port of /healthz
    /// and /metrics, which are not served without it.
    #[arg(long, env = "ASMAN_WORKER_PORT")]
    port: Option<u16>,
    /// With --mode local: an origin, such as `https://page.example`, whose web pages may use the API. The flag may be repeated.
    #[arg(long, env = "ASMAN_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN", value_parser = api::parse_origin)]
    allow_origin: Vec<String>,
    /// Start a Docker engine for this worker and stop it at the end, in a container or virtual machine that has none. Needs root.
    #[arg(long, env = "ASMAN_WORKER_START_DOCKER", value_parser = FalseyValueParser::new())]
    start_docker: bool,
    /// Log more, as `ASMAN_LOG=debug` does.
    #[arg(long)]
    debug: bool,
}

impl Args {
    pub(super) fn is_debug(&self) -> bool {
        self.debug || worker_settings::is_on("DEBUG")
    }

    fn is_with_engine(&self) -> bool {
        self.start_docker || worker_settings::is_on("RUN_STANDALONE")
    }
}

/// Runs until a signal comes, or until the settings end it.
pub(super) async fn run(mut args: Args, global: &Global) -> Result<(), Failure> {
    if args.config.id.is_none() && worker_settings::is_set("GENERATE_WORKER_ID") {
        args.config.id = Some(uuid::Uuid::new_v4().to_string());
    }
    if args.is_with_engine() {
        // Signals are handled from now on, so that the engine is always stopped.
        let signals = Signals::listen()?;
        let engine = tokio::select! {
            engine = worker::start_docker(&args.config) => engine.map_err(|error| failure(&error))?,
            () = signals.first.cancelled() => return Err(Failure::Interrupted),
        };
        let result = work_as(args, signals, global).await;
        if let Some(engine) = engine {
            engine.stop().await;
        }
        return result;
    }
    let signals = Signals::listen()?;
    work_as(args, signals, global).await
}

async fn work_as(mut args: Args, signals: Signals, global: &Global) -> Result<(), Failure> {
    if args.mode == Mode::Local {
        let port = args.port.or_else(worker_settings::local_port).unwrap_or(LOCAL_PORT);
        return up::run_for_worker(args.config, port, args.allow_origin, &signals, global).await;
    }
    if !args.allow_origin.is_empty() {
        say::note("--allow-origin works only with --mode local");
    }
    if let Some(port) = args.port {
        args.config.life.health_address.get_or_insert(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    work(args.config, signals.first, signals.second).await
}
