//! The machine's disk: what a worker brought there goes again, and no job is taken without room for it.
//!
//! In: the data directory, the engine, and the marks of [`CareConfig`]. Every few seconds [`Care::run`] looks at the disk of the data
//! directory and at the engine's. One that is fuller than the high mark, or has less left than the reserve, is brought back to the
//! low mark: kept inputs first, then images, then the engine's build cache, then job caches, each by least use.
//!
//! Never touched: an image that this data directory's worker did not bring, one that any container has, the cache of a queue whose
//! job runs. An engine on another machine is asked for nothing, since its disk cannot be seen.

mod disk;
mod images;
mod job_caches;
mod settings;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::content::Contents;
use crate::data_directory::DataDirectory;
use crate::error::Error;
use crate::executor::{Docker, Fault};
use disk::{Room, gibibytes};
use images::Candidate;
pub(crate) use images::Images;
pub(crate) use job_caches::{CacheInUse, JobCaches};
pub use settings::{CareConfig, InvalidMark, Mark};

/// Between two looks whether there is still room.
const ROOM_EVERY: Duration = Duration::from_secs(1);
/// After a look that could not help, so many looks are left out.
const LOOKS_LEFT_OUT: u32 = 6;
const BUILD_CACHE_EVERY: Duration = Duration::from_mins(10);

/// What one file system holds of ours.
#[derive(Clone, Debug)]
struct Disk {
    path: PathBuf,
    holds_data: bool,
    holds_images: bool,
}

/// Cares for the disks of one worker.
#[derive(Debug)]
pub(crate) struct Care {
    config: CareConfig,
    disks: Vec<Disk>,
    /// None: jobs run without containers.
    docker: Option<Docker>,
    pub(crate) images: Arc<Images>,
    pub(crate) contents: Arc<Contents>,
    pub(crate) job_caches: JobCaches,
}

impl Care {
    /// Reads what is kept and finds the disks that it is on.
    pub(crate) async fn open(config: CareConfig, data: &DataDirectory, docker: Option<Docker>) -> Result<Self, Error> {
        let folder = data.content_folder();
        let contents = Contents::open(folder.clone(), config.input_cache);
        let contents = contents.map_err(|source| Error::DataDirectory { path: folder, source })?;
        // A folder of that name here need not be the engine's when that is on another machine.
        let root = match &docker {
            Some(docker) if Docker::is_local() => docker.root_folder().await,
            _ => None,
        };
        if let Some(root) = root.as_ref().filter(|root| !root.is_dir()) {
            let root = root.display();
            tracing::warn!(%root, "the engine's disk cannot be seen from here: how full it is, is not looked at; mount it at the same path");
        }
        Ok(Self {
            disks: disks_of(data.path(), root),
            docker,
            images: Arc::new(Images::open(data.images_file())),
            contents: Arc::new(contents),
            job_caches: JobCaches::new(data.cache_folder(), config.job_cache_max),
            config,
        })
    }

    /// Why no jobs are taken, if so.
    pub(crate) fn lack(&self) -> Option<String> {
        let reserve = self.config.disk_reserve;
        self.disks.iter().find_map(|disk| {
            let room = Room::at(&disk.path).ok()?;
            let (left, kept) = (gibibytes(room.free), gibibytes(reserve));
            let whose = if self.disks.len() == 1 { "" } else { disk.whose() };
            (room.free < reserve).then(|| format!("the disk{whose} has {left} left, {kept} is kept free"))
        })
    }

    /// Sees that there is room for a first job, and frees what may go for it.
    ///
    /// # Errors
    /// One sentence with its mend, when that is not enough.
    pub(crate) async fn make_room(&self) -> Result<(), Error> {
        if self.lack().is_none() {
            return Ok(());
        }
        for disk in &self.disks {
            self.relieve(disk, &mut None).await;
        }
        self.images.save();
        let Some(lack) = self.lack() else { return Ok(()) };
        let places = self.disks.iter().map(|disk| disk.path.display().to_string()).collect::<Vec<_>>().join(" and ");
        Err(Error::Lack(format!("{lack}; make room at {places}, or give --disk-reserve less")))
    }

