//! The machine's disk: the worker removes what it stored there when the disk is full, and claims no jobs while the disk has too little
//! room.
//!
//! In: the data directory, the [`ImageStore`] of the engine, and the marks of [`DiskConfig`]. Every few seconds [`Disks::run`] checks the
//! disk of the data directory and the engine's disk. When a disk is fuller than the high mark, or has less free space than the reserve, the
//! worker removes files until the low mark is met: first kept inputs, then images, then the engine's build cache, then job caches. In each
//! group the least recently used go first.
//!
//! The worker never removes an image that it did not store itself, an image that a container uses, or the cache of a queue while a job of
//! that queue runs. It removes nothing from an engine on another machine, because it cannot see that disk.
//!
//! `room` measures a file system, and `tree_size` a folder. `contents` is the cache of inputs, `job_caches` the caches of jobs,
//! `image_record` the record of images, and `writers` what the running jobs write.
//!
//! # Errors
//!
//! A disk that cannot be measured counts as one with enough room, because the error of a failed write explains more. A removal that fails
//! is logged and tried again.

mod contents;
mod image_record;
mod image_store;
mod job_caches;
mod room;
mod settings;
mod tree_size;
mod writers;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::data_directory::DataDirectory;
use crate::error::Error;
pub(crate) use contents::{Contents, PartFile, move_or_copy};
use image_record::Candidate;
pub(crate) use image_record::{ImageRecord, InUse};
pub(crate) use image_store::ImageStore;
pub(crate) use job_caches::{CacheInUse, JobCaches};
use room::gibibytes;
pub(crate) use room::{Room, mib};
pub use settings::{DiskConfig, InvalidMark, Mark};
pub(crate) use tree_size::size_of;
pub(crate) use writers::{Writer, Writers};

/// Pause between two checks for room.
const ROOM_EVERY: Duration = Duration::from_secs(1);
/// After a round that could not make enough room, the pause is this many times as long.
const HELPLESS_FACTOR: u32 = 6;
const BUILD_CACHE_EVERY: Duration = Duration::from_mins(10);

/// One file system, and what the worker or the engine stores on it.
#[derive(Clone, Debug)]
struct Disk {
    path: PathBuf,
    holds_data: bool,
    holds_images: bool,
}

/// The disks that one worker uses.
#[derive(Debug)]
pub(crate) struct Disks {
    config: DiskConfig,
    list: Vec<Disk>,
    /// None means that no images are on these disks.
    store: Option<Arc<dyn ImageStore>>,
    images: Arc<ImageRecord>,
    pub(crate) contents: Arc<Contents>,
    pub(crate) job_caches: JobCaches,
}

impl Disks {
    /// Reads the caches and finds the disks that they are on.
    pub(crate) async fn open(
        config: DiskConfig,
        data: &DataDirectory,
        images: Arc<ImageRecord>,
        store: Option<Arc<dyn ImageStore>>,
    ) -> Result<Self, Error> {
        let folder = data.content_folder();
        let contents = Contents::open(folder.clone(), config.input_cache);
        let contents = contents.map_err(|source| Error::DataDirectory { path: folder, source })?;
        let root = match &store {
            Some(store) => store.folder().await,
            None => None,
        };
        if let Some(root) = root.as_ref().filter(|root| !root.is_dir()) {
            let root = root.display();
            tracing::warn!(%root, "the worker cannot see the engine's disk, so it does not check how full it is; mount it at the same path");
        }
        Ok(Self {
            list: disks_of(data.path(), root),
            store,
            images,
            contents: Arc::new(contents),
            job_caches: JobCaches::new(data.cache_folder(), config.job_cache_max),
            config,
        })
    }

    /// Why the worker claims no jobs, if there is too little room.
    pub(crate) fn problem(&self) -> Option<String> {
        let reserve = self.config.disk_reserve;
        self.list.iter().find_map(|disk| {
            let room = Room::at(&disk.path).ok()?;
            let (left, kept) = (gibibytes(room.free), gibibytes(reserve));
            let whose = if self.list.len() == 1 { "" } else { disk.whose() };
            (room.free < reserve).then(|| format!("the disk{whose} has {left} left, and the worker keeps {kept} free"))
        })
    }

    /// Makes room for a first job.
    ///
    /// # Errors
    /// When there is still too little room: one sentence that names the problem and the fix.
    pub(crate) async fn make_room(&self) -> Result<(), Error> {
        if self.problem().is_none() {
            return Ok(());
        }
        for disk in &self.list {
            self.relieve(disk, &mut None).await;
        }
        self.images.save();
        let Some(problem) = self.problem() else { return Ok(()) };
        let places = self.list.iter().map(|disk| disk.path.display().to_string()).collect::<Vec<_>>().join(" and ");
        Err(Error::Machine(format!("{problem}; make room at {places}, or lower --disk-reserve")))
    }

