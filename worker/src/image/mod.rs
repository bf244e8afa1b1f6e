//! Images: how they are named, and one at a time of each on its way here.

mod login;
mod once;
mod pull;
mod reference;

pub(crate) use login::Logins;
pub(crate) use once::{Turn, one_at_a_time};
pub(crate) use pull::{follow_pull, login_for, pull};
pub(crate) use reference::{DEFAULT_REGISTRY, ImageReference, InvalidImage, Version, is_registry};
