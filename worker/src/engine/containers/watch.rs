//! Watches a running container: its use of disk, which the engine does not limit, and whether it is at its limit of processes.
//!
//! Disk use is the outputs, the changed files of the root file system, the volumes of the image, and the cache. A shared cache counts by
//! its growth, and only while no other job writes to it, because otherwise it is unknown which job wrote the bytes. The size of a file is
//! that of its blocks, so a sparse file counts little, but it is at least 1 KiB, so a flood of empty files counts too.
//!
//! When a disk is nearly full although no job is over its limit, the worker stops the job that wrote the most, before all jobs fail.
//!
//! Where the worker can read the kernel's counter, it sees within a tenth of a second that the kernel refused a process. Elsewhere it asks
//! the engine every two seconds. If the container ends before that, only its own output shows the refusal.
//!
//! Reading a tree takes time. The pause before the next measurement is twenty times as long as the last measurement, but at most half a
//! minute. So a watch uses at most 5 % of one cpu, unless a measurement takes longer than 1.5 seconds.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::Containers;
use crate::disk::{Room, Writer, mib, size_of};
use crate::engine::{ContainerLocation, Job, Watch};

const PAUSE_LEAST: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// The pause after a measurement is this many times as long as the measurement.
const SHARE: u32 = 20;
/// Pause between two reads of the kernel's counter, which is one small file.
const PIDS_PAUSE: Duration = Duration::from_millis(100);
/// Pause between two requests to the engine, where the counter cannot be read.
const PIDS_PAUSE_ASKED: Duration = Duration::from_secs(2);

/// Watches one container.
pub(super) struct ContainerWatch<'a> {
    containers: &'a Containers,
    job: &'a Job<'a>,
    /// Why the job is stopped, once it has written too much.
    over_disk: OnceLock<String>,
    is_at_pids: AtomicBool,
    /// The job's cache, until the watch begins.
    cache: Option<Cache>,
}

/// Disk use by place, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    outputs: u64,
    rootfs: u64,
    volumes: u64,
    cache: u64,
}

impl Usage {
    fn with_cache(self, cache: u64) -> Self {
        Self { cache, ..self }
    }

    fn total(self) -> u64 {
        self.outputs.saturating_add(self.rootfs).saturating_add(self.volumes).saturating_add(self.cache)
    }
}

/// A cache folder and what a job added to it.
#[derive(Debug)]
struct Cache {
    writer: Writer,
    path: PathBuf,
    last: u64,
    added: u64,
}

impl<'a> ContainerWatch<'a> {
    /// Opens a watch. Call it before the container starts, because the content of the cache until then does not count for the job.
    pub(super) async fn open(containers: &'a Containers, job: &'a Job<'a>) -> Self {
        let writer = containers.isolation.writers.add(job.cache);
        let cache = Some(Cache::open(writer, job.cache.to_owned()).await);
        Self { containers, job, over_disk: OnceLock::new(), is_at_pids: AtomicBool::new(false), cache }
    }

    async fn watch(&mut self, id: &str) {
        let Some(cache) = self.cache.take() else { return pending().await };
        let Some(location) = self.location(id).await else { return pending().await };
        tokio::select! {
            () = self.watch_disk(id, &location, cache) => (),
            () = self.watch_pids(id, location.pid) => (),
        }
    }

    async fn watch_disk(&self, id: &str, location: &ContainerLocation, mut cache: Cache) {
        let most = self.containers.isolation.disk_bytes;
        let outputs = self.job.scratch.outputs();
        loop {
            let began = Instant::now();
            let usage = self.measure(id, location).await.with_cache(cache.look(most).await);
            let room = Room::scarcest([outputs.as_path()].into_iter().chain(location.rootfs.as_deref()));
            let must_yield = cache.writer.must_yield(usage.total(), room);
            if usage.total() > most || must_yield {
                let room = room.filter(|_| usage.total() <= most);
                let _ = self.over_disk.set(sentence(usage, most, room));
                return;
            }
            tokio::time::sleep((began.elapsed() * SHARE).clamp(PAUSE_LEAST, PAUSE_MOST)).await;
        }
    }

