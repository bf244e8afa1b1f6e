//! One file a family of URLs, as in `api/src/routes`.

mod blobs;
mod cancel;
mod client_socket;
mod description;
mod elsewhere;
mod files;
mod health;
mod job;
mod limits;
mod logs;
mod policy;
mod policy_doors;
mod status;
mod stream;
mod submit;
mod worker;
