//! Many jobs of every kind on two workers, while processes are killed, drained and restarted and a disk fills up: `./x soak`.
//!
//! `SOAK_JOBS` (1000) is the number of jobs. The engine, the API and the workers run in separate namespaces (network, mounts,
//! processes), so that this machine's engine is not affected and nothing remains however the test ends. The test needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]
#![allow(missing_docs, unreachable_pub, reason = "parts of one test")]

mod clients;
mod engine;
mod kinds;
#[path = "../support/mod.rs"]
mod support;
mod trouble;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clients::{Clients, Seen};
use engine::{Engine, left_behind};
use kinds::{Kind, REGISTRY};
use support::data_directory;
use support::house::{House, test_database};
use support::registry::Registry;
use trouble::Trouble;

/// The variable that is set when the test runs in its namespaces.
const FOLDER: &str = "SOAK_FOLDER";
/// Jobs that wait or run at any time: three times as many as the workers run at once.
const N_CLIENTS: usize = 24;
/// The share of jobs, one in this many, that may be given to a worker that has just cancelled its request.
const CROSSED: usize = 10;
/// Longest time in which no job ends.
const STALL: Duration = Duration::from_mins(6);

/// Prepares the namespaces: the loopback device, and a /sys that shows their network. The shell is the first process in them and
/// reaps orphaned processes.
const ENTER: &str = r#"set -e
ip link set lo up
mkdir "$SOAK_FOLDER/cgroup"
mount --rbind /sys/fs/cgroup "$SOAK_FOLDER/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$SOAK_FOLDER/cgroup" /sys/fs/cgroup
umount --recursive --lazy "$SOAK_FOLDER/cgroup"
code=0
"$@" || code=$?
exit $code"#;

#[test]
#[ignore = "takes minutes: ./x soak"]
fn a_thousand_jobs_end_as_they_must_through_kills_restarts_and_a_full_disk() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return soak(&PathBuf::from(folder));
    }
    assert!(rustix::process::geteuid().is_root(), "only root can start an engine: run the test as root");
    let folder = data_directory();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ENTER, "sh"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["a_thousand_jobs_", "--ignored", "--nocapture"]);
    command.env(FOLDER, folder.path()).env("DOCKER_HOST", engine::address(folder.path()));
    let status = command.status().unwrap();
    if !status.success() {
        let _ = std::fs::remove_dir_all(folder.path().join("engine"));
        panic!("{status}; the logs are in {}", folder.keep().display());
    }
}

fn soak(folder: &Path) {
    let n_jobs = std::env::var("SOAK_JOBS").map_or(1000, |text| text.parse().expect("SOAK_JOBS is a number"));
    let engine = Engine::start(folder);
    let _registry = Registry::start(folder, REGISTRY);
    let house = House::over(test_database());
    let clients = Clients::new(house.api_url(), n_jobs);
    let mut trouble = Trouble::new(house, folder, engine);
    let began = Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for _ in 0..N_CLIENTS {
        runtime.spawn(std::sync::Arc::clone(&clients).work());
    }
    let mut last = (0, Instant::now());
    loop {
        let n_done = clients.n_done.load(Ordering::Relaxed);
        if n_done == n_jobs {
            break;
        }
        if n_done > last.0 {
            last = (n_done, Instant::now());
        }
        assert!(last.1.elapsed() < STALL, "nothing ends any more after {n_done} jobs");
        trouble.make(n_done as f64 / n_jobs as f64);
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let took = began.elapsed();
    runtime.block_on(clients.audit());
    let mut seen = clients.take_seen();
    let n_builds = seen.kinds.get(&Kind::Build).copied().unwrap_or_default();
    let n_kills = trouble.n_kills;
    let count = |event: &str| seen.events.get(event).copied().unwrap_or_default();
    let (n_lost, n_released) = (count("requeued"), count("released"));
    // A claim is lost only when its worker was killed: at most a worker's jobs for each kill.
    if n_lost > trouble::JOBS_AT_ONCE * n_kills {
        seen.problems.push(format!("{n_lost} claims were lost by {n_kills} kills"));
    }
    // Each trouble may release the jobs that all workers run, and those that they were just given. In addition, an answer may cross
    // with a cancelled request. More releases would mean that the same jobs are released again and again.
    let n_troubles = n_kills + trouble::N_ONCE;
    if n_released > 2 * trouble::N_WORKERS * trouble::JOBS_AT_ONCE * n_troubles + n_jobs / CROSSED {
        seen.problems.push(format!("{n_released} claims were given back in {n_troubles} troubles"));
    }
    let troubles = trouble.end(&mut seen.problems);
    seen.problems.extend(left_behind(n_builds, n_troubles));
    println!("{}", summary(n_jobs, took, &seen, &troubles));
    assert!(seen.problems.is_empty(), "{} problems:\n{}", seen.problems.len(), seen.problems.join("\n"));
    assert_eq!(seen.ids.len(), n_jobs);
}

fn summary(n_jobs: usize, took: Duration, seen: &Seen, troubles: &str) -> String {
    let list = |entries: Vec<String>| entries.join(", ");
    let kinds = list(seen.kinds.iter().map(|(kind, n)| format!("{n} {kind:?}")).collect());
    let events = list(seen.events.iter().map(|(event, n)| format!("{n} {event}")).collect());
    let (seconds, problems) = (took.as_secs_f64(), seen.problems.len());
    let rate = n_jobs as f64 / seconds;
    format!(
        "soak: {n_jobs} jobs in {seconds:.0} s, {rate:.2} jobs/s ({kinds}); {troubles}; events: {events}; {problems} problems"
    )
}
