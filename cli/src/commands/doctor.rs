//! `asman doctor`: one line for each requirement, with the command that fixes it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::args::Global;
use crate::client::Client;
use crate::commands::consent;
use crate::data::DataArgs;
use crate::failure::Failure;
use crate::{postgres, say};

/// Images and results need at least this much.
const DISK_BYTES_MIN: u64 = 2 * 1024 * 1024 * 1024;
const GIB: u64 = 1024 * 1024 * 1024;

const NO_GVISOR: &str = "the Docker engine has no runtime `runsc`; `asman worker run --untrusted` does not start without it; ";
const NO_GVISOR_PODMAN: &str = "not the default runtime of Podman; `asman worker run --untrusted` does not start without it; install it and set \
                                `runtime = \"runsc\"` under [engine] in Podman's containers.conf";
const NO_IPTABLES: &str = "not on the PATH; jobs can reach this machine and its private networks, and --untrusted does not start; install it \
                           with `sudo apt-get install iptables` or your system's like";
const NO_GPUS: &str = "not checked; `asman doctor --gpus 1` checks whether a container gets one";
const NO_GIT: &str = "not on the PATH; jobs that build from a git repository fail; get it with `sudo apt-get install git` or your \
                      system's like";

/// What `asman doctor` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 3 when something that `asman up` or jobs need is missing. It starts a container of a tiny image to \
                        see what the engine gives to jobs."
)]
pub(crate) struct Args {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    s3: api::S3Config,
    /// The port that `asman up` would use.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Gpus that a worker would offer, as `asman worker run --gpus` takes them.
    #[arg(long, default_value_t = worker::Gpus::default(), allow_hyphen_values = true)]
    gpus: worker::Gpus,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// Found.
    Ok,
    /// Missing, but `asman up` starts it or works without it.
    Note,
    /// Missing and required.
    Missing,
}

/// One line.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was found, or what is missing and how to fix it.
    text: String,
}

/// Prints every check; fails when one is [`Verdict::Missing`].
pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let data = args.data.path()?;
    let mut checks = vec![postgres(), engine().await, api(global).await, disk("disk", &data), port(args.port)];
    checks.extend(jobs(&args, &data).await);
    checks.extend([gvisor().await, program("iptables", NO_IPTABLES), program("git", NO_GIT)]);
    checks.extend(proxies(global));
    checks.push(pages(&data));
    if args.s3.s3_bucket.is_some() {
        checks.push(storage(&args.s3).await);
    }
    if global.json {
        say::json(&checks);
    } else {
        checks.iter().for_each(print);
    }
    if checks.iter().any(|check| check.verdict == Verdict::Missing) {
        Err(Failure::Missing("something that `asman up` or jobs need is missing".to_owned()))
    } else {
        Ok(())
    }
}

fn print(check: &Check) {
    let mark = match check.verdict {
        Verdict::Ok => "ok     ",
        Verdict::Note => "note   ",
        Verdict::Missing => "missing",
    };
    say::result(&format!("{mark}  {:<10}  {}", check.name, check.text));
}

fn postgres() -> Check {
    let (verdict, text) = match postgres::find(None) {
        Ok(found) => (Verdict::Ok, format!("{} in {}", found.version, found.folder.display())),
        Err(failure) => (Verdict::Missing, failure.to_string()),
    };
    Check { name: "PostgreSQL", verdict, text }
}

async fn engine() -> Check {
    let (verdict, text) = match worker::engine_version().await {
        Ok(version) => (Verdict::Ok, version),
        Err(error) => (Verdict::Missing, error.to_string()),
    };
    Check { name: "engine", verdict, text }
}

/// The proxy between this machine and the API.
fn proxies(global: &Global) -> Option<Check> {
    let proxies = worker::Proxies::of_environment();
    let all = proxies.all();
    let way = reqwest::Url::parse(&global.api).ok().and_then(|api| proxies.on_the_way_to(&api));
    let way = way.map_or_else(|| "the API is reached without it".to_owned(), |_| "on the way to the API".to_owned());
    (!all.is_empty()).then(|| Check { name: "proxy", verdict: Verdict::Note, text: format!("{}; {way}", all.join(", ")) })
}

/// Which web pages of other origins may use `asman up` of this machine.
fn pages(data: &Path) -> Check {
    let (verdict, text) = match api::ConsentFile::at(consent::file_in(data)).list() {
        Ok(consents) if consents.is_empty() => (Verdict::Ok, "only this machine's own pages may use it".to_owned()),
        Ok(consents) => {
            let names: Vec<_> = consents.iter().map(|consent| say::name(&consent.origin)).collect();
            (Verdict::Ok, format!("pages of {} may use it; revoke that with `asman consent revoke ORIGIN`", names.join(", ")))
        }
        Err(error) => {
            (Verdict::Note, format!("the consents cannot be read, so only this machine's own pages may use it: {error}"))
        }
    };
    Check { name: "pages", verdict, text }
}

