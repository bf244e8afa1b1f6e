//! Checks that the limits of a container are in force.
//!
//! If the container sees the kernel's files (cgroups v1 or v2), the probe reads the limits there. Otherwise it uses the limits that the
//! engine reports, because an engine that discards a limit does not report it.

use std::path::Path;

use crate::engine::{Docker, Helped};

const CPUS: f64 = 0.5;
const MEMORY_BYTES: u64 = 256 << 20;
/// Tolerance: the kernel rounds memory to pages and cpu time to microseconds.
const ROUNDED: f64 = 1.02;

/// The kernel's files: the name of the copy in the probe's folder, and the path in the container.
const FILES: [(&str, &str); 8] = [
    ("memory-v2", "/sys/fs/cgroup/memory.max"),
    ("memory-v1", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ("cpu-v2", "/sys/fs/cgroup/cpu.max"),
    ("cpu-v1", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    ("period-v1", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ("pids-v2", "/sys/fs/cgroup/pids.max"),
    ("pids-v1", "/sys/fs/cgroup/pids/pids.max"),
    ("cgroup", "/proc/self/cgroup"),
];

/// The limits that a probe asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) cpus: f64,
    pub(super) memory_bytes: u64,
    pids: u32,
}

/// Arguments that make the helper copy the token and every existing file of [`FILES`].
pub(super) fn arguments(folder: &str) -> Vec<String> {
    let pairs = FILES.map(|(name, source)| [source.to_owned(), format!("{folder}/{name}")]);
    let token = [format!("{folder}/in"), format!("{folder}/out")];
    ["copy".to_owned()].into_iter().chain(token).chain(pairs.into_iter().flatten()).collect()
}

/// Arguments that make the helper do nothing.
pub(super) fn no_arguments() -> Vec<String> {
    ["copy", "/helper", "/dev/null"].map(str::to_owned).into()
}

impl Limits {
    pub(super) fn for_probe(docker: &Docker, pids: u32) -> Self {
        let most = if docker.memory_bytes == 0 { u64::MAX } else { docker.memory_bytes / 2 };
        Self { cpus: CPUS, memory_bytes: MEMORY_BYTES.min(most), pids }
    }

    /// Fails with the names of the limits that are not in force.
    pub(super) fn check(&self, files: Option<&Path>, helped: &Helped) -> Result<(), String> {
        let read = |name: &str| std::fs::read_to_string(files?.join(name)).ok();
        let number = |name: &str| read(name).map(|text| number(&text));
        let memory = number("memory-v2").or_else(|| number("memory-v1")).unwrap_or_else(|| set(helped.memory_bytes));
        let cpus = read("cpu-v2").map(|text| share(&text));
        let cpus = cpus.or_else(|| Some(share(&format!("{} {}", read("cpu-v1")?, read("period-v1")?))));
        let cpus = cpus.unwrap_or_else(|| set(helped.nano_cpus) / 1e9);
        let pids = number("pids-v2").or_else(|| number("pids-v1")).unwrap_or_else(|| set(helped.pids));
        let asked =
            [("memory", memory, self.memory_bytes as f64), ("cpus", cpus, self.cpus), ("processes", pids, f64::from(self.pids))];
        let free: Vec<_> = asked.iter().filter(|(_, is, most)| *is > most * ROUNDED).map(|(name, ..)| *name).collect();
        if free.is_empty() { Ok(()) } else { Err(format!("a container's {} have no limit", free.join(" and "))) }
    }
}

/// Reads a limit. `max`, and everything else that is not a number, means no limit.
fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or(f64::INFINITY)
}

/// Reads a share of cpu time.
fn share(text: &str) -> f64 {
    let mut words = text.split_whitespace().map(number);
    match (words.next(), words.next()) {
        (Some(quota), Some(period)) if quota > 0.0 && period > 0.0 => quota / period,
        _ => f64::INFINITY,
    }
}

/// A limit that the engine reports. 0 and less mean no limit.
fn set(value: i64) -> f64 {
    if value > 0 { value as f64 } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Limits = Limits { cpus: 0.5, memory_bytes: 1 << 20, pids: 100 };

    fn check(files: &[(&str, &str)], helped: &Helped) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        ASKED.check(Some(folder.path()), helped)
    }

    #[test]
    fn the_kernels_files_count_first_and_then_the_engines_report() {
        let said = Helped { memory_bytes: 1 << 20, nano_cpus: 500_000_000, pids: 100, ..Helped::default() };
        let second = [("memory-v2", "1048576\n"), ("cpu-v2", "50000 100000\n"), ("pids-v2", "100\n")];
        let first = [("memory-v1", "1048576\n"), ("cpu-v1", "50000\n"), ("period-v1", "100000\n"), ("pids-v1", "100\n")];
        for files in [&second[..], &first[..], &[]] {
            assert_eq!(check(files, &said), Ok(()));
        }
        assert_eq!(ASKED.check(None, &said), Ok(()));
        assert!(check(&[], &Helped::default()).unwrap_err().contains("memory and cpus and processes"));
        let free = [("memory-v2", "max\n"), ("cpu-v1", "-1\n"), ("period-v1", "100000\n"), ("pids-v1", "100")];
        assert_eq!(check(&free, &said).unwrap_err(), "a container's memory and cpus have no limit");
        assert!(
            check(&[("cpu-v2", "max 100000")], &said).is_err() && check(&[("memory-v1", "9223372036854771712")], &said).is_err()
        );
    }
}
