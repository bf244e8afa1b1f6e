//! What an engine provides so that the worker can make room on its disk.

use std::collections::HashSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// The images on an engine's disk. An error is a sentence of the engine.
pub(crate) trait ImageStore: Debug + Send + Sync {
    /// Where the engine keeps images, if that is on this machine.
    fn folder(&self) -> BoxFuture<'_, Option<PathBuf>>;

    /// Ids of the images of all containers, also of stopped ones and of other workers.
    fn in_use(&self) -> BoxFuture<'_, Result<HashSet<String>, String>>;

    /// Id of the image that a recorded name or id means now.
    fn id_of<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, String>>;

    /// Removes an image. Returns false when the engine refuses because a container uses it.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, String>>;

    /// Removes build cache that was not used for this long. Returns how many bytes are free again.
    fn prune_builds(&self, unused: Duration) -> BoxFuture<'_, Result<u64, String>>;
}
