//! Concurrency on one queue: claims that meet, break off or are swept, and heartbeats that wait.

mod claims;
mod classes;
mod heartbeats;
mod load;
mod sweeps;
