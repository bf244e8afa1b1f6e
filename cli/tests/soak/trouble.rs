//! What happens to the processes while jobs run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::clients::QUEUE;
use crate::engine::Engine;
use crate::support::house::{House, free_port};
use crate::support::{Running, asman, is_alive, until};

/// Most jobs that one worker runs at once.
pub const JOBS_AT_ONCE: usize = 4;
pub const N_WORKERS: usize = 2;
/// Time between two kills of workers. They are killed in turn, so each lives for twice as long.
const KILL_EVERY: Duration = Duration::from_secs(6);
const FULL_FOR: Duration = Duration::from_secs(5);
/// Size of the second worker's disk, what the worker keeps free, and what is left when the disk is full.
const DISK: u64 = 256 << 20;
const RESERVE: &str = "64m";
const LEFT: u64 = 40 << 20;

type Act = fn(&mut Trouble);

/// Number of troubles other than kills of workers.
pub const N_ONCE: usize = ONCE.len();
/// The troubles that happen once, each when this share of the jobs has ended.
const ONCE: [(f64, Act); 4] =
    [(0.2, Trouble::kill_api), (0.4, Trouble::drain_worker), (0.55, Trouble::restart_engine), (0.7, Trouble::fill_disk)];

/// One worker and its folder.
struct Worker {
    id: &'static str,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    running: Running,
}

/// All processes of the test, and what was done to them.
pub struct Trouble {
    // When the test fails, the processes are ended in this order.
    workers: Vec<Worker>,
    api: Running,
    engine: Engine,
    house: House,
    n_once: usize,
    last_kill: Instant,
    pub n_kills: usize,
    problems: Vec<String>,
}

impl Trouble {
    /// Starts the API and two workers, the second on a small disk of its own.
    pub fn new(house: House, folder: &Path, engine: Engine) -> Self {
        let api = house.start_api();
        let small = folder.join("small");
        std::fs::create_dir(&small).unwrap();
        let mount = ["-t", "tmpfs", "-o", &format!("size={DISK}"), "tmpfs"];
        assert!(Command::new("mount").args(mount).arg(&small).status().unwrap().success());
        let places: [_; N_WORKERS] = [("first", folder.join("first")), ("second", small.join("second"))];
        let workers = places.map(|(id, data)| {
            let (log, port) = (folder.join(format!("{id}.log")), free_port());
            let running = start_worker(&house, id, &data, &log, port);
            Worker { id, data, log, port, running }
        });
        let last_kill = Instant::now();
        Self { house, workers: workers.into(), api, engine, n_once: 0, last_kill, n_kills: 0, problems: Vec::new() }
    }

    /// Does what is due when this share of the jobs has ended.
    pub fn make(&mut self, share: f64) {
        for worker in &mut self.workers {
            if !is_alive(worker.running.pid().as_raw_nonzero().get()) {
                self.problems.push(format!("worker {} ended by itself: {:?}", worker.id, worker.running.wait()));
                worker.restart(&self.house);
            }
        }
        if let Some((_, act)) = ONCE.get(self.n_once).filter(|(at, _)| share >= *at) {
            self.n_once += 1;
            act(self);
            self.last_kill = Instant::now();
        } else if self.last_kill.elapsed() >= KILL_EVERY {
            let worker = &mut self.workers[self.n_kills % N_WORKERS];
            worker.running.signal(Signal::KILL);
            worker.running.wait();
            worker.restart(&self.house);
            self.n_kills += 1;
            self.last_kill = Instant::now();
        }
    }

    fn kill_api(&mut self) {
        self.api.signal(Signal::KILL);
        self.api.wait();
        self.api = self.house.start_api();
    }

    fn drain_worker(&mut self) {
        let worker = &mut self.workers[0];
        let status = worker.running.stop();
        if !status.success() {
            self.problems.push(format!("worker {} drained with {status}", worker.id));
        }
        worker.restart(&self.house);
    }

    fn restart_engine(&mut self) {
        self.engine.restart();
    }

    /// Leaves less disk space than the reserve, so that no job is claimed, but enough for the jobs that run.
    fn fill_disk(&mut self) {
        let worker = &self.workers[1];
        let path = worker.data.parent().unwrap().join("fill");
        let mut file = std::fs::File::create(&path).unwrap();
        let piece = vec![0; 1 << 20];
        let room = || rustix::fs::statvfs(&path).map(|stat| stat.f_bavail * stat.f_frsize).unwrap();
        while room() > LEFT {
            file.write_all(&piece).unwrap();
        }
        // The file must be closed, because otherwise its space stays in use after its removal.
        drop(file);
        until(|| worker.health().filter(|said| said["reason"].as_str().is_some_and(|why| why.contains("disk"))));
        std::thread::sleep(FULL_FOR);
        std::fs::remove_file(&path).unwrap();
        until(|| worker.health().filter(|said| said["state"] == "ready"));
    }

    /// Ends the workers as an operator does, checks what they leave on disk, and returns a summary of the troubles.
    pub fn end(mut self, problems: &mut Vec<String>) -> String {
        let mut n_adopted = 0;
        for worker in &mut self.workers {
            let status = worker.running.stop();
            if !status.success() {
                self.problems.push(format!("worker {} ended with {status}", worker.id));
            }
            for name in ["jobs", "spool"] {
                let left = std::fs::read_dir(worker.data.join(name)).unwrap().map(|entry| entry.unwrap().file_name());
                let left: Vec<_> = left.collect();
                if !left.is_empty() {
                    self.problems.push(format!("worker {} left in {name}: {left:?}", worker.id));
                }
            }
            n_adopted += std::fs::read_to_string(&worker.log).unwrap().matches("a job of an earlier run continues").count();
        }
        if self.n_once < ONCE.len() {
            self.problems.push(format!("only {} of the troubles happened", self.n_once));
        }
        problems.append(&mut self.problems);
        // The caller checks what is left in the engine, which ends with the namespace.
        std::mem::forget(self.engine);
        let n_kills = self.n_kills;
        format!(
            "{n_kills} kills of workers, {n_adopted} jobs taken over, 1 API killed, 1 worker drained, 1 engine restarted, 1 disk full"
        )
    }
}

impl Worker {
    fn restart(&mut self, house: &House) {
        self.running = start_worker(house, self.id, &self.data, &self.log, self.port);
        // A worker that starts while the engine is down ends at once, as it should. In that case there is no answer yet.
        until(|| self.health());
    }

    fn health(&self) -> Option<Value> {
        let output = Command::new("curl").args(["-s", &format!("http://127.0.0.1:{}/healthz", self.port)]).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }
}

/// Starts a worker whose output goes to a file, for the analysis of a failed test.
fn start_worker(house: &House, id: &str, data: &Path, log: &Path, port: u16) -> Running {
    let mut worker = asman();
    worker.args([
        "worker",
        "run",
        QUEUE,
        "--id",
        id,
        "--jobs",
        &JOBS_AT_ONCE.to_string(),
        "--cpus",
        "2",
        "--memory",
        "2g",
        "--stop-grace",
        "1s",
    ]);
    worker.args(["--drain-timeout", "20s", "--disk-reserve", RESERVE, "--heartbeat", "500ms", "--port", &port.to_string()]);
    worker.args(["--api", &house.api_url(), "--data-directory"]).arg(data);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >>\"$0\" 2>&1"]).arg(log).arg(worker.get_program()).args(worker.get_args());
    for (name, value) in worker.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Running::start(&mut command)
}
