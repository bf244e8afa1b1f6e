//! A registry on this machine.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// A registry on this machine. It is stopped when dropped.
pub(crate) struct Registry {
    process: std::process::Child,
    pub(crate) address: String,
    _folder: tempfile::TempDir,
}

/// User and password of a private registry. Below them is the line for its list of users.
pub(crate) const REGISTRY_LOGIN: (&str, &str) = ("ada", "s3cr3t-w0rd");
const REGISTRY_USERS: &str = "ada:$2y$05$abcdefghijklmnopqrstuuswOJ.QUCpuyZO9HSy3fJrzByYtDTJTK\n";

impl Registry {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| String::new())
    }

    /// A registry that only [`REGISTRY_LOGIN`] can use.
    pub(crate) fn start_private() -> Self {
        Self::start_with(|folder| {
            let users = folder.join("users");
            std::fs::write(&users, REGISTRY_USERS).unwrap();
            format!("auth:\n  htpasswd:\n    realm: a\n    path: {}\n", users.display())
        })
    }

    fn start_with(more: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.path().join("config.yml");
        let root = folder.path().join("store");
        let text =
            format!("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n", root.display());
        std::fs::write(&config, text + &more(folder.path())).unwrap();
        let mut command = Command::new("docker-registry");
        let mut process = command.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(process.stderr.take().unwrap()).lines();
        assert!(words.any(|line| line.unwrap().contains("listening on")), "the registry starts");
        std::thread::spawn(move || words.for_each(drop));
        Self { process, address, _folder: folder }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
