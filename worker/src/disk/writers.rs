//! What running jobs write: which of them share a cache folder, and which has written the most when a disk is nearly full.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::room::Room;

/// Time for the files of a stopped job to be removed, before another job is stopped.
const RELIEF: Duration = Duration::from_mins(1);

/// What the running jobs of one worker write.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    state: Mutex<WriterStates>,
}

#[derive(Debug, Default)]
struct WriterStates {
    next: u64,
    /// Bytes by job.
    written: HashMap<u64, u64>,
    /// Number of jobs that use a cache folder, by folder.
    cache_users: HashMap<PathBuf, usize>,
    last_stop: Option<Instant>,
}

/// One running job.
#[derive(Debug)]
pub(crate) struct Writer {
    writers: Arc<Writers>,
    number: u64,
    cache: PathBuf,
}

impl Writers {
    fn lock(&self) -> MutexGuard<'_, WriterStates> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a running job, with the cache folder that it writes to.
    pub(crate) fn add(self: &Arc<Self>, cache: &Path) -> Writer {
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        state.written.insert(number, 0);
        *state.cache_users.entry(cache.to_owned()).or_default() += 1;
        Writer { writers: Arc::clone(self), number, cache: cache.to_owned() }
    }
}

impl Writer {
    /// Whether no other job writes to the cache folder now.
    pub(crate) fn is_alone_in_cache(&self) -> bool {
        self.writers.lock().cache_users.get(&self.cache).is_some_and(|users| *users == 1)
    }

    /// Records what the job has written so far. Returns whether this job must be stopped because its disk, with this `room`, is nearly full
    /// and the job has written the most.
    pub(crate) fn must_yield(&self, written: u64, room: Option<Room>) -> bool {
        let mut state = self.writers.lock();
        state.written.insert(self.number, written);
        let Some(room) = room.filter(Room::is_scarce) else { return false };
        let is_largest = state.written.values().all(|other| *other <= written);
        let is_relieved = state.last_stop.is_some_and(|stop| stop.elapsed() < RELIEF);
        // A job that wrote less than this did not fill the disk.
        let must = is_largest && !is_relieved && written >= room.scarce_below();
        if must {
            state.last_stop = Some(Instant::now());
        }
        must
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.writers.lock();
        state.written.remove(&self.number);
        if let Some(users) = state.cache_users.get_mut(&self.cache) {
            *users -= 1;
        }
        state.cache_users.retain(|_, users| *users > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_writers_the_largest_yields_and_then_there_is_time_to_tidy_up() {
        let writers = Arc::new(Writers::default());
        let (small, large) = (writers.add(Path::new("/a")), writers.add(Path::new("/a")));
        let (scarce, ample) = (Some(Room { free: 1, total: 1000 }), Some(Room { free: 500, total: 1000 }));
        assert!(!large.must_yield(400, ample) && !large.must_yield(400, None));
        assert!(!small.must_yield(300, scarce), "another one wrote more");
        assert!(large.must_yield(400, scarce));
        drop(large);
        assert!(!small.must_yield(300, scarce), "the files of the first are still going");
        let idle = Arc::new(Writers::default()).add(Path::new("/a"));
        assert!(!idle.must_yield(10, scarce), "it did not fill the disk");
    }

    #[test]
    fn a_cache_is_shared_while_two_jobs_have_it() {
        let writers = Arc::new(Writers::default());
        let first = writers.add(Path::new("/a"));
        let second = writers.add(Path::new("/a"));
        assert!(!first.is_alone_in_cache() && writers.add(Path::new("/b")).is_alone_in_cache());
        drop(second);
        assert!(first.is_alone_in_cache());
    }
}