/// The checks that a worker makes when it starts.
async fn jobs(args: &Args, data: &Path) -> Vec<Check> {
    let Ok(queue) = "doctor".parse::<protocol::QueueName>() else { return Vec::new() };
    let mut config = worker::Config::for_queue(queue, "http://localhost:8000");
    config.data_directory = Some(data.join("worker"));
    config.gpus = args.gpus.clone();
    let found = match worker::examine(&config).await {
        Ok(found) => found,
        // The engine's line reports a missing engine already.
        Err(worker::Error::NoDocker { .. }) => return Vec::new(),
        Err(error) => return vec![Check { name: "jobs", verdict: Verdict::Missing, text: error.to_string() }],
    };
    let mut checks: Vec<_> = found.needs.into_iter().map(|(need, finding)| check(name_of(need), finding)).collect();
    if args.gpus.count() == 0 {
        checks.push(Check { name: "gpus", verdict: Verdict::Note, text: NO_GPUS.to_owned() });
    }
    checks.push(check("guard", found.guard));
    checks.extend(found.images.map(|folder| disk("images", &folder)));
    checks
}

const fn name_of(need: worker::Need) -> &'static str {
    match need {
        worker::Need::Container => "container",
        worker::Need::Data => "data",
        worker::Need::Limits => "limits",
        worker::Need::Confinement => "rights",
        worker::Need::Gpus => "gpus",
    }
}

fn check(name: &'static str, finding: worker::Finding) -> Check {
    let (verdict, text) = match finding {
        worker::Finding::Fine(text) => (Verdict::Ok, text),
        worker::Finding::Without(text) => (Verdict::Note, text),
        worker::Finding::Problem(text) => (Verdict::Missing, text),
    };
    Check { name, verdict, text }
}

/// Checks for workers that serve strangers.
async fn gvisor() -> Check {
    let name = "gVisor";
    let Ok(runtimes) = worker::engine_runtimes().await else {
        let text = "cannot be checked without a Docker engine; only `asman worker run --untrusted` needs gVisor".to_owned();
        return Check { name, verdict: Verdict::Note, text };
    };
    if runtimes.iter().any(|runtime| runtime == "runsc") {
        return Check { name, verdict: Verdict::Ok, text: "registered with the engine as runsc".to_owned() };
    }
    if worker::engine_version().await.is_ok_and(|engine| engine.starts_with("Podman")) {
        return Check { name, verdict: Verdict::Note, text: NO_GVISOR_PODMAN.to_owned() };
    }
    let fix = if find("runsc").is_some() {
        "register it with `sudo runsc install && sudo systemctl reload docker`"
    } else {
        "install it from https://gvisor.dev/docs/user_guide/install, then `sudo runsc install && sudo systemctl reload docker`"
    };
    Check { name, verdict: Verdict::Note, text: format!("{NO_GVISOR}{fix}") }
}

/// A program that only some jobs need.
fn program(name: &'static str, without: &str) -> Check {
    match find(name) {
        Some(path) => Check { name, verdict: Verdict::Ok, text: path.display().to_string() },
        None => Check { name, verdict: Verdict::Note, text: without.to_owned() },
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    // The worker searches these folders too: a user's PATH may not contain them.
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&folders).chain(system).map(|folder| folder.join(name)).find(|path| path.is_file())
}

async fn api(global: &Global) -> Check {
    let is_there = match Client::new(&global.api) {
        Ok(client) => client.is_healthy().await,
        Err(_) => false,
    };
    let (verdict, text) = if is_there {
        (Verdict::Ok, format!("answers at {}", global.api))
    } else {
        (Verdict::Note, format!("no API answers at {}; start it with `asman up`, or give --api", global.api))
    };
    Check { name: "API", verdict, text }
}

async fn storage(config: &api::S3Config) -> Check {
    let (verdict, text) = match api::check_blobs(config).await {
        Ok(()) => (Verdict::Ok, "the bucket can be used".to_owned()),
        Err(sentence) => (Verdict::Missing, sentence),
    };
    Check { name: "storage", verdict, text }
}

fn disk(name: &'static str, data: &Path) -> Check {
    let there = data.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let (verdict, text) = match rustix::fs::statvfs(there) {
        Err(error) => (Verdict::Note, format!("cannot be measured at {}: {error}", there.display())),
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let verdict = if free < DISK_BYTES_MIN { Verdict::Missing } else { Verdict::Ok };
            let want = if free < DISK_BYTES_MIN { "; free some space: at least 2 GiB are needed" } else { "" };
            (verdict, format!("{} GiB free at {}{want}", free / GIB, there.display()))
        }
    };
    Check { name, verdict, text }
}

fn port(port: u16) -> Check {
    let (verdict, text) = match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(_) => (Verdict::Ok, format!("{port} is free")),
        Err(_) => (Verdict::Note, format!("{port} is in use; `asman up --port` takes another one")),
    };
    Check { name: "port", verdict, text }
}
