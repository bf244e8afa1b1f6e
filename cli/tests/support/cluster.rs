//! A PostgreSQL of the test's own, which it may restart or crash. Commits reach the disk.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::text;

/// Stopped and removed when dropped.
pub struct Cluster {
    folder: TempDir,
    bin: PathBuf,
}

impl Cluster {
    pub fn start() -> Self {
        let cluster = Self { folder: super::data_directory(), bin: newest_server() };
        if let Some((uid, gid)) = server_account() {
            std::os::unix::fs::chown(cluster.folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let data = cluster.data();
        cluster.run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
        cluster.control(&["start"]);
        cluster
    }

    pub fn url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}/postgres")
    }

    /// As an operator does it: connections are cut, what was committed is kept.
    pub fn restart(&self) {
        self.control(&["-m", "fast", "restart"]);
    }

    /// As a power cut does it: nothing is written out, recovery replays the log.
    pub fn crash_and_start(&self) {
        self.control(&["-m", "immediate", "stop"]);
        self.control(&["start"]);
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn control(&self, arguments: &[&str]) {
        let folder = self.folder.path().display();
        let options = format!("-c listen_addresses='' -c unix_socket_directories={folder} -c max_connections=60");
        let (data, log) = (self.data(), format!("{folder}/log"));
        let mut all = vec!["-D", &data, "-w", "-s", "-l", &log, "-o", &options];
        all.extend(arguments);
        self.run("pg_ctl", &all);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).current_dir(self.folder.path());
        if let Some((uid, gid)) = server_account() {
            command.uid(uid).gid(gid);
        }
        // The server inherits what pg_ctl has open: a pipe would never close.
        let path = self.folder.path().join("control.log");
        let log = std::fs::File::create(&path).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let status = command.status().unwrap();
        assert!(status.success(), "{program}: {}", text(&std::fs::read(path).unwrap()));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stop = std::panic::AssertUnwindSafe(|| self.control(&["-m", "immediate", "stop"]));
        let _ = std::panic::catch_unwind(stop);
    }
}

/// PostgreSQL refuses to run as root: then it runs as its own account.
fn server_account() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:")).expect("the account postgres is here");
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().unwrap());
    Some((numbers.next().unwrap(), numbers.next().unwrap()))
}

fn newest_server() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is here: ./x test installs it");
    let newest = versions.filter_map(|entry| entry.unwrap().file_name().into_string().ok()?.parse::<u32>().ok()).max();
    PathBuf::from(format!("/usr/lib/postgresql/{}/bin", newest.expect("a version of PostgreSQL is here")))
}
