//! The engine for scripts. It has the capacity and the disk of this machine, and no images.

use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Processes;
use crate::ends::RunError;
use crate::engine::files::remove_tree;
use crate::engine::{Capacity, Engine, Fault, Files, Images, SharedDisk};

impl Engine for Processes {
    fn name(&self) -> &'static str {
        "process"
    }

    fn capacity(&self) -> Capacity {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
        let system = rustix::system::sysinfo();
        Capacity { cpus, memory_bytes: system.totalram * u64::from(system.mem_unit) }
    }

    fn files(&self) -> &dyn Files {
        self
    }

    fn images(&self) -> Option<&dyn Images> {
        None
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Fault>> {
        let is_there = self.scripts.is_dir();
        async move { if is_there { Ok(()) } else { Err(Fault::Host("the folder of scripts is gone".to_owned())) } }.boxed()
    }
}

impl SharedDisk for Processes {
    fn place(&self, folder: &Path, _inside: &str) -> String {
        folder.to_string_lossy().into_owned()
    }

    fn open<'a>(&'a self, _folder: &'a Path) -> BoxFuture<'a, Result<(), RunError>> {
        async { Ok(()) }.boxed()
    }

    fn remove(&self, folder: PathBuf) -> BoxFuture<'_, bool> {
        remove_tree(folder).boxed()
    }
}
