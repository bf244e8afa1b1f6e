//! A client and a worker that speak only what existing ones speak, written from the wire's description alone: JSON values and
//! plain sockets, none of our types.

mod client;
mod fleet;
mod flows;
pub(crate) mod old_worker;
