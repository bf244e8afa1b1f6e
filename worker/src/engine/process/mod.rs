//! Runs scripts of a folder, each as a process group of this machine.
//!
//! Use it only for your own scripts: a script may do everything that the worker's user may do. The first word of a job's entrypoint and
//! command is the name of a file in the folder. An executable file is run directly, another file by the interpreter of its file
//! extension. Cpus, memory and gpus are counted but not enforced.
//!
//! Output is read through pipes, so a script blocks when its output is not read. A script does not outlive its worker's claim: the worker
//! kills the process group when its first process ends and when the run is removed. If a worker was killed, the next worker of its data
//! directory kills the scripts that still run. The worker cannot kill processes that have left their group.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{ContainerSpec, Fault, Frame, Frames, Left, Prepared, RunEnd, Runs};
use record::Record;

mod engine;
mod record;

/// Interpreters of files that are not executable.
const INTERPRETERS: [(&str, &str); 6] =
    [("py", "python3"), ("sh", "sh"), ("r", "Rscript"), ("R", "Rscript"), ("jl", "julia"), ("js", "node")];
/// Paths of a job's folders in a container. A script finds its folders through the variables `JOB_INPUTS`, `JOB_OUTPUTS` and `JOB_CACHE`.
const FOLDERS: [&str; 3] = ["/inputs", "/outputs", "/job-cache"];
/// Variables of the worker that a script gets. All others come from the job.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "USER"];
const READ_BYTES: usize = 32 * 1024;
/// Most frames of one script that wait to be read.
const FRAMES_MAX: usize = 4;
/// Time for the rest of the output after a script's end, the same as in the Docker engine.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);
/// Why a script cannot be taken over.
const READ_ONCE: &str = "a script's output cannot be read twice";

/// Runs scripts of one folder. Clones share the runs.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    scripts: PathBuf,
    records: PathBuf,
    runs: Arc<Mutex<HashMap<String, Run>>>,
}

/// One script from `create` to `remove`.
#[derive(Debug)]
struct Run {
    command: Option<Command>,
    frames: Option<mpsc::Sender<Result<Frame, Fault>>>,
    group: Option<Pid>,
    ended: watch::Sender<Option<RunEnd>>,
    /// Task that waits for the end. It is aborted when the run is dropped.
    waiter: Option<AbortOnDropHandle<()>>,
}

fn job_fault(message: String) -> Fault {
    Fault::Refused { status: 400, message }
}

