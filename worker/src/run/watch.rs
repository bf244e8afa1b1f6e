//! What a running container uses that the engine does not bound: disk; and whether it stands at its limit of processes.
//!
//! Disk is the outputs, what the container changed of its root file system, the volumes of its image, and the cache. A shared cache
//! is counted by its growth, and only while no other job writes there: nobody could tell whose bytes they are. A file counts with
//! the blocks it takes, so a sparse one is small, and with [`ENTRY_BYTES`] at least, so a flood of empty ones is not free.
//!
//! A disk that is nearly full although no job is over its bound costs the job that wrote the most, before it costs all of them.
//!
//! That the kernel refused processes is seen a tenth of a second later; a container that ends before is not told of it, except by its
//! own words.
//!
//! Reading a tree takes time: the pause before the next look is twenty times as long as the last one took, within bounds, so a
//! watch costs 5 % of one cpu at most.

use std::collections::HashSet;
use std::future::pending;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use walkdir::WalkDir;

use super::Task;
use crate::executor::Whereabouts;
use crate::isolation::{Containers, Room, Writer};

const PAUSE_LEAST: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// Looks that cost this share of the time at most.
const SHARE: u32 = 20;
const ENTRY_BYTES: u64 = 1024;
/// Between two looks at the kernel's count, which is one small file.
const PIDS_PAUSE: Duration = Duration::from_millis(100);
/// Between two questions to the engine.
const PIDS_PAUSE_ASKED: Duration = Duration::from_secs(2);

/// What was seen of one container.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// One sentence, once the job wrote more than it may.
    over_disk: OnceLock<String>,
    is_at_pids: AtomicBool,
    /// Until the watch begins. None for what is no container.
    cache: Option<Cache>,
}

/// Bytes by place.
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

impl Watch {
    /// To be made before the container starts: what lies in its cache by then is not its own.
    pub(super) async fn open(task: &Task<'_>) -> Self {
        let cache = match &task.host.containers {
            Some(containers) => Some(Cache::open(containers.isolation.writers.enter(&task.cache), task.cache.clone()).await),
            None => None,
        };
        Self { cache, ..Self::default() }
    }

    /// Returns when the container has written more than it may; else never.
    pub(super) async fn until_over(&mut self, task: &Task<'_>, id: &str) {
        let (Some(containers), Some(cache)) = (&task.host.containers, self.cache.take()) else { return pending().await };
        let Some(whereabouts) = whereabouts(task, containers, id).await else { return pending().await };
        tokio::select! {
            () = self.watch_disk(task, containers, id, &whereabouts, cache) => (),
            () = self.watch_pids(containers, id, whereabouts.pid) => (),
        }
    }

    async fn watch_disk(&self, task: &Task<'_>, containers: &Containers, id: &str, whereabouts: &Whereabouts, mut cache: Cache) {
        let most = containers.isolation.disk_bytes;
        let outputs = task.scratch.outputs();
        loop {
            let began = Instant::now();
            let usage = measure(task, containers, id, whereabouts, most).await.with_cache(cache.look(most).await);
            let room = Room::scarcest([outputs.as_path()].into_iter().chain(whereabouts.rootfs.as_deref()));
            let must_yield = cache.writer.must_yield(usage.total(), room);
            if usage.total() > most || must_yield {
                let room = room.filter(|_| usage.total() <= most);
                let _ = self.over_disk.set(sentence(usage, most, room));
                return;
            }
            tokio::time::sleep((began.elapsed() * SHARE).clamp(PAUSE_LEAST, PAUSE_MOST)).await;
        }
    }

    /// Looks until the limit was seen to be reached, and never returns.
    async fn watch_pids(&self, containers: &Containers, id: &str, pid: i64) {
        let counter = refusals_file(pid, id);
        while !self.is_at_pids.load(Ordering::Relaxed) {
            let (is_at_limit, pause) = match &counter {
                Some(path) => (has_refused(path), PIDS_PAUSE),
                None => (pids_stand_at_limit(containers, id).await, PIDS_PAUSE_ASKED),
            };
            self.is_at_pids.store(is_at_limit, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
        }
        pending::<()>().await;
    }

    /// Why the container was ended, if it wrote too much.
    pub(super) fn over_disk(&self) -> Option<&String> {
        self.over_disk.get()
    }

    /// What the job's author should know.
    pub(super) fn note(&self, most_pids: u32) -> Option<String> {
        let is_at_pids = self.is_at_pids.load(Ordering::Relaxed);
        is_at_pids.then(|| format!("the job stood at its limit of {most_pids} processes and threads"))
    }
}

/// What an exit code says about a program that ended by itself, and not for lack of memory.
pub(super) fn signal_note(exit_code: i64) -> Option<String> {
    let (number, name) = match exit_code {
        132 => (4, "SIGILL"),
        134 => (6, "SIGABRT"),
        135 => (7, "SIGBUS"),
        136 => (8, "SIGFPE"),
        137 => (9, "SIGKILL"),
        139 => (11, "SIGSEGV"),
        143 => (15, "SIGTERM"),
        _ => return None,
    };
    let cause = if number == 9 { "; the engine saw no lack of memory" } else { "" };
    Some(format!("exit code {exit_code} means that signal {number} ({name}) ended the program{cause}"))
}

fn sentence(usage: Usage, most: u64, room: Option<Room>) -> String {
    let why = match room {
        None => format!("the job wrote more to disk than it may, {} of {}, and was stopped", mib(usage.total()), mib(most)),
        Some(room) => format!(
            "the worker's disk is nearly full, {} are left, and the job, which wrote the most, {}, was stopped",
            mib(room.free),
            mib(usage.total())
        ),
    };
    let Usage { outputs, rootfs, volumes, cache } = usage;
    let places = [("outputs", outputs), ("root file system", rootfs), ("volumes", volumes), ("cache", cache)];
    format!("{why}: {}", places.map(|(place, bytes)| format!("{place} {}", mib(bytes))).join(", "))
}

/// With one decimal.
pub(crate) fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// The kernel's count of processes that it refused to a container of this machine. None: it cannot be read here.
fn refusals_file(pid: i64, id: &str) -> Option<PathBuf> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let (mount, group) = groups.lines().find_map(|line| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
        [_, "pids", group] => Some(("/sys/fs/cgroup/pids", group)),
        ["0", "", group] => Some(("/sys/fs/cgroup", group)),
        _ => None,
    })?;
    // On another machine the number is another process's.
    if !group.contains(id) {
        return None;
    }
    let path = Path::new(mount).join(group.trim_start_matches('/')).join("pids.events");
    path.is_file().then_some(path)
}

