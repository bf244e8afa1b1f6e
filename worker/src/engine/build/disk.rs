//! Limits what a build writes to disk: the layers that it has made, and the changes of its running steps to their root file systems.
//!
//! The engine limits neither. The builder's messages name the layers and containers of the build. A command in a step may print the same
//! words, but this only makes its own build look larger. If the messages name more than [`NAMED_MAX`], the build is stopped. Base images do
//! not count, because the messages do not name them as new layers. The files of a `COPY` or `ADD` count only when their layer exists. Until
//! then the bounds of contexts limit them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::disk::{Room, Writers, mib, size_of};
use crate::engine::Docker;

const PAUSE_LEAST: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// The pause after a measurement is this many times as long as the measurement.
const SHARE: u32 = 20;
/// Fewest digits of an id. Podman's builder shortens ids to this many.
const ID_CHARS_MIN: usize = 11;
/// Most layers, and most containers, of one build.
pub(super) const NAMED_MAX: usize = 1_000;

/// What a build made, from the builder's messages. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Made(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    layers: Vec<String>,
    containers: Vec<String>,
    is_flooded: bool,
}

impl Made {
    fn lock(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn layer(&self, id: &str) {
        let names = &mut *self.lock();
        names.is_flooded |= !push(&mut names.layers, id);
    }

    pub(super) fn container(&self, id: &str) {
        let names = &mut *self.lock();
        names.is_flooded |= !push(&mut names.containers, id);
    }

    pub(super) fn layers(&self) -> Vec<String> {
        self.lock().layers.clone()
    }
}

fn push(ids: &mut Vec<String>, id: &str) -> bool {
    let is_id = id.len() >= ID_CHARS_MIN && id.bytes().all(|b| b.is_ascii_hexdigit());
    let has_room = ids.len() < NAMED_MAX;
    if is_id && has_room {
        ids.push(id.to_owned());
    }
    !is_id || has_room
}

/// Bounds of one build.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Most bytes that the build may write.
    pub(super) bytes: u64,
    /// What the worker's jobs write. When the disk is nearly full, the job that wrote the most is stopped.
    pub(super) writers: Arc<Writers>,
    /// Scratch folder of the job.
    pub(super) folder: PathBuf,
}

impl Bounds {
    /// Returns a sentence when the build must be stopped because it exceeds a limit. Otherwise never returns.
    pub(super) async fn until_over(&self, docker: &Docker, made: &Made) -> String {
        let writer = self.writers.add(&self.folder);
        let mut measured = Measured::default();
        loop {
            let began = Instant::now();
            if made.lock().is_flooded {
                return format!("the build made more than {NAMED_MAX} layers, or printed lines that look so, and was stopped");
            }
            let written = measured.look(docker, made, self.bytes).await;
            if written > self.bytes {
                return format!(
                    "the build wrote {} to disk, more than its limit of {}, and was stopped",
                    mib(written),
                    mib(self.bytes)
                );
            }
            let room = Room::scarcest([self.folder.as_path()].into_iter().chain(measured.place.as_deref()));
            if writer.must_yield(written, room) {
                let written = mib(written);
                return format!(
                    "the worker's disk is nearly full, and this build was stopped because it wrote the most ({written})"
                );
            }
            tokio::time::sleep((began.elapsed() * SHARE).clamp(PAUSE_LEAST, PAUSE_MOST)).await;
        }
    }
}

/// What no longer changes, so that the worker asks the engine only once: sizes of layers, and ids of containers that are gone.
#[derive(Debug, Default)]
struct Measured {
    layers: HashMap<String, u64>,
    gone: HashSet<String>,
    /// Folder of the engine's root file systems, if it is on this machine.
    place: Option<PathBuf>,
}

impl Measured {
    async fn look(&mut self, docker: &Docker, made: &Made, most: u64) -> u64 {
        for id in made.layers() {
            if let Entry::Vacant(new) = self.layers.entry(id) {
                let bytes = docker.layer_bytes(new.key()).await;
                new.insert(bytes);
            }
        }
        let mut sum = self.layers.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let containers = made.lock().containers.clone();
        for id in containers.into_iter().filter(|id| !self.gone.contains(id)).collect::<Vec<_>>() {
            match self.container_bytes(docker, &id, most).await {
                Some(bytes) => sum = sum.saturating_add(bytes),
                None => {
                    self.gone.insert(id);
                }
            }
        }
        sum
    }

    /// The bytes that a container has written. None when the container is gone: what it wrote is then a layer.
    async fn container_bytes(&mut self, docker: &Docker, id: &str, most: u64) -> Option<u64> {
        let found = docker.location(id).await.ok()?;
        let readable = found.rootfs.filter(|path| std::fs::read_dir(path).is_ok());
        let rootfs = match readable {
            Some(path) => {
                let bytes = size_of(vec![path.clone()], most).await;
                self.place = Some(path);
                bytes
            }
            None => docker.rootfs_bytes(id).await.unwrap_or(0),
        };
        Some(rootfs.saturating_add(size_of(found.volumes, most).await))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_only_ids_are_taken() {
        let made = Made::default();
        made.layer("../../containers/x");
        made.layer("short");
        assert!(made.layers().is_empty() && !made.lock().is_flooded);
        for n in 0..NAMED_MAX {
            made.layer(&format!("{n:012x}"));
        }
        assert!(made.layers().len() == NAMED_MAX && !made.lock().is_flooded);
        made.layer("aaaaaaaaaaaa");
        assert!(made.layers().len() == NAMED_MAX && made.lock().is_flooded);
    }
}
