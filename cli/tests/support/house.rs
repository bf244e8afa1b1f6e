//! Separate processes of one installation: a database, APIs and workers that a test can kill, stop and start one by one.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{Running, asman, text, until};

/// An image with busybox, made without a registry. An existing image is kept, so the number must grow when the content changes.
pub const IMAGE: &str = "asman-test/busybox:2";

/// A database, an API address and a folder; the test starts the processes.
pub struct House {
    pub folder: TempDir,
    pub database_url: String,
    pub port: u16,
}

impl House {
    /// A house over this database, migrated. Its API will listen on a port of its own.
    pub fn over(database_url: String) -> Self {
        let migrated = asman().args(["db", "migrate", "--database-url", &database_url]).output().unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        make_image();
        Self { folder: super::data_directory(), database_url, port: free_port() }
    }

    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the API on the house's port and waits until it answers. Its lease is longer than a worker's start on a busy machine.
    pub fn start_api(&self) -> Running {
        self.start_api_with_lease("20s")
    }

    /// The same with another lease, for tests that wait until a silent worker is lost.
    pub fn start_api_with_lease(&self, lease: &str) -> Running {
        let mut command = asman();
        command.args(["api", "--lease", lease, "--poll", "300ms", "--database-url", &self.database_url]);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port), "--blob-directory"]).arg(self.folder.path().join("blobs"));
        let running = Running::start(&mut command);
        until(|| self.get("/readyz").is_some_and(|body| body["ready"] == true).then_some(()));
        running
    }

    /// Starts a worker of the queue and waits until the API knows it.
    pub fn start_worker(&self, queue: &str, id: &str) -> Running {
        let mut command = asman();
        command.args(["worker", "run", queue, "--id", id, "--heartbeat", "500ms", "--stop-grace", "1s", "--jobs", "2"]);
        command.args(["--api", &self.api_url(), "--data-directory"]).arg(self.folder.path().join(id));
        let running = Running::start(&mut command);
        until(|| self.get(&format!("/q/{queue}/status"))?["localWorkers"].get(id).map(|_| ()));
        running
    }

    /// Submits a shell script as a job and returns its id.
    pub fn add(&self, queue: &str, script: &str) -> String {
        let command = format!("sh -c {}", shell_words::quote(script));
        let added = self.job(&["add", queue, "-i", IMAGE, "-c", &command, "--json"]).output().unwrap();
        assert!(added.status.success(), "{}", text(&added.stderr));
        let said: Value = serde_json::from_slice(&added.stdout).unwrap();
        said["jobId"].as_str().unwrap().to_owned()
    }

    pub fn job(&self, arguments: &[&str]) -> Command {
        let mut command = asman();
        command.arg("job").args(arguments).env("ASMAN_API", self.api_url());
        command
    }

    /// Sends a GET to the API. `None` while the API is down.
    pub fn get(&self, path: &str) -> Option<Value> {
        let output = Command::new("curl").args(["-s", "-m", "5", &format!("{}{path}", self.api_url())]).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Waits until the job has a result and returns it.
    pub fn result(&self, queue: &str, id: &str) -> Value {
        until(|| self.get(&format!("/q/{queue}/j/{id}/result.json")).filter(|body| body["data"].is_object()))["data"].clone()
    }

    /// Waits until a worker runs the job and returns the worker's id.
    pub fn wait_until_running(&self, queue: &str, id: &str) -> String {
        let running = || self.get(&format!("/q/{queue}/j/{id}")).filter(|body| body["data"]["results"]["state"] == "Running");
        until(running)["data"]["results"]["worker"].as_str().unwrap().to_owned()
    }

    /// What happened to the job, in order.
    pub fn events(&self, queue: &str, id: &str) -> Vec<String> {
        let history = self.get(&format!("/q/{queue}/j/{id}/history.json")).unwrap();
        history["data"].as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
    }

    /// The run's lines in a result.
    pub fn lines(result: &Value) -> Vec<String> {
        let logs = result["finished"]["result"]["logs"].as_array().unwrap();
        logs.iter().map(|line| line[0].as_str().unwrap().trim_end_matches('\n').to_owned()).collect()
    }
}

/// A port on which nobody listens now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A database of its own on the throw-away server of the tests.
pub fn test_database() -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(migrations::testing::TestDatabase::empty()).url
}

/// Loads [`IMAGE`] into the engine if it is not there. A second image would take the name from the first, which jobs may be about to
/// use. Only one process does this at a time.
pub fn make_image() {
    let lock = std::fs::File::create(std::env::temp_dir().join("asman-test-image.lock")).unwrap();
    lock.lock().unwrap();
    let there = Command::new("docker").args(["image", "inspect", "--format", "{{.Id}}", IMAGE]).output().unwrap();
    if there.status.success() {
        return;
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(PathBuf::from).find(|path| path.exists());
    let busybox = std::fs::read(busybox.expect("a static busybox is here: ./x test installs it")).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    tar.append_data(&mut header, "bin/busybox", busybox.as_slice()).unwrap();
    for tool in [
        "sh",
        "sleep",
        "seq",
        "cat",
        "echo",
        "true",
        "head",
        "base64",
        "sha256sum",
        "wc",
        "ls",
        "mkdir",
        "printf",
        "tr",
        "yes",
        "date",
    ] {
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        tar.append_link(&mut link, format!("bin/{tool}"), "busybox").unwrap();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(worker::import_image(IMAGE, tar.into_inner().unwrap())).unwrap();
}
