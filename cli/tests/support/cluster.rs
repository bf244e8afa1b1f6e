//! A PostgreSQL server of the test, which the test may restart or crash. Its commits reach the disk.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::text;

/// The server. It is stopped and removed when dropped.
pub struct Cluster {
    folder: TempDir,
    bin: PathBuf,
    settings: String,
}

impl Cluster {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with further settings, such as `-c shared_preload_libraries=…`.
    pub fn start_with(settings: &str) -> Self {
        let cluster = Self { folder: super::data_directory(), bin: newest_server(), settings: settings.to_owned() };
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

    /// Restarts the server as an operator does: connections are cut, and committed data is kept.
    pub fn restart(&self) {
        self.control(&["-m", "fast", "restart"]);
    }

    /// Stops the server as a power failure does, without a last write. At the start, recovery replays the log.
    pub fn crash_and_start(&self) {
        self.control(&["-m", "immediate", "stop"]);
        self.control(&["start"]);
    }

    /// Kills every process of the server, as the system does when memory runs out, and starts the server.
    pub fn kill_and_start(&self) {
        let file = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap();
        let postmaster: i32 = file.lines().next().unwrap().parse().unwrap();
        let all: Vec<i32> = std::iter::once(postmaster).chain(children_of(postmaster)).collect();
        for pid in &all {
            let pid = rustix::process::Pid::from_raw(*pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        super::until(|| all.iter().all(|pid| !is_running(*pid)).then_some(()));
        // A process that was created at that moment holds the server's memory until it notices the end.
        super::until(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.control(&["start"]))).ok());
    }

    /// The folder of the socket.
    pub fn socket(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// The URL of a database for a user.
    pub fn url_of(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@{}/{database}", self.socket().replace('/', "%2F"))
    }

    /// Runs statements as the superuser.
    pub fn sql(&self, statements: &str) -> String {
        self.sql_in(&self.url(), statements)
    }

    /// Runs statements in a database of this cluster and returns the rows.
    pub fn sql_in(&self, url: &str, statements: &str) -> String {
        let psql = ["-v", "ON_ERROR_STOP=1", "-qAt", "-c", statements, url];
        let output = Command::new(self.bin.join("psql")).args(psql).output().unwrap();
        assert!(output.status.success(), "{statements}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// One of PostgreSQL's programs.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.bin.join(name))
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn control(&self, arguments: &[&str]) {
        let folder = self.folder.path().display();
        let settings = &self.settings;
        let options = format!("-c listen_addresses='' -c unix_socket_directories={folder} -c max_connections=60 {settings}");
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
        // The server inherits the open files of pg_ctl. If the output were a pipe, it would never close.
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

fn children_of(parent: i32) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// The parent of a process: the second field after its name, which is in brackets and may contain any characters.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// The account for the server if the test runs as root, because PostgreSQL refuses to run as root.
pub fn server_account() -> Option<(u32, u32)> {
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
