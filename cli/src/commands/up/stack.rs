//! The running parts of `asman up`, and how they end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use protocol::QueueName;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::detach::Address;
use super::{Args, demo_image};
use crate::client::Client;
use crate::commands::api::{bind, own_program};
use crate::commands::worker::{failure, work};
use crate::commands::{consent, db};
use crate::data::DataDirectory;
use crate::failure::Failure;
use crate::postgres::Server;
use crate::say;
use crate::signals::Signals;

const HEALTHY_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// A worker that gets the stop signal kills its containers. Open requests end within their own limits.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A part that runs in this process until its token is cancelled.
#[derive(Debug)]
struct Part {
    name: &'static str,
    task: JoinHandle<Result<(), Failure>>,
    stop: CancellationToken,
}

/// Everything that `asman up` started.
#[derive(Debug)]
pub(super) struct Stack {
    /// Where the API answers.
    api_url: String,
    server: Option<Server>,
    api: Part,
    worker: Option<Part>,
}

impl Stack {
    /// Starts the parts in order. A signal in the middle stops the parts that have started.
    pub(super) async fn start(args: &Args, data: &DataDirectory, signals: &Signals) -> Result<Self, Failure> {
        let server = match &args.database_url {
            Some(_) => None,
            None => Some(Server::start(data).await?),
        };
        let own = server.as_ref().map(Server::url);
        let url = args.database_url.as_deref().or(own).unwrap_or_default();
        let started = tokio::select! {
            started = start_on(url, args, data) => started,
            () = signals.first.cancelled() => Err(Failure::Interrupted),
        };
        match (started, server) {
            (Ok((api_url, api, worker)), server) => Ok(Self { api_url, server, api, worker }),
            (Err(failure), Some(server)) => server.stop(&signals.second).await.and(Err(failure)),
            (Err(failure), None) => Err(failure),
        }
    }

    /// The addresses of this stack.
    pub(super) fn address(&self) -> Address {
        Address {
            pid: std::process::id(),
            api: self.api_url.clone(),
            psql: self.server.as_ref().map(Server::psql),
            has_worker: self.worker.is_some(),
        }
    }

    /// Waits for a signal, or for a part that ends by itself.
    pub(super) async fn ended(&mut self, signals: &Signals) -> Result<(), Failure> {
        let server = async {
            match &mut self.server {
                Some(server) => server.ended().await,
                None => std::future::pending().await,
            }
        };
        let worker = async {
            match &mut self.worker {
                Some(worker) => worker.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = signals.first.cancelled() => Ok(()),
            failure = server => Err(failure),
            failure = self.api.ended() => Err(failure),
            failure = worker => Err(failure),
        }
    }

    /// Stops worker, API and Postgres, in that order: the worker gives its jobs back through the API.
    pub(super) async fn stop(self, signals: &Signals) -> Result<(), Failure> {
        if let Some(worker) = self.worker {
            worker.stop(&signals.second).await;
        }
        self.api.stop(&signals.second).await;
        match self.server {
            Some(server) => server.stop(&signals.second).await,
            None => Ok(()),
        }
    }
}

impl Part {
    /// The error of a part that ended unexpectedly.
    async fn ended(&mut self) -> Failure {
        match (&mut self.task).await {
            Ok(Err(failure)) => failure,
            Ok(Ok(())) => Failure::Failed(format!("the {} ended unexpectedly", self.name)),
            Err(error) => Failure::Failed(format!("the {} broke: {error}", self.name)),
        }
    }

