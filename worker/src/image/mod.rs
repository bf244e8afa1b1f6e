//! Images: how they are named, and one at a time of each on its way here.

mod once;
mod pull;
mod reference;

pub(crate) use once::{Turn, one_at_a_time};
pub(crate) use pull::{follow_pull, pull};
pub(crate) use reference::{ImageReference, InvalidImage, Version, is_registry};
