//! A Docker engine that the worker starts itself, for a container or a virtual machine that only runs a worker.
//!
//! The engine keeps its images below the data directory and listens at `DOCKER_HOST` or at the usual socket. The worker stops it at the
//! end. Its log is kept in two files of at most [`LOG_BYTES_MAX`] each.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use crate::engine::engine_version;
use crate::error::Error;

const READY_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);
/// The engine stops its containers first, so it may take this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
const SOCKET: &str = "/var/run/docker.sock";
/// Folders to search besides `PATH`, because services often run without them in `PATH`.
const PLACES: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// A running engine. [`Dockerd::stop`] lets the engine stop its containers first. Dropping this value kills the engine.
#[derive(Debug)]
pub struct Dockerd {
    child: Child,
    log: JoinHandle<()>,
    /// Folder of its sockets and its pid file.
    runtime: PathBuf,
}

impl Dockerd {
    /// Starts an engine and waits until it answers. Returns None when an engine answers already.
    pub(crate) async fn start(data: impl FnOnce() -> Result<PathBuf, Error>) -> Result<Option<Self>, Error> {
        if let Ok(version) = engine_version().await {
            tracing::info!(version, "a Docker engine answers already, so the worker does not start one");
            return Ok(None);
        }
        if !rustix::process::geteuid().is_root() {
            let sentence = "only root can start a Docker engine; run the worker as root, or start an engine yourself and leave out --start-docker";
            return Err(Error::NoDockerd(sentence.to_owned()));
        }
        let data = data()?;
        let (mut command, runtime) = command(&find()?, &socket()?, &data)?;
        let mut child = command.spawn().map_err(|error| Error::NoDockerd(format!("cannot start dockerd: {error}")))?;
        let log_path = data.join("dockerd.log");
        tracing::info!(log = %log_path.display(), "Docker engine started");
        let stderr = child.stderr.take();
        let log = tokio::spawn(keep_log(stderr, log_path.clone()));
        let mut engine = Self { child, log, runtime };
        let Some(sentence) = engine.until_ready().await else { return Ok(Some(engine)) };
        engine.stop().await;
        Err(Error::NoDockerd(format!("{sentence}; see {}", log_path.display())))
    }

    /// Waits for the engine. Returns why it did not start, or None when it answers.
    async fn until_ready(&mut self) -> Option<String> {
        let deadline = tokio::time::Instant::now() + READY_TIMEOUT;
        while engine_version().await.is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(format!("the Docker engine ended during its start ({status})"));
            }
            if tokio::time::Instant::now() > deadline {
                return Some("the Docker engine does not answer a minute after its start".to_owned());
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    /// Stops the engine and waits until it has ended.
    pub async fn stop(mut self) {
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, Signal::TERM);
            match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
                Ok(ended) => tracing::info!(status = %words_of(ended), "Docker engine stopped"),
                Err(_elapsed) => {
                    tracing::warn!("the Docker engine does not stop, so the worker kills it");
                    let _ = self.child.kill().await;
                }
            }
        }
        self.log.abort();
        let _ = std::fs::remove_dir_all(&self.runtime);
    }
}

fn words_of(ended: io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}

fn find() -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(PLACES.map(PathBuf::from));
    places.map(|folder| folder.join("dockerd")).find(|file| file.is_file()).ok_or_else(|| {
        let sentence = "dockerd is not installed; install it (Debian and Ubuntu: `apt-get install docker.io`), or leave out \
                        --start-docker and let DOCKER_HOST name an engine";
        Error::NoDockerd(sentence.to_owned())
    })
}

/// The socket of the engine, where the worker connects.
fn socket() -> Result<PathBuf, Error> {
    match std::env::var("DOCKER_HOST") {
        Err(_) => Ok(PathBuf::from(SOCKET)),
        Ok(address) => address.strip_prefix("unix://").map(PathBuf::from).ok_or_else(|| {
            Error::NoDockerd(
                "DOCKER_HOST is the address of an engine elsewhere, and --start-docker cannot start that one; unset DOCKER_HOST"
                    .to_owned(),
            )
        }),
    }
}

fn command(dockerd: &Path, socket: &Path, data: &Path) -> Result<(Command, PathBuf), Error> {
    let failed = |source| Error::DataDirectory { path: data.to_owned(), source };
    std::fs::create_dir_all(data).map_err(failed)?;
    let data = data.canonicalize().map_err(failed)?;
    // The path is short, because paths of sockets must be short, and each data directory has its own.
    let name = protocol::sha256_hex(data.as_os_str().as_encoded_bytes());
    let runtime = PathBuf::from(format!("/run/asman-docker-{}", &name[..12]));
    let pid_file = runtime.join("docker.pid");
    std::fs::create_dir_all(&runtime).map_err(|source| Error::DataDirectory { path: runtime.clone(), source })?;
    // No engine answers, so the process of an old pid file is gone, and another program may have its number by now.
    let _ = std::fs::remove_file(&pid_file);
    let mut command = Command::new(dockerd);
    command.arg("--host").arg(format!("unix://{}", socket.display()));
    command.arg("--data-root").arg(data.join("docker")).arg("--exec-root").arg(&runtime).arg("--pidfile").arg(pid_file);
    // The engine has its own process group, so that Ctrl-C reaches only the worker, which lets its jobs end first. If the worker drops
    // the child, the engine is killed.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    Ok((command, runtime))
}

/// Keeps the end of the engine's log.
async fn keep_log(stderr: Option<ChildStderr>, path: PathBuf) {
    let Some(mut stderr) = stderr else { return };
    let mut file = None;
    let mut length = 0;
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = stderr.read(&mut bytes).await {
        if file.is_none() || length + n > LOG_BYTES_MAX {
            let _ = std::fs::rename(&path, path.with_extension("log.1"));
            file = std::fs::File::create(&path).ok();
            length = 0;
        }
        length += n;
        // On a full disk only the log is lost.
        let _ = file.as_mut().map(|file| file.write_all(&bytes[..n]));
    }
}