impl Processes {
    /// `scripts` is the folder of the scripts. `records` is a folder that only this worker uses.
    pub(crate) fn open(scripts: &Path, records: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&records)?;
        Ok(Self { scripts: scripts.canonicalize()?, records, runs: Arc::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, id: &str, look: impl FnOnce(&mut Run) -> Option<T>) -> Result<T, Fault> {
        let found = self.lock().get_mut(id).and_then(look);
        found.ok_or_else(|| Fault::Host("the script is gone".to_owned()))
    }

    /// The program and its first arguments for a script's name.
    fn program(&self, name: &str) -> Result<(PathBuf, Option<PathBuf>), Fault> {
        let path = self.scripts.join(name).canonicalize().ok().filter(|path| path.starts_with(&self.scripts) && path.is_file());
        let path = path.ok_or_else(|| job_fault(format!("this worker has no script {name:?}")))?;
        if path.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0) {
            return Ok((path, None));
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let interpreter = INTERPRETERS.iter().find(|(known, _)| *known == ending);
        let (_, interpreter) = interpreter.ok_or_else(|| {
            job_fault(format!(
                "the script {name:?} is not executable and its file extension names no interpreter; run `chmod +x` on it"
            ))
        })?;
        Ok((PathBuf::from(interpreter), Some(path)))
    }

    fn command(&self, spec: &ContainerSpec) -> Result<Command, Fault> {
        if let Some(mount) = spec.mounts.iter().find(|mount| !FOLDERS.contains(&mount.target.as_str())) {
            return Err(job_fault(format!(
                "a file cannot be placed at {:?}, because this worker runs scripts without containers",
                mount.target
            )));
        }
        let mut words = spec.entrypoint.iter().flatten().chain(spec.command.iter().flatten());
        let name =
            words.next().ok_or_else(|| job_fault("the job does not name a script, because its command is empty".to_owned()))?;
        let (program, script) = self.program(name)?;
        let mut command = Command::new(program);
        command.args(script).args(words).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        command.envs(spec.env.iter().filter_map(|pair| pair.split_once('=')));
        command.current_dir(spec.workdir.as_deref().map_or(self.scripts.as_path(), Path::new));
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    fn start_run(&self, id: &str) -> Result<(), Fault> {
        let (mut command, frames) = self.with(id, |run| Some((run.command.take()?, run.frames.take())))?;
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotADirectory => {
                job_fault(format!("cannot start the script: {error}"))
            }
            _ => Fault::Host(format!("starting a script: {error}")),
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let record = group.and_then(|group| Record::of(group).write(&self.records.join(id)).err());
        if let Some(error) = record {
            tracing::warn!(%error, "cannot record the process group of a script; after a crash of this worker it would keep running");
        }
        let readers = [
            frames.clone().zip(child.stdout.take()).map(|(frames, pipe)| tokio::spawn(read(pipe, false, frames))),
            frames.zip(child.stderr.take()).map(|(frames, pipe)| tokio::spawn(read(pipe, true, frames))),
        ];
        let ended = self.with(id, |run| Some(run.ended.clone()))?;
        let started = Instant::now();
        let waiter = tokio::spawn(async move {
            let status = child.wait().await;
            let duration = started.elapsed();
            kill(group, Signal::KILL);
            for reader in readers.into_iter().flatten() {
                let mut reader = AbortOnDropHandle::new(reader);
                let _ = timeout(OUTPUT_GRACE, &mut reader).await;
            }
            let exit_code = status.map_or(-1, exit_code);
            ended.send_replace(Some(RunEnd { exit_code, duration, is_out_of_memory: false }));
        });
        self.with(id, |run| {
            run.group = group;
            run.waiter = Some(AbortOnDropHandle::new(waiter));
            Some(())
        })
    }

    async fn end_of(&self, id: &str) -> Result<RunEnd, Fault> {
        let mut ended = self.with(id, |run| Some(run.ended.subscribe()))?;
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        end.ok_or_else(|| Fault::Host("the script is gone".to_owned()))
    }

    async fn stop_run(&self, id: &str, grace: Duration) -> Result<(), Fault> {
        let Ok(group) = self.with(id, |run| Some(run.group)) else { return Ok(()) };
        kill(group, Signal::TERM);
        if timeout(grace, self.end_of(id)).await.is_err() {
            kill(group, Signal::KILL);
            self.end_of(id).await?;
        }
        Ok(())
    }

    fn forget(&self, id: &str) {
        let run = self.lock().remove(id);
        kill(run.and_then(|run| run.group), Signal::KILL);
        let path = self.records.join(id);
        if let Some(record) = Record::read(&path) {
            record.kill();
        }
        let _ = std::fs::remove_file(path);
    }
}

/// Sends a signal to a group, if it still exists.
fn kill(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        let _ = kill_process_group(group, signal);
    }
}

/// The exit code, in the form of shells: 128 plus the signal's number if a signal ended the script.
fn exit_code(status: ExitStatus) -> i64 {
    use std::os::unix::process::ExitStatusExt;
    i64::from(status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(-1))
}

async fn read(mut pipe: impl AsyncRead + Unpin, is_stderr: bool, frames: mpsc::Sender<Result<Frame, Fault>>) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
        let bytes = bytes::Bytes::copy_from_slice(&buffer[..n]);
        if frames.send(Ok(Frame { is_stderr, bytes })).await.is_err() {
            return;
        }
    }
}

impl Runs for Processes {
    fn create<'a>(&'a self, prepared: &'a mut Prepared) -> BoxFuture<'a, Result<String, Fault>> {
        async move {
            let run = Run {
                command: Some(self.command(&prepared.spec)?),
                frames: None,
                group: None,
                ended: watch::Sender::new(None),
                waiter: None,
            };
            let id = uuid::Uuid::new_v4().to_string();
            self.lock().insert(id.clone(), run);
            Ok(id)
        }
        .boxed()
    }

    fn attach<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>> {
        async move {
            let (sender, receiver) = mpsc::channel(FRAMES_MAX);
            self.with(id, |run| Some(run.frames.replace(sender)))?;
            let frames =
                futures_util::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
            Ok(frames.boxed())
        }
        .boxed()
    }

    fn replay<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>> {
        async { Err(Fault::Host(READ_ONCE.to_owned())) }.boxed()
    }

    fn record<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>> {
        async { Err(Fault::Host(READ_ONCE.to_owned())) }.boxed()
    }

    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>> {
        let started = self.start_run(id);
        async { started }.boxed()
    }

    fn wait<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>> {
        async move { self.end_of(id).await.map(|_| ()) }.boxed()
    }

    fn stop<'a>(&'a self, id: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), Fault>> {
        self.stop_run(id, grace).boxed()
    }

    fn age<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Result<Duration, Fault>> {
        async { Ok(Duration::ZERO) }.boxed()
    }

    fn end<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<RunEnd, Fault>> {
        self.end_of(id).boxed()
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>> {
        self.forget(id);
        async { Ok(()) }.boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Left>, Fault>> {
        let names = std::fs::read_dir(&self.records).into_iter().flatten().flatten();
        let ids = names.filter_map(|entry| entry.file_name().into_string().ok());
        let left = ids.map(|id| Left { id, labels: HashMap::new(), can_go_on: false }).collect();
        async { Ok(left) }.boxed()
    }
}
