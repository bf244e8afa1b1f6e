//! One file a family of URLs, as in `api/src/routes`.

mod blob_faults;
mod blobs;
mod cancel;
mod client_socket;
mod elsewhere;
mod files;
mod health;
mod job;
mod logs;
mod status;
mod stream;
mod submit;
mod worker;
