//! A real registry of images on this machine.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The registry. It is killed when dropped.
pub struct Registry(Child);

impl Registry {
    /// Starts one that keeps its images in the folder, and waits until it listens at the address.
    pub fn start(folder: &Path, address: &str) -> Self {
        let root = folder.join("store");
        let text =
            format!("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n", root.display());
        std::fs::write(folder.join("config.yml"), text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(folder.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(words.any(|line| line.unwrap().contains("listening on")));
        std::thread::spawn(move || words.for_each(drop));
        Self(child)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