    /// Watches for the limit of processes. Never returns.
    async fn watch_pids(&self, id: &str, pid: i64) {
        let counter = refusals_file(pid, id);
        while !self.is_at_pids.load(Ordering::Relaxed) {
            let (is_at_limit, pause) = match &counter {
                Some(path) => (has_refused(path), PIDS_PAUSE),
                None => (self.pids_stand_at_limit(id).await, PIDS_PAUSE_ASKED),
            };
            self.is_at_pids.store(is_at_limit, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
        }
        pending::<()>().await;
    }

    /// Whether the container has as many processes as it may. When the engine does not answer, the answer is no, and the caller asks again.
    async fn pids_stand_at_limit(&self, id: &str) -> bool {
        let most = u64::from(self.containers.isolation.pids());
        self.containers.docker.pids(id).await.is_ok_and(|pids| pids >= most)
    }

    /// The container's process and folders. None when the engine does not report them.
    async fn location(&self, id: &str) -> Option<ContainerLocation> {
        match self.containers.docker.location(id).await {
            Ok(mut found) => {
                // The path is valid on the engine's machine. If it cannot be read here, the worker asks the engine for the size instead.
                found.rootfs = found.rootfs.filter(|path| std::fs::read_dir(path).is_ok());
                Some(found)
            }
            Err(fault) => {
                tracing::warn!(%fault, job = %self.job.claim.job_id, "cannot watch what the job writes to disk");
                None
            }
        }
    }

    async fn measure(&self, id: &str, written: &ContainerLocation) -> Usage {
        let most = self.containers.isolation.disk_bytes;
        let rootfs = match &written.rootfs {
            Some(path) => size_of(vec![path.clone()], most).await,
            None => self.containers.docker.rootfs_bytes(id).await.unwrap_or(0),
        };
        Usage {
            outputs: size_of(vec![self.job.scratch.outputs()], most).await,
            rootfs,
            volumes: size_of(written.volumes.clone(), most).await,
            cache: 0,
        }
    }
}

impl Watch for ContainerWatch<'_> {
    fn until_over<'a>(&'a mut self, id: &'a str) -> BoxFuture<'a, ()> {
        self.watch(id).boxed()
    }

    fn over(&self) -> Option<&str> {
        self.over_disk.get().map(String::as_str)
    }

    fn note(&self) -> Option<String> {
        let (is_at_pids, most) = (self.is_at_pids.load(Ordering::Relaxed), self.containers.isolation.pids());
        is_at_pids.then(|| format!("the job reached its limit of {most} processes and threads"))
    }
}

fn sentence(usage: Usage, most: u64, room: Option<Room>) -> String {
    let why = match room {
        None => format!("the job wrote {} to disk, more than its limit of {}, and was stopped", mib(usage.total()), mib(most)),
        Some(room) => format!(
            "the worker's disk is nearly full ({} left), and this job was stopped because it wrote the most ({})",
            mib(room.free),
            mib(usage.total())
        ),
    };
    let Usage { outputs, rootfs, volumes, cache } = usage;
    let places = [("outputs", outputs), ("root file system", rootfs), ("volumes", volumes), ("cache", cache)];
    format!("{why}: {}", places.map(|(place, bytes)| format!("{place} {}", mib(bytes))).join(", "))
}

/// The file in which the kernel counts the processes that it refused to a container. None when it cannot be read here.
fn refusals_file(pid: i64, id: &str) -> Option<PathBuf> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let (mount, group) = groups.lines().find_map(|line| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
        [_, "pids", group] => Some(("/sys/fs/cgroup/pids", group)),
        ["0", "", group] => Some(("/sys/fs/cgroup", group)),
        _ => None,
    })?;
    // If the engine is on another machine, this number belongs to another process here.
    if !group.contains(id) {
        return None;
    }
    let path = Path::new(mount).join(group.trim_start_matches('/')).join("pids.events");
    path.is_file().then_some(path)
}

fn has_refused(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| line.strip_prefix("max ").is_some_and(|n| n != "0")))
}

impl Cache {
    async fn open(writer: Writer, path: PathBuf) -> Self {
        let last = size_of(vec![path.clone()], u64::MAX).await;
        Self { writer, path, last, added: 0 }
    }

    /// Bytes that this job added, counted while no other job used the cache.
    async fn look(&mut self, most: u64) -> u64 {
        let now = size_of(vec![self.path.clone()], self.last.saturating_add(most)).await;
        if self.writer.is_alone_in_cache() {
            self.added = (self.added + now).saturating_sub(self.last);
        }
        self.last = now;
        self.added
    }
}
