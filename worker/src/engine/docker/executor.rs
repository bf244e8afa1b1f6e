//! The [`Executor`] of containers. Each call is the inherent method of [`Docker`] with the same name.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Docker;
use crate::engine::{ContainerSpec, Executor, Fault, Frames, Left, RunEnd};

impl Executor for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn place(&self, _folder: &Path, inside: &str) -> String {
        inside.to_owned()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Fault>> {
        self.ping().boxed()
    }

    fn create(&self, spec: ContainerSpec) -> BoxFuture<'_, Result<String, Fault>> {
        self.create(spec).boxed()
    }

    fn attach<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>> {
        self.attach(id).boxed()
    }

    fn replay<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>> {
        let record = self.recorded(id, true);
        async { Ok(record) }.boxed()
    }

    fn record<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>> {
        let record = self.recorded(id, false);
        async { Ok(record) }.boxed()
    }

    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>> {
        self.start(id).boxed()
    }

    fn wait<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>> {
        self.wait(id).boxed()
    }

    fn stop<'a>(&'a self, id: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), Fault>> {
        self.stop(id, grace).boxed()
    }

    fn age<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Duration, Fault>> {
        self.age(id).boxed()
    }

    fn end<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<RunEnd, Fault>> {
        self.end(id).boxed()
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>> {
        self.remove(id).boxed()
    }

    fn list<'a>(&'a self, data_label: &'a str) -> BoxFuture<'a, Result<Vec<Left>, Fault>> {
        self.list(data_label).boxed()
    }
}
