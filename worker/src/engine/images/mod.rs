//! Pulls of images. Only one pull or build of an image runs at a time.

mod login;
mod once;
mod pull;

pub(crate) use login::Logins;
pub(crate) use once::{Turn, one_at_a_time};
pub(crate) use protocol::{DEFAULT_REGISTRY, ImageReference, ImageVersion as Version, InvalidImage};
pub(crate) use pull::{follow_pull, login_for, other_platforms, pull};