    /// Returns when there is too little room.
    pub(crate) async fn until_problem(&self) {
        while self.problem().is_none() {
            sleep(ROOM_EVERY).await;
        }
    }

    /// Keeps room on the disks for ever; the caller aborts it.
    pub(crate) async fn run(&self) {
        let every = self.config.check_every.0;
        let mut build_cache_at = None;
        loop {
            self.job_caches.tidy().await;
            let mut is_helpless = false;
            for disk in &self.list {
                is_helpless |= !self.relieve(disk, &mut build_cache_at).await;
            }
            self.images.save();
            sleep(if is_helpless { every * HELPLESS_FACTOR } else { every }).await;
        }
    }

    /// Bytes that must be removed from a disk; 0 when it has enough room.
    fn excess(&self, disk: &Disk) -> u64 {
        Room::at(&disk.path).map_or(0, |room| {
            let reserve = self.config.disk_reserve.saturating_sub(room.free);
            let is_over = self.config.disk_high.excess(room) > 0 || reserve > 0;
            if is_over { self.config.disk_low.excess(room).max(reserve) } else { 0 }
        })
    }

    /// Bytes that must still be removed from a disk that was over its high mark.
    fn rest(&self, disk: &Disk) -> u64 {
        let reserve = self.config.disk_reserve;
        Room::at(&disk.path).map_or(0, |room| self.config.disk_low.excess(room).max(reserve.saturating_sub(room.free)))
    }

    /// Brings a disk that is over the high mark down to the low mark. Returns whether it has enough room now.
    async fn relieve(&self, disk: &Disk, build_cache_at: &mut Option<Instant>) -> bool {
        let excess = self.excess(disk);
        if excess == 0 {
            return true;
        }
        if disk.holds_data {
            let contents = Arc::clone(&self.contents);
            let shrink = move || contents.shrink_to(contents.bytes().saturating_sub(excess));
            let freed = tokio::task::spawn_blocking(shrink).await.unwrap_or(0);
            if freed > 0 {
                tracing::info!(freed_mib = freed >> 20, "the disk is full: the worker removed kept inputs");
            }
        }
        if let Some(store) = self.store.as_deref().filter(|_| disk.holds_images && self.rest(disk) > 0) {
            self.remove_images(store, disk).await;
            if self.rest(disk) > 0 && build_cache_at.is_none_or(|at| at.elapsed() > BUILD_CACHE_EVERY) {
                *build_cache_at = Some(Instant::now());
                self.prune_builds(store).await;
            }
        }
        if disk.holds_data && self.rest(disk) > 0 {
            self.job_caches.shed(self.rest(disk)).await;
        }
        self.rest(disk) == 0
    }

    async fn remove_images(&self, store: &dyn ImageStore, disk: &Disk) {
        let containers = match store.in_use().await {
            Ok(containers) => containers,
            Err(fault) => return tracing::debug!(%fault, "no image was removed: the engine does not say which images are in use"),
        };
        for candidate in self.images.idle(self.config.image_min_age.0, &containers) {
            if self.rest(disk) == 0 {
                return;
            }
            if let Err(fault) = self.remove_image(store, &candidate).await {
                return tracing::warn!(%fault, image = %candidate.name, "cannot remove an image");
            }
        }
    }

    /// Removes an image if its name still means the image that the worker stored, and no job uses it.
    async fn remove_image(&self, store: &dyn ImageStore, Candidate { name, id }: &Candidate) -> Result<(), String> {
        if store.id_of(name).await?.as_ref() != Some(id) {
            self.images.forget(name);
            return Ok(());
        }
        if !self.images.is_in_use(id) && store.remove(name).await? {
            tracing::info!(image = %name, "the disk is full: the worker removed an image that no job used lately");
            self.images.forget(name);
        }
        Ok(())
    }

    async fn prune_builds(&self, store: &dyn ImageStore) {
        match store.prune_builds(self.config.build_cache_min_age.0).await {
            Ok(0) => (),
            Ok(freed) => {
                tracing::info!(
                    freed_mib = freed >> 20,
                    "the disk is full: the worker removed build cache that was not used lately"
                );
            }
            Err(fault) => tracing::debug!(%fault, "cannot remove build cache"),
        }
    }
}

impl Disk {
    const fn whose(&self) -> &'static str {
        if self.holds_data { " of the data directory" } else { " of Docker" }
    }
}

/// One entry for each file system.
fn disks_of(data: &Path, images: Option<PathBuf>) -> Vec<Disk> {
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let images = images.filter(|path| path.is_dir());
    let is_one = images.as_deref().is_some_and(|images| device(images) == device(data));
    let mut disks = vec![Disk { path: data.to_owned(), holds_data: true, holds_images: is_one }];
    disks.extend(images.filter(|_| !is_one).map(|path| Disk { path, holds_data: false, holds_images: true }));
    disks
}
