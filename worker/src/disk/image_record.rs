//! Which images the worker of this data directory pulled or built, and when a job last used each.
//!
//! The record is the file `images.json`. The worker removes only images that are in the record: an image that was on the machine before
//! a job asked for it belongs to the machine's owner. The worker never removes an image that any container uses, nor one that a job is
//! about to use ([`InUse`]). Bounds: 10,000 entries; older entries are dropped, and their images stay.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::atomic_file::write_durably;

const ENTRIES_MAX: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    /// Id of the image that the name meant at that time.
    id: String,
    /// Last use, in seconds since 1970.
    used: u64,
}

/// An image that may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) id: String,
}

#[derive(Debug, Default)]
struct RecordState {
    /// Images by reference, or by id for an image without a reference.
    made: BTreeMap<String, Made>,
    /// Number of jobs that use an image, by image id.
    in_use: HashMap<String, usize>,
    is_changed: bool,
}

/// The record of one data directory.
#[derive(Debug)]
pub(crate) struct ImageRecord {
    path: PathBuf,
    state: Mutex<RecordState>,
}

/// One job's use of an image.
#[derive(Debug)]
pub(crate) struct InUse {
    images: Arc<ImageRecord>,
    id: String,
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.images.lock();
        if let Some(n) = state.in_use.get_mut(&self.id) {
            *n -= 1;
            if *n == 0 {
                state.in_use.remove(&self.id);
            }
        }
        state.note_use(&self.id);
    }
}

impl RecordState {
    fn note_use(&mut self, id: &str) {
        let now = now();
        for made in self.made.values_mut().filter(|made| made.id == id) {
            made.used = now;
            self.is_changed = true;
        }
    }
}

impl ImageRecord {
    /// Reads the record. When it cannot be read, starts an empty one: the images of the old record stay.
    pub(crate) fn open(path: PathBuf) -> Self {
        let made = std::fs::read(&path).ok().and_then(|bytes| match serde_json::from_slice(&bytes) {
            Ok(made) => Some(made),
            Err(error) => {
                tracing::warn!(%error, "cannot read the record of pulled images; these images stay until somebody removes them with `docker rmi`");
                None
            }
        });
        let state = RecordState { made: made.unwrap_or_default(), ..RecordState::default() };
        Self { path, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, RecordState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an image that was just pulled or built for a job. `name` is its reference, or its id when it has none.
    pub(crate) fn made(&self, name: &str, id: &str) {
        let mut state = self.lock();
        state.made.insert(name.to_owned(), Made { id: id.to_owned(), used: now() });
        if state.made.len() > ENTRIES_MAX {
            let oldest = state.made.iter().min_by_key(|(_, made)| made.used).map(|(name, _)| name.clone());
            oldest.and_then(|name| state.made.remove(&name));
        }
        state.is_changed = true;
        drop(state);
        self.save();
    }

    /// Records that a job is about to use this image, wherever it came from. The image stays while the returned value lives.
    pub(crate) fn used(self: &Arc<Self>, id: &str) -> InUse {
        let mut state = self.lock();
        *state.in_use.entry(id.to_owned()).or_default() += 1;
        state.note_use(id);
        InUse { images: Arc::clone(self), id: id.to_owned() }
    }

    /// Images that no job has used for this long, the least recently used first. `ids` are the images of existing containers.
    pub(super) fn idle(&self, for_: Duration, ids: &HashSet<String>) -> Vec<Candidate> {
        let state = self.lock();
        let until = now().saturating_sub(for_.as_secs());
        let is_idle = |made: &Made| made.used <= until && !ids.contains(&made.id) && !state.in_use.contains_key(&made.id);
        let mut idle: Vec<_> = state.made.iter().filter(|(_, made)| is_idle(made)).collect();
        idle.sort_by_key(|(_, made)| made.used);
        idle.into_iter().map(|(name, made)| Candidate { name: name.clone(), id: made.id.clone() }).collect()
    }

    /// Whether a job uses this image now.
    pub(super) fn is_in_use(&self, id: &str) -> bool {
        self.lock().in_use.contains_key(id)
    }

    /// Drops the entry of an image that is gone, or whose name now means another image.
    pub(super) fn forget(&self, name: &str) {
        let mut state = self.lock();
        state.made.remove(name);
        state.is_changed = true;
    }

    /// Writes the record if it has changed.
    pub(super) fn save(&self) {
        let text = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.is_changed) {
                return;
            }
            serde_json::to_vec(&state.made)
        };
        let written = text.map_err(std::io::Error::from).and_then(|text| write_durably(&self.path, &text));
        if let Err(error) = written {
            self.lock().is_changed = true;
            tracing::warn!(%error, "cannot write the record of pulled images");
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(images: &ImageRecord, containers: &[&str]) -> Vec<String> {
        let ids = containers.iter().map(|id| (*id).to_owned()).collect();
        images.idle(Duration::ZERO, &ids).into_iter().map(|candidate| candidate.name).collect()
    }

    #[test]
    fn what_is_used_stays_and_the_record_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.json");
        std::fs::write(&path, r#"{"b:1":{"id":"sha256:b","used":5},"a:1":{"id":"sha256:a","used":9}}"#).unwrap();
        let images = Arc::new(ImageRecord::open(path.clone()));
        assert_eq!(names(&images, &[]), ["b:1", "a:1"]);
        assert_eq!(names(&images, &["sha256:b"]), ["a:1"]);
        let in_use = images.used("sha256:b");
        assert_eq!(names(&images, &[]), ["a:1"]);
        drop(in_use);
        assert_eq!(names(&images, &[]), ["a:1", "b:1"], "used just now");
        images.made("c:1", "sha256:c");
        assert_eq!(names(&ImageRecord::open(path), &[]), ["a:1", "b:1", "c:1"]);
        assert!(images.idle(Duration::from_hours(1), &HashSet::new()).iter().all(|candidate| candidate.name == "a:1"));
    }

    #[test]
    fn an_image_that_is_not_ours_is_never_a_candidate() {
        let folder = tempfile::tempdir().unwrap();
        let images = Arc::new(ImageRecord::open(folder.path().join("images.json")));
        drop(images.used("sha256:theirs"));
        assert_eq!(names(&images, &[]), Vec::<String>::new());
        std::fs::write(folder.path().join("images.json"), "{").unwrap();
        assert_eq!(names(&ImageRecord::open(folder.path().join("images.json")), &[]), Vec::<String>::new());
    }
}
