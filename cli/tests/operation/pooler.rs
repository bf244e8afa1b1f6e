//! A `PgBouncer` of the test in front of a cluster of the test.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::cluster::{Cluster, server_account};
use crate::support::{data_directory, text, until};

/// The pooler. It is killed when dropped.
pub(crate) struct Pooler {
    folder: TempDir,
    process: Child,
}

impl Pooler {
    /// Starts a pooler with this `pool_mode` and otherwise its default settings. `PGBOUNCER` may name another program than Debian's.
    pub(crate) fn start(cluster: &Cluster, mode: &str) -> Self {
        let folder = data_directory();
        let path = folder.path().display();
        let account = server_account();
        let ini = format!(
            "[databases]\n* = host={} port=5432\n[pgbouncer]\npool_mode = {mode}\nlisten_port = 6432\nunix_socket_dir = {path}\n\
             auth_type = trust\nauth_file = {path}/users\nserver_login_retry = 1\ndefault_pool_size = 6\n",
            cluster.socket()
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), ini).unwrap();
        std::fs::write(folder.path().join("users"), "\"postgres\" \"\"\n").unwrap();
        if let Some((uid, gid)) = account {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let program = std::env::var("PGBOUNCER").unwrap_or_else(|_| "/usr/sbin/pgbouncer".to_owned());
        let mut command = Command::new(program);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.arg(folder.path().join("pgbouncer.ini")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        if let Some((uid, gid)) = account {
            command.uid(uid).gid(gid);
        }
        let process = command.spawn().expect("PgBouncer is here: ./x test installs it");
        let socket = folder.path().join(".s.PGSQL.6432");
        let log = folder.path().join("log");
        until(|| socket.exists().then_some(()));
        let said = text(&std::fs::read(log).unwrap());
        assert!(!said.contains("FATAL"), "{said}");
        Self { folder, process }
    }

    /// The URL of the superuser's database through the pooler.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@{}:6432/postgres", self.folder.path().display().to_string().replace('/', "%2F"))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