fn has_refused(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| line.strip_prefix("max ").is_some_and(|n| n != "0")))
}

/// What cannot be told now is asked again.
async fn pids_stand_at_limit(containers: &Containers, id: &str) -> bool {
    let most = u64::from(containers.isolation.pids());
    containers.docker.pids(id).await.is_ok_and(|pids| pids >= most)
}

/// Where the container is. None: it is gone.
async fn whereabouts(task: &Task<'_>, containers: &Containers, id: &str) -> Option<Whereabouts> {
    match containers.docker.whereabouts(id).await {
        Ok(mut found) => {
            // Paths are of the engine's machine: what cannot be read here is asked of the engine.
            found.rootfs = found.rootfs.filter(|path| std::fs::read_dir(path).is_ok());
            Some(found)
        }
        Err(fault) => {
            tracing::warn!(%fault, job = %task.claim.job_id, "what the job writes is not watched");
            None
        }
    }
}

async fn measure(task: &Task<'_>, containers: &Containers, id: &str, written: &Whereabouts, most: u64) -> Usage {
    let rootfs = match &written.rootfs {
        Some(path) => size_of(vec![path.clone()], most).await,
        None => containers.docker.rootfs_bytes(id).await.unwrap_or(0),
    };
    Usage {
        outputs: size_of(vec![task.scratch.outputs()], most).await,
        rootfs,
        volumes: size_of(written.volumes.clone(), most).await,
        cache: 0,
    }
}

impl Cache {
    async fn open(writer: Writer, path: PathBuf) -> Self {
        let last = size_of(vec![path.clone()], u64::MAX).await;
        Self { writer, path, last, added: 0 }
    }

    /// What this job added, as far as it was alone.
    async fn look(&mut self, most: u64) -> u64 {
        let now = size_of(vec![self.path.clone()], self.last.saturating_add(most)).await;
        if self.writer.is_alone_in_cache() {
            self.added = (self.added + now).saturating_sub(self.last);
        }
        self.last = now;
        self.added
    }
}

/// Bytes that some trees take on disk; counting ends where they are more than the bound.
pub(crate) async fn size_of(folders: Vec<PathBuf>, bound: u64) -> u64 {
    let count = move || folders.iter().fold(0, |sum, folder| tree_bytes(folder, sum, bound));
    // Joining fails only when the runtime ends.
    tokio::task::spawn_blocking(count).await.unwrap_or(0)
}

fn tree_bytes(folder: &Path, mut sum: u64, bound: u64) -> u64 {
    let mut linked = HashSet::new();
    let entries = WalkDir::new(folder).min_depth(1).same_file_system(true);
    // What vanishes while it is counted takes no room.
    for entry in entries.into_iter().filter_map(Result::ok) {
        let Ok(about) = entry.metadata() else { continue };
        if about.nlink() > 1 && !about.is_dir() && !linked.insert((about.dev(), about.ino())) {
            continue;
        }
        sum = sum.saturating_add((about.blocks() * 512).max(ENTRY_BYTES));
        if sum > bound {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_counts_what_it_takes_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("full"), vec![1; 100_000]).unwrap();
        let full = tree_bytes(folder.path(), 0, u64::MAX);
        assert!((100_000..120_000).contains(&full), "{full}");
        std::fs::File::create(path("sparse")).unwrap().set_len(1 << 40).unwrap();
        std::fs::hard_link(path("full"), path("again")).unwrap();
        std::os::unix::fs::symlink("/", path("link")).unwrap();
        let more = tree_bytes(folder.path(), 0, u64::MAX);
        assert_eq!(more, full + 2 * ENTRY_BYTES, "one each for the sparse file and the link");
        assert!(tree_bytes(folder.path(), 0, 10) < full + ENTRY_BYTES);
    }

    #[test]
    fn a_killing_signal_is_told_from_a_lack_of_memory() {
        assert_eq!(signal_note(3), None);
        assert!(signal_note(137).unwrap().ends_with("signal 9 (SIGKILL) ended the program; the engine saw no lack of memory"));
    }
}
