//! Runs the real binary in a clean environment, and waits for its output with a deadline.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

pub mod cluster;
pub mod garage;
pub mod house;
pub mod node;
pub mod registry;

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longest wait for anything that a test expects.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// The binary without any settings from the environment of the tests.
pub fn asman() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asman"));
    for name in [
        "DATABASE_URL",
        "DATABASE_LISTEN_URL",
        "ASMAN_API",
        "ASMAN_DATA_DIRECTORY",
        "ASMAN_LOG",
        "ASMAN_PORT",
        "ASMAN_TOKEN",
        "ASMAN_POSTGRES_BIN",
        "ASMAN_X",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs `asman` with these arguments and waits until it exits.
pub fn run(arguments: &[&str]) -> Output {
    asman().args(arguments).output().unwrap()
}

/// A data directory that Postgres's user can enter when root runs the tests.
pub fn data_directory() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running `asman`. It is asked to stop when dropped, so that a failed test leaves no server behind.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    /// The lines that were read from its stdout and stderr.
    pub said: Vec<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let voices: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for voice in voices {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(voice).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines, said: Vec::new() }
    }

    /// The next line of stdout or stderr that contains `part`.
    pub fn wait_for(&mut self, part: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else { panic!("no line with {part:?} in {:#?}", self.said) };
            self.said.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits for a line that contains `part`, unless such a line came already.
    pub fn wait_until_said(&mut self, part: &str) {
        if !self.said.iter().any(|line| line.contains(part)) {
            self.wait_for(part);
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for the end of the process, and reads the rest of its output.
    pub fn wait(&mut self) -> ExitStatus {
        let status = until(|| self.child.try_wait().unwrap());
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
            self.said.push(line);
        }
        status
    }

    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // A process that cannot end by itself, such as a worker without its API, is ended, because the test is over.
            let _ = kill_process(self.pid(), Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(5);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A running `asman up` with its API and worker.
pub struct Stack {
    /// The address of its API.
    pub api: String,
    running: Running,
    /// Kept for as long as the stack runs.
    data: Option<TempDir>,
}

impl Stack {
    /// `asman up` with a data directory, on any free port.
    pub fn command(data: &Path) -> Command {
        Self::command_on(data, "0")
    }

    fn command_on(data: &Path, port: &str) -> Command {
        let mut command = asman();
        command.args(["up", "--port", port, "--data-directory"]).arg(data);
        command
    }

    /// Starts it with a data directory of its own.
    pub fn start() -> Self {
        let data = data_directory();
        let mut stack = Self::start_on(data.path());
        stack.data = Some(data);
        stack
    }

    pub fn start_on(data: &Path) -> Self {
        Self::start_with(data, "0")
    }

    pub fn start_with(data: &Path, port: &str) -> Self {
        let mut running = Running::start(&mut Self::command_on(data, port));
        let api = address_of(&running.wait_for("Asman is up"));
        Self { api, running, data: None }
    }

    pub fn stop(&mut self) {
        assert_eq!(self.running.stop().code(), Some(0), "{:?}", self.running.said);
    }
}

/// The address in the line that reports the start of the stack.
pub fn address_of(line: &str) -> String {
    line[line.find("http://").unwrap()..].trim().to_owned()
}

/// Asks until there is an answer. Tests depend on the deadline, not on the length of the pause.
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "nothing happened within {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// The same inside a runtime, whose other tasks continue meanwhile.
pub async fn eventually<T, F: Future<Output = Option<T>>>(ask: impl FnMut() -> F) -> T {
    within(DEADLINE, ask).await
}

/// The same with a bound of the test's own.
pub async fn within<T, F: Future<Output = Option<T>>>(bound: Duration, mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        loop {
            tick.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(bound, asking).await.unwrap_or_else(|_| panic!("what was waited for did not happen within {bound:?}"))
}

/// Waits until an API reports that it is ready.
pub async fn ready(http: &reqwest::Client, api: &str) {
    let is_ready = || async {
        let answer = http.get(format!("{api}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
    };
    eventually(is_ready).await;
}

/// The server's process id, from the file that it keeps.
pub fn postmaster(data: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(data.join("database/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// Whether a process runs. If it has ended but its parent has not waited for it, it has no working directory any more.
pub fn is_alive(pid: i32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok()
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