    /// Returns when there is none.
    pub(crate) async fn until_lack(&self) {
        while self.lack().is_none() {
            sleep(ROOM_EVERY).await;
        }
    }

    /// Cares for ever; the caller aborts it.
    pub(crate) async fn run(&self) {
        let every = self.config.care_every.0;
        let mut build_cache_at = None;
        loop {
            self.job_caches.tidy().await;
            let mut is_helpless = false;
            for disk in &self.disks {
                is_helpless |= !self.relieve(disk, &mut build_cache_at).await;
            }
            self.images.save();
            sleep(if is_helpless { every * LOOKS_LEFT_OUT } else { every }).await;
        }
    }

    /// Bytes that must go from a disk, 0 when it is well.
    fn excess(&self, disk: &Disk) -> u64 {
        Room::at(&disk.path).map_or(0, |room| {
            let reserve = self.config.disk_reserve.saturating_sub(room.free);
            let is_over = self.config.disk_high.excess(room) > 0 || reserve > 0;
            if is_over { self.config.disk_low.excess(room).max(reserve) } else { 0 }
        })
    }

    /// Bytes that are still too many on a disk that was over its high mark.
    fn rest(&self, disk: &Disk) -> u64 {
        let reserve = self.config.disk_reserve;
        Room::at(&disk.path).map_or(0, |room| self.config.disk_low.excess(room).max(reserve.saturating_sub(room.free)))
    }

    /// Brings a disk that is over the high mark to the low one. Whether it is well now.
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
                tracing::info!(freed_mib = freed >> 20, "the disk is full: kept inputs were removed");
            }
        }
        if let Some(docker) = self.docker.as_ref().filter(|_| disk.holds_images && self.rest(disk) > 0) {
            self.remove_images(docker, disk).await;
            if self.rest(disk) > 0 && build_cache_at.is_none_or(|at| at.elapsed() > BUILD_CACHE_EVERY) {
                *build_cache_at = Some(Instant::now());
                self.prune_builds(docker).await;
            }
        }
        if disk.holds_data && self.rest(disk) > 0 {
            self.job_caches.shed(self.rest(disk)).await;
        }
        self.rest(disk) == 0
    }

    async fn remove_images(&self, docker: &Docker, disk: &Disk) {
        let containers = match docker.images_of_containers().await {
            Ok(containers) => containers,
            Err(fault) => return tracing::debug!(%fault, "images stay: the engine does not say which are in use"),
        };
        for candidate in self.images.idle(self.config.image_min_age.0, &containers) {
            if self.rest(disk) == 0 {
                return;
            }
            if let Err(fault) = self.remove_image(docker, &candidate).await {
                return tracing::warn!(%fault, image = %candidate.name, "an image cannot be removed");
            }
        }
    }

    /// Removes an image that is still the one we brought and that nobody has come to use.
    async fn remove_image(&self, docker: &Docker, Candidate { name, id }: &Candidate) -> Result<(), Fault> {
        if docker.id_of(name).await?.as_ref() != Some(id) {
            self.images.forget(name);
            return Ok(());
        }
        if !self.images.is_in_use(id) && docker.remove_image(name).await? {
            tracing::info!(image = %name, "the disk is full: an image that no job has used lately was removed");
            self.images.forget(name);
        }
        Ok(())
    }

    async fn prune_builds(&self, docker: &Docker) {
        match docker.prune_build_cache(self.config.build_cache_min_age.0).await {
            Ok(0) => (),
            Ok(freed) => {
                tracing::info!(freed_mib = freed >> 20, "the disk is full: build cache that nobody used lately was removed");
            }
            Err(fault) => tracing::debug!(%fault, "the build cache stays"),
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
