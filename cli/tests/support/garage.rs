//! A real object storage on this machine: one Garage process over a folder that is removed with it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{asman, text, until};

pub const KEY: &str = "GK0123456789abcdef01234567";
pub const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The storage. It is ended and removed when dropped.
pub struct Garage {
    pub url: String,
    child: Child,
    folder: TempDir,
}

impl Garage {
    /// Starts the storage with a key that may create buckets.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, rpc) = (super::house::free_port(), super::house::free_port());
        let place = folder.path().display();
        let settings = format!(
            "metadata_dir = \"{place}/meta\"\ndata_dir = \"{place}/data\"\ndb_engine = \"lmdb\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{SECRET}\"\n\
             [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"127.0.0.1:{port}\"\n"
        );
        std::fs::write(folder.path().join("garage.toml"), settings).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(program());
        command.arg("-c").arg(folder.path().join("garage.toml")).args(["server", "--single-node", "--default-bucket"]);
        command.env("GARAGE_DEFAULT_ACCESS_KEY", KEY).env("GARAGE_DEFAULT_SECRET_KEY", SECRET);
        command.env("GARAGE_DEFAULT_BUCKET", "unused").stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let garage = Self { url: format!("http://127.0.0.1:{port}"), child: command.spawn().unwrap(), folder };
        until(|| garage.control(&["key", "allow", "--create-bucket", KEY]).then_some(()));
        garage
    }

    fn control(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new(program());
        command.arg("-c").arg(self.folder.path().join("garage.toml")).args(arguments);
        command.output().unwrap().status.success()
    }

    /// A bucket that was made over S3 has its name for its key only; the storage's own tool wants its id.
    fn id_of(&self, bucket: &str) -> String {
        let key = self.ask(&["key", "info", KEY]);
        let line = key.lines().find(|line| line.trim_end().ends_with(bucket)).unwrap_or_else(|| panic!("{key}"));
        line.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// From now on the key may only read the bucket.
    pub fn forbid_writing(&self, bucket: &str) {
        assert!(self.control(&["bucket", "deny", "--write", "--key", KEY, &self.id_of(bucket)]));
    }

    /// Lets the key run out and waits until it has.
    pub fn expire_key(&self) {
        assert!(self.control(&["key", "set", "--expires-in", "1s", KEY]));
        until(|| self.ask(&["key", "info", KEY]).to_lowercase().contains("expired").then_some(()));
    }

    /// Uploads in parts that were begun and neither completed nor aborted, as the storage counts them.
    pub fn unfinished_uploads(&self, bucket: &str) -> u64 {
        let info = self.ask(&["bucket", "info", &self.id_of(bucket)]);
        assert!(info.contains("Objects:"), "{info}");
        // If there are no unfinished uploads, Garage prints no such line.
        let line = info.lines().find(|line| line.to_lowercase().contains("unfinished"));
        line.map_or(0, |line| line.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{info}")))
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(program());
        command.arg("-c").arg(self.folder.path().join("garage.toml")).args(arguments);
        text(&command.output().unwrap().stdout)
    }

    /// `asman` with the settings for this storage and for a bucket with this name.
    pub fn asman(&self, bucket: &str) -> Command {
        let mut command = asman();
        command.env("ASMAN_S3_ENDPOINT", &self.url).env("ASMAN_S3_REGION", "garage").env("ASMAN_S3_PATH_STYLE", "1");
        command.env("ASMAN_S3_ACCESS_KEY_ID", KEY).env("ASMAN_S3_SECRET_ACCESS_KEY", SECRET).env("ASMAN_S3_BUCKET", bucket);
        command
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    PathBuf::from(std::env::var_os("GARAGE").unwrap_or("garage".into()))
}
