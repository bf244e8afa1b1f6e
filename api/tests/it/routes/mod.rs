//! One file a family of URLs, as in `api/src/routes`.

mod bad_input;
mod blob_faults;
mod blobs;
mod cancel;
mod client_socket;
mod copy;
mod description;
mod elsewhere;
mod files;
mod health;
mod job;
mod limits;
mod local;
mod logs;
mod metaframe;
mod namespaces;
mod patience;
mod policy;
mod policy_doors;
mod program;
mod renewal;
mod status;
mod stream;
mod submit;
mod worker;
mod worker_socket;
