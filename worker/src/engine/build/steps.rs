//! Limits the running steps of `BuildKit`, which accepts no limits of memory, cpu and disk for them.
//!
//! This works when the engine is on this machine and the worker is root. Otherwise the steps have no limits, and the log says so. The
//! engine makes a mount and a control group for each running step, both named after the id of the step. Every [`LOOK_EVERY`] the worker
//! looks for new mounts and applies the job's limits to their steps. It also measures what the steps write. It cannot tell the steps of two
//! builds apart, so it runs only one `BuildKit` build at a time.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::disk::{Bounds, NAMED_MAX};
use crate::disk::{ImageStore, Room, mib, size_of};
use crate::engine::Docker;

const LOOK_EVERY: Duration = Duration::from_millis(50);
const MEASURE_LEAST: Duration = Duration::from_millis(500);
const MEASURE_MOST: Duration = Duration::from_secs(30);
/// The pause after a measurement is this many times as long as the measurement.
const SHARE: u32 = 20;
const CPU_PERIOD_MICROS: u32 = 100_000;
/// Most attempts to find the control group of a new step.
const LOOKS_MAX: u32 = 40;

/// Limits of each step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) memory_bytes: u64,
    pub(super) cpus: f64,
}

#[derive(Debug)]
struct Running {
    /// Folder with the changes of the step to its root file system.
    upper: PathBuf,
    bytes: u64,
    looks: u32,
    is_held: bool,
}

/// The folder of running steps. None when the worker cannot limit them.
pub(super) async fn place(docker: &Docker) -> Option<PathBuf> {
    let root = if rustix::process::geteuid().is_root() { ImageStore::folder(docker).await } else { None };
    root.filter(|root| root.is_dir()).map(|root| root.join("buildkit/executor"))
}

/// Returns a sentence when the build must be stopped because it exceeds a limit. Otherwise never returns.
pub(super) async fn until_over(bounds: &Bounds, limits: Limits, place: Option<PathBuf>) -> String {
    let Some(place) = place else { return std::future::pending().await };
    let others: HashSet<String> = mounts(&place).into_iter().map(|(id, _)| id).collect();
    let mut steps: BTreeMap<String, Running> = BTreeMap::new();
    let writer = bounds.writers.add(&bounds.folder);
    let mut next = Instant::now();
    loop {
        for (id, upper) in mounts(&place).into_iter().filter(|(id, _)| !others.contains(id)) {
            steps.entry(id).or_insert(Running { upper, bytes: 0, looks: 0, is_held: false });
        }
        if steps.len() > NAMED_MAX {
            return format!("the build ran more than {NAMED_MAX} steps and was stopped");
        }
        for (id, step) in steps.iter_mut().filter(|(_, step)| !step.is_held && step.looks < LOOKS_MAX) {
            step.looks += 1;
            step.is_held = limits.apply(id);
            if step.looks == LOOKS_MAX && !step.is_held {
                tracing::warn!("a step of a build has no limits of memory and cpus, because its control group was not found");
            }
        }
        if Instant::now() >= next {
            let began = Instant::now();
            let written = measure(&mut steps, bounds.bytes).await;
            if written > bounds.bytes {
                return format!(
                    "the build wrote {} to disk, more than its limit of {}, and was stopped",
                    mib(written),
                    mib(bounds.bytes)
                );
            }
            let room = Room::scarcest([bounds.folder.as_path(), place.as_path()]);
            if writer.must_yield(written, room) {
                let written = mib(written);
                return format!(
                    "the worker's disk is nearly full, and this build was stopped because it wrote the most ({written})"
                );
            }
            next = Instant::now() + (began.elapsed() * SHARE).clamp(MEASURE_LEAST, MEASURE_MOST);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The bytes that all steps wrote. For an ended step this is the size of its folder, or the last measured size if the folder is gone.
async fn measure(steps: &mut BTreeMap<String, Running>, most: u64) -> u64 {
    let mut sum = 0_u64;
    for step in steps.values_mut() {
        if step.upper.is_dir() {
            step.bytes = size_of(vec![step.upper.clone()], most).await;
        }
        sum = sum.saturating_add(step.bytes);
    }
    sum
}

/// Ids of running steps, and the folders of their changes.
fn mounts(place: &Path) -> Vec<(String, PathBuf)> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts_in(&text, place)
}

fn mounts_in(text: &str, place: &Path) -> Vec<(String, PathBuf)> {
    let prefix = format!("{}/", place.display());
    let of_line = |line: &str| {
        let id = line.split(' ').nth(4)?.strip_prefix(&prefix)?.strip_suffix("/rootfs")?;
        let upper = line.rsplit_once(" - ")?.1.split([' ', ',']).find_map(|word| word.strip_prefix("upperdir="))?;
        Some((id.to_owned(), PathBuf::from(upper)))
    };
    text.lines().filter_map(of_line).filter(|(id, _)| id.bytes().all(|b| b.is_ascii_alphanumeric())).collect()
}

impl Limits {
    /// Applies the limits to a step's control group (v1 or v2). Returns whether that worked.
    fn apply(&self, id: &str) -> bool {
        let cpu = quota(self.cpus);
        let old = |kind: &str| PathBuf::from(format!("/sys/fs/cgroup/{kind}/docker/buildkit/{id}"));
        let (memory, cpus) = (old("memory"), old("cpu"));
        if memory.is_dir() && cpus.is_dir() {
            let bytes = self.memory_bytes.to_string();
            // `memory.memsw` limits memory and swap together. Not every kernel has it, so `is_set` does not depend on it.
            let is_set = write(&memory, "memory.limit_in_bytes", &bytes)
                && write(&cpus, "cpu.cfs_period_us", &CPU_PERIOD_MICROS.to_string())
                && write(&cpus, "cpu.cfs_quota_us", &cpu.to_string());
            write(&memory, "memory.memsw.limit_in_bytes", &bytes);
            return is_set;
        }
        let one = PathBuf::from(format!("/sys/fs/cgroup/docker/buildkit/{id}"));
        let is_set = one.is_dir()
            && write(&one, "memory.max", &self.memory_bytes.to_string())
            && write(&one, "cpu.max", &format!("{cpu} {CPU_PERIOD_MICROS}"));
        if is_set {
            write(&one, "memory.swap.max", "0");
        }
        is_set
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float to integer cast saturates")]
fn quota(cpus: f64) -> u32 {
    ((cpus * f64::from(CPU_PERIOD_MICROS)) as u32).max(1_000)
}

fn write(group: &Path, file: &str, value: &str) -> bool {
    std::fs::write(group.join(file), value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_steps_are_read_from_the_mounts() {
        let text = "1 2 0:8 / /var/lib/docker/buildkit/executor/i8lg1mzk/rootfs rw,relatime shared:8 - overlay overlay \
                    rw,lowerdir=/l/A,upperdir=/var/lib/docker/overlay2/x/diff,workdir=/w\n1 2 0:8 / /var/lib/docker/overlay2/y/merged rw - \
                    overlay overlay rw,upperdir=/u\n1 2 0:8 / /var/lib/docker/buildkit/executor/../rootfs rw - overlay overlay upperdir=/e\n";
        let found = mounts_in(text, Path::new("/var/lib/docker/buildkit/executor"));
        assert_eq!(found, [("i8lg1mzk".to_owned(), PathBuf::from("/var/lib/docker/overlay2/x/diff"))]);
        assert_eq!((quota(0.5), quota(0.000_1)), (50_000, 1_000));
    }
}
