//! A worker in a data directory of its own, an image to run, and a look at what it leaves.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use protocol::{Duration, FinishRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use worker::{Config, Error, Shutdown};

use crate::api::FakeApi;

/// Busybox and nothing else.
pub(crate) const IMAGE: &str = "asman-worker-test:busybox";

pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Removes an image's name as soon as no container uses it: a finish comes before its container is gone.
pub(crate) async fn remove_image(image: &str) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let output = Command::new("docker").args(["rmi", image]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return;
        }
        assert!(said.contains("is using its referenced image") && tokio::time::Instant::now() < deadline, "{said}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Makes the image unless it is there.
pub(crate) async fn ensure_image() {
    if docker(&["images", "-q", IMAGE]).is_empty() {
        worker::import_image(IMAGE, rootfs()).await.unwrap();
    }
}

fn rootfs() -> Vec<u8> {
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
    tar.into_inner().unwrap()
}

/// A definition that runs a shell script.
pub(crate) fn script(text: &str) -> Value {
    json!({ "image": IMAGE, "command": format!("sh -c '{}'", text.replace('\'', r"'\''")) })
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
        let mut config = Config::for_queue("test queue".parse().unwrap(), &api.url);
        config.data_directory = Some(folder.path().join("data"));
        config.cpus = Some(2.0);
        config.memory = Some("1g".to_owned());
        config.heartbeat = Duration(std::time::Duration::from_millis(200));
        config.stop_grace = Duration(std::time::Duration::from_secs(1));
        change(&mut config);
        let shutdown = Shutdown::new();
        let task = tokio::spawn(worker::run(config.clone(), shutdown.clone()));
        Self { api, config, shutdown, task, folder }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.config.data_directory.clone().unwrap()
    }

    /// Runs one job to its finish.
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

    /// Ends the worker at once and checks the same.
    pub(crate) async fn stop(self) {
        self.shutdown.stop.cancel();
        self.end().await;
    }

    /// Waits for the end, checks that nothing is left, and gives the data directory for another worker.
    pub(crate) async fn end(self) -> TempDir {
        self.task.await.unwrap().unwrap();
        let data = self.config.data_directory.unwrap();
        assert_eq!(containers_of(&data), "", "no container is left");
        assert_eq!(names_in(&data.join("jobs")), Vec::<String>::new(), "no scratch is left");
        self.folder
    }
}

/// A registry on this machine, stopped when dropped.
pub(crate) struct Registry {
    process: std::process::Child,
    pub(crate) address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.path().join("config.yml");
        let root = folder.path().join("store");
        let text =
            format!("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n", root.display());
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        let mut process = command.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(process.stderr.take().unwrap()).lines();
        assert!(words.any(|line| line.unwrap().contains("listening on")), "the registry starts");
        std::thread::spawn(move || words.for_each(drop));
        Self { process, address, _folder: folder }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The label value of a data directory, as the worker makes it.
pub(crate) fn data_label(data: &Path) -> String {
    let path = data.canonicalize().unwrap();
    protocol::sha256_hex(path.to_str().unwrap().as_bytes())[..32].to_owned()
}

pub(crate) fn containers_of(data: &Path) -> String {
    docker(&["ps", "-aq", "--filter", &format!("label=asman.data={}", data_label(data))])
}

pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
