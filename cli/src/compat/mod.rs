//! What users of older programs bring: settings of the worker that this one replaces, and the table of the Python task queue.
//!
//! Both become native values here: settings become defaults of our flags, and items are added through the same calls that the API uses.

pub(crate) mod sqlqueue;
pub(crate) mod worker_settings;
