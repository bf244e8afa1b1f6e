//! What jobs and the worker may reach on the network.
//!
//! In: addresses and URLs that strangers chose, and what the owner permits. Out: rules of the kernel's packet filter, name servers for
//! jobs, and a client that connects only where it may.
//!
//! - `firewall`, with `addresses`, `destination` and `jumps`: what the containers behind one bridge reach. The engine makes the bridge;
//!   this module only knows its name.
//! - `resolvers`: the name servers of jobs. `registries`: the registries that jobs of strangers may use.
//! - `guard`: the client for URLs that strangers chose. `proxy`: the proxies of the environment.
//!
//! # Invariants
//!
//! - The worker resolves the host of a stranger's URL once, checks the address, and connects to this address. A second answer of a name
//!   server changes nothing.
//! - An installation of rules replaces the old ones at once. There is no moment without rules.
//!
//! # Errors
//!
//! A URL is refused because of the job or because of the owner's settings, and the error says which. A failure of the packet filter is a
//! fault of the machine.

mod addresses;
mod destination;
mod firewall;
mod guard;
mod jumps;
mod proxy;
mod registries;
mod resolvers;

pub(crate) use addresses::is_public;
pub use destination::{Destination, InvalidDestination};
pub(crate) use firewall::Firewall;
pub(crate) use guard::Guarded;
pub use proxy::Proxies;
pub(crate) use registries::{ForbiddenRegistry, check as check_registry};
pub use registries::{InvalidRegistryHost, RegistryHost};
pub(crate) use resolvers::Resolvers;
