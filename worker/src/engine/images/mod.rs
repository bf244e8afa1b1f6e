//! The images of jobs: present, pulled or built. Only one pull or build of an image runs at a time.
//!
//! The rest of the worker uses images only through [`Images`]. `ensure` implements it for containers. `pull` pulls one image from a
//! registry, `login` finds the login for it, and `config` has the owner's settings.

mod config;
mod ensure;
mod login;
mod once;
mod pull;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Job;
use crate::disk::{ImageStore, InUse};
use crate::ends::RunError;
pub use config::{DockerLogin, ImageConfig};
pub(crate) use ensure::forbidden;
pub(crate) use login::Logins;
pub(crate) use once::{Turn, one_at_a_time};
pub(crate) use protocol::{DEFAULT_REGISTRY, ImageReference, ImageVersion as Version, InvalidImage};
pub(crate) use pull::{follow_pull, login_for, other_platforms, pull};

/// The images of an engine's jobs.
pub(crate) trait Images: Send + Sync {
    /// Makes the job's image present.
    fn ensure<'a>(&'a self, job: &'a Job<'_>) -> BoxFuture<'a, Result<Present, RunError>>;

    /// Whether jobs may have a build block.
    fn builds(&self) -> bool;

    /// Platform of the images that the engine runs, such as `linux/amd64`.
    fn platform(&self) -> String;

    /// The images, if this worker removes them when their disk is full. None when another program does that.
    fn store(&self) -> Option<Arc<dyn ImageStore>>;
}

/// A present image. It stays present while this value exists.
#[derive(Debug)]
pub(crate) struct Present {
    /// The engine's id of the image.
    pub(crate) id: String,
    _in_use: InUse,
}
