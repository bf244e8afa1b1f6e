//! One file or folder per command.

pub(crate) mod api;
pub(crate) mod blob;
pub(crate) mod consent;
pub(crate) mod db;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod job;
pub(crate) mod mcp;
pub(crate) mod queue;
pub(crate) mod up;
pub(crate) mod worker;
