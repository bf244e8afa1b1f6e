//! A worker with its own data directory, an image to run, and checks of what the worker leaves behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use protocol::FinishRequest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use worker::{Config, Error, Shutdown};

use crate::api::{DEADLINE, FakeApi};

/// An image with only busybox.
pub(crate) const IMAGE: &str = "asman-worker-test:busybox";

pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Whether the tests run on Podman, whose messages have other words for the same things.
pub(crate) fn is_podman() -> bool {
    docker(&["version", "--format", "{{range .Server.Components}}{{.Name}}{{end}}"]).contains("Podman")
}

/// Removes an image's name as soon as no container uses the image: a job's finish comes before its container is removed.
pub(crate) async fn remove_image(image: &str) {
    eventually("an image that no container uses", || {
        let output = Command::new("docker").args(["rmi", image]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_used =
            ["is using its referenced image", "image is in use by a container"].iter().any(|words| said.contains(words));
        assert!(output.status.success() || is_used, "{said}");
        output.status.success()
    })
    .await;
}

/// Makes the image unless it exists. Only one process does so at a time, because two would leave an image without a name.
pub(crate) async fn ensure_image() {
    let lock = File::create(std::env::temp_dir().join("asman-test-image.lock")).unwrap();
    lock.lock().unwrap();
    worker::import_image(IMAGE, rootfs("")).await.unwrap();
}

/// A file system with busybox, and with a file `/mark` that makes images differ.
pub(crate) fn rootfs(mark: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_path_with_name("/bin/busybox", "bin/busybox").unwrap();
    let applets = Command::new("/bin/busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines().filter(|name| *name != "busybox") {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    if !mark.is_empty() {
        let mut header = tar::Header::new_gnu();
        header.set_size(mark.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "mark", mark.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Checks again and again, because engines and disks do not notify of changes.
pub(crate) async fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !look() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A definition that runs a shell script.
pub(crate) fn script(text: &str) -> Value {
    json!({ "image": IMAGE, "command": format!("sh -c '{}'", text.replace('\'', r"'\''")) })
}

/// Settings of a small and fast worker.
fn config(api: &str, data: PathBuf) -> Config {
    let mut config = Config::for_queue("test queue".parse().unwrap(), api);
    config.data_directory = Some(data);
    config.cpus = Some(2.0);
    config.memory = Some("1g".to_owned());
    config.heartbeat = protocol::Duration(Duration::from_millis(200));
    config.stop_grace = protocol::Duration(Duration::from_secs(1));
    config
}

/// A worker in a separate process, which can be killed.
pub(crate) struct Victim {
    process: Child,
}

impl Victim {
    pub(crate) async fn start(api: &FakeApi, data: &Path) -> Self {
        ensure_image().await;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "harness::victim", "--ignored"]).env("VICTIM_API", &api.url).env("VICTIM_DATA", data);
        Self { process: command.stdout(Stdio::null()).spawn().unwrap() }
    }

    /// Kills the worker with SIGKILL.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
#[ignore = "run by those who kill it"]
async fn victim() {
    let [api, data] = ["VICTIM_API", "VICTIM_DATA"].map(|name| std::env::var(name).unwrap());
    worker::run(config(&api, data.into()), Shutdown::new()).await.unwrap();
}

pub(crate) struct TestWorker {
    pub(crate) api: FakeApi,
    pub(crate) config: Config,
    pub(crate) shutdown: Shutdown,
    task: JoinHandle<Result<(), Error>>,
    folder: TempDir,
}

impl TestWorker {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// Starts a worker and an API for it.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(FakeApi::start().await, change).await
    }

    pub(crate) async fn start_on(api: FakeApi, change: impl FnOnce(&mut Config)) -> Self {
        ensure_image().await;
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&api.url, folder.path().join("data"));
        change(&mut config);
        let shutdown = Shutdown::new();
        let task = tokio::spawn(worker::run(config.clone(), shutdown.clone()));
        Self { api, config, shutdown, task, folder }
    }

    /// A queue's `/job-cache`.
    pub(crate) fn job_cache(&self) -> PathBuf {
        self.data().join("cache").join(self.config.queue.qid().to_string())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.config.data_directory.clone().unwrap()
    }

    /// Whether the worker has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Runs one job until the API gets its finish.
    pub(crate) async fn run(&self, definition: &Value) -> (String, FinishRequest) {
        let job = self.api.submit(definition);
        let finish = self.api.finish_of(&job).await;
        (job, finish)
    }

    /// Ends the worker gently and checks that nothing is left.
    pub(crate) async fn drain(self) {
        self.shutdown.drain.cancel();
        self.end().await;
    }

    /// Ends the worker at once and makes the same checks.
    pub(crate) async fn stop(self) {
        self.shutdown.stop.cancel();
        self.end().await;
    }

    /// Ends the worker gently, makes the same checks, and returns the data directory.
    pub(crate) async fn drain_and_keep(self) -> TempDir {
        self.shutdown.drain.cancel();
        self.end().await
    }

    /// Ends the worker as a crash does: it cleans up nothing.
    pub(crate) async fn crash(self) -> TempDir {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        self.folder
    }

    /// Waits for the end of the worker, which must be a failure. Returns the error.
    pub(crate) async fn failure(self) -> Error {
        self.task.await.unwrap().unwrap_err()
    }

    /// Waits for the end, checks that nothing is left behind, and returns the data directory for another worker.
    pub(crate) async fn end(self) -> TempDir {
        self.task.await.unwrap().unwrap();
        let data = self.config.data_directory.unwrap();
        assert_eq!(containers_of(&data) + &sandboxes_of(&data), "", "no container is left");
        assert_eq!(names_in(&data.join("jobs")), Vec::<String>::new(), "no scratch is left");
        assert_eq!(networks_of(&data), "", "no network is left");
        let label = data_label(&data);
        assert_eq!(rules_by("iptables", &label) + &rules_by("ip6tables", &label), "", "no rule is left");
        self.folder
    }
}

/// The label value for a data directory, computed as the worker does.
pub(crate) fn data_label(data: &Path) -> String {
    let path = data.canonicalize().unwrap();
    protocol::sha256_hex(path.to_str().unwrap().as_bytes())[..32].to_owned()
}

pub(crate) fn containers_of(data: &Path) -> String {
    docker(&["ps", "-aq", "--filter", &format!("label=asman.data={}", data_label(data))])
}

/// Ids of the sandboxes that a worker has made for its jobs.
pub(crate) fn sandboxes_of(data: &Path) -> String {
    docker(&["ps", "-aq", "--no-trunc", "--filter", &format!("label=asman.sandbox={}", data_label(data))])
}

/// Whether a container runs. False for a container that was removed.
fn is_running(id: &str) -> bool {
    let output = Command::new("docker").args(["inspect", "--format", "{{.State.Running}}", id]).output().unwrap();
    output.stdout == b"true\n"
}

/// Waits until a worker has made all its sandboxes. Returns their ids.
pub(crate) async fn ready_sandboxes(data: &Path) -> Vec<String> {
    let mut ids = Vec::new();
    eventually("networks made ahead", || {
        // The worker creates its data directory first.
        ids = if data.exists() { sandboxes_of(data).lines().map(str::to_owned).collect() } else { Vec::new() };
        ids.len() == 2 && ids.iter().all(|id| is_running(id))
    })
    .await;
    ids
}

pub(crate) fn networks_of(data: &Path) -> String {
    networks_labelled(&data_label(data))
}

pub(crate) fn networks_labelled(label: &str) -> String {
    docker(&["network", "ls", "-q", "--filter", &format!("label=asman.data={label}")])
}

/// The worker's rules for IPv4 in the packet filter.
pub(crate) fn rules_of(data: &Path) -> String {
    rules_by("iptables", &data_label(data))
}

pub(crate) fn rules_by(program: &str, label: &str) -> String {
    // If the program is missing, or the user may not use it, a worker has no rules.
    let Ok(output) = Command::new(program).args(["-w", "-S"]).output() else { return String::new() };
    let id = &label[..12];
    let rules = String::from_utf8(output.stdout).unwrap();
    // Ignores the rules that Podman's plugin leaves of removed networks.
    let is_ours = |rule: &&str| rule.contains(id) && !rule.contains("CNI firewall plugin");
    rules.lines().filter(is_ours).collect::<Vec<_>>().join("\n")
}

pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