    /// Asks it to stop, and waits until the time limit or the second signal. It may have ended already.
    async fn stop(mut self, hurry: &CancellationToken) {
        self.stop.cancel();
        if self.task.is_finished() {
            return;
        }
        let is_over = tokio::select! {
            _ = &mut self.task => true,
            () = tokio::time::sleep(STOP_TIMEOUT) => false,
            () = hurry.cancelled() => false,
        };
        if !is_over {
            self.task.abort();
        }
    }
}

async fn start_on(url: &str, args: &Args, data: &DataDirectory) -> Result<(String, Part, Option<Part>), Failure> {
    db::migrate(url).await?;
    let (api_url, api) = start_api(url, args, data).await?;
    let worker = if args.no_worker { None } else { start_worker(&api_url, args, data).await? };
    Ok((api_url, api, worker))
}

async fn start_api(url: &str, args: &Args, data: &DataDirectory) -> Result<(String, Part), Failure> {
    let listener = bind(SocketAddr::from((args.listen, args.port))).await?;
    let address = listener.local_addr().map_err(|error| Failure::Failed(error.to_string()))?;
    let is_local = args.listen.is_loopback();
    if !is_local {
        say::note(&format!("Other machines can reach {address}: everyone who knows a queue's name can use it from there"));
    }
    let api_url = format!("http://{}:{}", name_of(args.listen), address.port());
    let mut config = api::Config::for_database(url.to_owned(), data.private_folder("blobs")?);
    config.public_url = Some(api_url.clone());
    config.allow_private_webhooks = args.allow_private_webhooks;
    config.s3 = args.s3.clone();
    config.local_access = api::LocalAccess {
        local: is_local,
        allow_origin: args.allow_origin.clone(),
        consent_file: Some(consent::file_in(data.root())),
    };
    config.executable = own_program();
    let stop = CancellationToken::new();
    let serve = api::serve(listener, config, stop.clone());
    let task = tokio::spawn(async { serve.await.map_err(|error| Failure::Failed(error.to_string())) });
    let mut api = Part { name: "API", task, stop };
    // The listener is bound to IPv4 only, and `localhost` may mean IPv6 first.
    let client = Client::new(&format!("http://{}", reachable(address)))?;
    tokio::select! {
        () = healthy(&client) => Ok((api_url, api)),
        failure = api.ended() => Err(failure),
        () = tokio::time::sleep(HEALTHY_TIMEOUT) => Err(Failure::Failed("the API did not become healthy".to_owned())),
    }
}

/// The host name of the API in URLs on this machine.
fn name_of(listen: IpAddr) -> String {
    match listen {
        listen if listen == Ipv4Addr::LOCALHOST || listen.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// `0.0.0.0` is an address for listening, not for requests.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    if address.ip().is_unspecified() { SocketAddr::new(loopback, address.port()) } else { address }
}

async fn healthy(client: &Client) {
    while !client.is_healthy().await {
        tokio::time::sleep(POLL).await;
    }
}

/// The worker's settings, with the queue `local` and the other queues of the given settings.
fn worker_config(args: &Args) -> Result<worker::Config, Failure> {
    let queue = "local".parse::<QueueName>().map_err(|error| Failure::Failed(error.to_string()))?;
    let Some(given) = args.worker.as_deref() else { return Ok(worker::Config::for_queue(queue, "")) };
    let mut config = given.clone();
    let mut shares = if config.queue.is_empty() { Vec::new() } else { config.queue.shares().map_err(|error| failure(&error))? };
    if shares.iter().all(|share| share.queue != queue) {
        shares.push(worker::QueueShare { queue, weight: 1 });
    }
    config.queue = shares.into_iter().collect();
    Ok(config)
}

/// A missing engine is not an error: the API and its queues are useful without a worker here.
async fn start_worker(api_url: &str, args: &Args, data: &DataDirectory) -> Result<Option<Part>, Failure> {
    if let Err(error) = worker::engine_version().await {
        say::note(&format!("No worker here: {error}. Everything else runs. Start again when this is fixed."));
        return Ok(None);
    }
    if let Err(failure) = demo_image::ensure().await {
        say::note(&format!("No demo image: {failure}"));
    }
    let mut config = worker_config(args)?;
    api_url.clone_into(&mut config.api);
    config.data_directory = Some(data.private_folder("worker")?);
    let stop = CancellationToken::new();
    // The same token for drain and stop: when `up` stops, the worker removes its containers without waiting for their end.
    let task = tokio::spawn(work(config, stop.clone(), stop.clone()));
    Ok(Some(Part { name: "worker", task, stop }))
}
