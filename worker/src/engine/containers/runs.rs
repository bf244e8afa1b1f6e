//! The life of a container, and its files on this machine's disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Containers, folder};
use crate::ends::RunError;
use crate::engine::{Fault, Frames, Left, Prepared, RunEnd, Runs, SharedDisk};

impl Runs for Containers {
    fn create<'a>(&'a self, prepared: &'a mut Prepared) -> BoxFuture<'a, Result<String, Fault>> {
        async move {
            let id = self.create_confined(&prepared.spec).await?;
            if let Some(start) = &mut prepared.start {
                start.joined();
            }
            Ok(id)
        }
        .boxed()
    }

    fn attach<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>> {
        self.docker.attach(id).boxed()
    }

    fn replay<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>> {
        async { Ok(self.docker.followed(id)) }.boxed()
    }

    fn record<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>> {
        async { Ok(self.docker.recorded(id, false)) }.boxed()
    }

    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>> {
        self.docker.start(id).boxed()
    }

    fn wait<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>> {
        self.docker.wait(id).boxed()
    }

    fn stop<'a>(&'a self, id: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), Fault>> {
        self.docker.stop(id, grace).boxed()
    }

    fn age<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Duration, Fault>> {
        self.docker.age(id).boxed()
    }

    fn end<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<RunEnd, Fault>> {
        self.docker.end(id).boxed()
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>> {
        self.docker.remove(id).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Left>, Fault>> {
        async { self.docker.list(&self.data.label()).await }.boxed()
    }
}

impl SharedDisk for Containers {
    fn place(&self, _folder: &Path, inside: &str) -> String {
        inside.to_owned()
    }

    fn open<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<(), RunError>> {
        async { folder::open(&self.docker, folder, &self.data.label()).await.map_err(Fault::broken) }.boxed()
    }

    fn remove(&self, folder: PathBuf) -> BoxFuture<'_, bool> {
        async { folder::remove(&self.docker, folder, &self.data.label()).await }.boxed()
    }
}
