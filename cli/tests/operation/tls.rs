//! PostgreSQL over TCP with common kinds of certificates. All commands understand a database URL as libpq does.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Api;
use crate::support::cluster::{Cluster, server_account};
use crate::support::{Running, asman, data_directory, house::free_port, text, until};

/// A server on a port, whose certificate a test chooses.
struct Server {
    cluster: Cluster,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts a server with the first certificate that PostgreSQL's manual describes: signed by itself, for `localhost`.
    fn start() -> Self {
        let folder = data_directory();
        self_signed(folder.path(), "server");
        let port = free_port();
        let at = folder.path().display();
        let settings = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c ssl=on -c ssl_cert_file={at}/server.crt -c ssl_key_file={at}/server.key"
        );
        own(folder.path());
        Self { cluster: Cluster::start_with(&settings), port, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs statements over the socket.
    fn sql(&self, statements: &str) -> String {
        let url = format!("host={} port={} user=postgres dbname=postgres", self.cluster.socket(), self.port);
        self.cluster.sql_in(&url, statements)
    }

    /// Switches the server to a certificate in the folder.
    fn use_certificate(&self, name: &str) {
        for kind in ["crt", "key"] {
            std::fs::copy(self.file(&format!("{name}.{kind}")), self.file(&format!("server.{kind}"))).unwrap();
        }
        own(self.folder.path());
        self.sql("select pg_reload_conf()");
        // A new connection makes sure that the server has loaded the new settings.
        self.sql("select 1");
    }

    /// Sets which connections over TCP are allowed: `host`, `hostssl` or `hostnossl`.
    fn admit(&self, kind: &str) {
        let file = Path::new(&self.cluster.socket()).join("data/pg_hba.conf");
        std::fs::write(file, format!("local all all trust\n{kind} all all 127.0.0.1/32 trust\n")).unwrap();
        self.sql("select pg_reload_conf()");
        let is_read = format!("select count(*) from pg_hba_file_rules where type = '{kind}'");
        assert_eq!(self.sql(&is_read), "1");
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://postgres@{host}:{}/postgres{parameters}", self.port)
    }

    /// The result of both commands for an address: `asman db status`, and `asman api` once it is ready. They must agree.
    async fn try_all(&self, url: &str, environment: &[(&str, &str)]) -> Result<(), String> {
        let by_status = outcome(asman().args(["db", "status"]).env("DATABASE_URL", url).envs(environment.iter().copied()));
        let by_api = if by_status.is_ok() {
            let blobs = data_directory();
            let api = Api::start_with_environment(url, blobs.path(), environment);
            assert!(api.submit(1).await.is_some(), "{url}");
            Ok(())
        } else {
            let mut command = asman();
            command.args(["api", "--listen", "127.0.0.1:0", "--blob-directory", "/nowhere", "--database-url", url]);
            let mut api = Running::start(command.envs(environment.iter().copied()));
            if api.wait().success() { Ok(()) } else { Err(api.said.join("\n")) }
        };
        assert_eq!(by_status.is_ok(), by_api.is_ok(), "{url}: {by_status:?} {by_api:?}");
        by_status.map_err(|said| said + &by_api.unwrap_err())
    }

    async fn takes(&self, url: &str, environment: &[(&str, &str)]) {
        self.try_all(url, environment).await.unwrap_or_else(|said| panic!("{url}: {said}"));
    }

    /// Checks that both commands refuse the address, with a sentence that contains this text.
    async fn refuses(&self, url: &str, sentence: &str) {
        let said = self.try_all(url, &[]).await.expect_err(url);
        assert_eq!(said.matches(sentence).count(), 2, "{url}: {said}");
    }
}

fn outcome(command: &mut Command) -> Result<(), String> {
    let output = command.output().unwrap();
    if output.status.success() { Ok(()) } else { Err(text(&output.stderr)) }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
}

/// Makes a certificate by the manual's first recipe.
fn self_signed(folder: &Path, name: &str) {
    openssl(folder, &format!("req -new -x509 -days 9 -nodes -text -out {name}.crt -keyout {name}.key -subj /CN=localhost"));
}

/// Makes a certificate by the manual's second recipe: an authority, and a certificate that it signs, with further arguments.
fn signed(folder: &Path, name: &str, extensions: &str) {
    openssl(folder, "req -new -x509 -days 9 -nodes -out root.crt -keyout root.key -subj /CN=root.example");
    openssl(folder, &format!("req -new -nodes -out {name}.csr -keyout {name}.key -subj /CN=localhost"));
    openssl(
        folder,
        &format!("x509 -req -in {name}.csr -days 9 -CA root.crt -CAkey root.key -CAcreateserial -out {name}.crt{extensions}"),
    );
}

/// Gives the files to the server's account, because the server reads its key only if no other user can read it.
fn own(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((uid, gid)) = server_account() {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_stock_self_signed_certificate_is_judged_as_libpq_does_it() {
    let server = Server::start();
    let (at_name, at_number) = (|parameters: &str| server.url("localhost", parameters), server.url("127.0.0.1", ""));
    outcome(asman().args(["db", "migrate"]).env("DATABASE_URL", at_name(""))).unwrap();
    let own = server.file("server.crt").display().to_string();
    self_signed(server.folder.path(), "other");
    let other = server.file("other.crt").display().to_string();
    for parameters in [
        String::new(),
        "?sslmode=disable".to_owned(),
        "?sslmode=allow".to_owned(),
        "?sslmode=prefer".to_owned(),
        "?sslmode=require".to_owned(),
        format!("?sslmode=require&sslrootcert={own}"),
        format!("?sslmode=verify-ca&sslrootcert={own}"),
        format!("?sslmode=verify-full&sslrootcert={own}"),
    ] {
        server.takes(&at_name(&parameters), &[]).await;
    }
    let keywords =
        format!("host=localhost port={} user=postgres dbname=postgres sslmode=verify-full sslrootcert='{own}'", server.port);
    server.takes(&keywords, &[]).await;
    server.takes(&at_number, &[("PGSSLMODE", "verify-ca"), ("PGSSLROOTCERT", &own)]).await;
    let wrong_name = format!("{at_number}?sslmode=verify-full&sslrootcert={own}");
    server.refuses(&wrong_name, "`sslmode=verify-full` requires this name in the server's certificate").await;
    for parameters in ["?sslmode=verify-full", &format!("?sslmode=verify-ca&sslrootcert={other}")] {
        server.refuses(&at_name(parameters), "no authority of `sslrootcert` has signed").await;
    }
    server.refuses(&at_name(&format!("?sslmode=require&sslrootcert={other}")), "no authority of `sslrootcert`").await;
    server.refuses(&at_name("?sslmode=verify-ca"), "verify-ca needs the file of its authorities in sslrootcert").await;
    server.refuses(&at_name("?sslmode=verify-full&sslcrl=/x"), "`sslcrl=/x`, which is not supported here").await;
}

#[tokio::test]
async fn a_certificate_of_an_authority_is_judged_as_libpq_does_it() {
    let server = Server::start();
    let url = |parameters: &str| server.url("localhost", parameters);
    outcome(asman().args(["db", "migrate"]).env("DATABASE_URL", url("?sslmode=require"))).unwrap();
    let root = server.file("root.crt").display().to_string();
    // A certificate without extensions: OpenSSL 1 and 3.0 make it by the manual's second recipe.
    signed(server.folder.path(), "bare", "");
    server.use_certificate("bare");
    for parameters in ["", "?sslmode=require"] {
        server.takes(&url(parameters), &[]).await;
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        server.takes(&url(&format!("?sslmode={mode}&sslrootcert={root}")), &[]).await;
    }
    let status = |url: &str| outcome(asman().args(["db", "status"]).env("DATABASE_URL", url));
    let tls12 = "alter system set ssl_max_protocol_version = 'TLSv1.2'";
    server.sql(tls12);
    server.sql("select pg_reload_conf()");
    server.sql("select 1");
    status(&url(&format!("?sslmode=verify-full&sslrootcert={root}"))).unwrap();
    // A certificate as a newer option of OpenSSL makes it. It could sign other certificates.
    let name =
        "req -new -x509 -days 9 -nodes -CA root.crt -CAkey root.key -subj /CN=localhost -out signed.crt -keyout signed.key";
    openssl(server.folder.path(), name);
    server.use_certificate("signed");
    server.takes(&url(&format!("?sslmode=verify-full&sslrootcert={root}")), &[]).await;
    server.refuses(&url("?sslmode=verify-full"), "no authority of `sslrootcert` has signed").await;
    // The certificate lists names beside its subject. Then the subject's name does not count any more.
    std::fs::write(server.file("named"), "subjectAltName=DNS:db.example\nbasicConstraints=CA:FALSE\n").unwrap();
    signed(server.folder.path(), "elsewhere", " -extfile named");
    server.use_certificate("elsewhere");
    server.takes(&url(&format!("?sslmode=verify-ca&sslrootcert={root}")), &[]).await;
    let wrong_name = format!("?sslmode=verify-full&sslrootcert={root}");
    server.refuses(&url(&wrong_name), "`sslmode=verify-full` requires this name").await;
    std::fs::write(server.file("named"), "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    signed(server.folder.path(), "here", " -extfile named");
    server.use_certificate("here");
    server.takes(&url(&wrong_name), &[]).await;
    server.takes(&server.url("127.0.0.1", &wrong_name), &[]).await;
}

#[tokio::test]
async fn a_server_that_takes_only_one_way_is_spoken_to_in_that_way() {
    let server = Server::start();
    let url = |mode: &str| server.url("localhost", &format!("?sslmode={mode}"));
    outcome(asman().args(["db", "migrate"]).env("DATABASE_URL", url("prefer"))).unwrap();
    server.admit("hostssl");
    for mode in ["allow", "prefer", "require"] {
        server.takes(&url(mode), &[]).await;
    }
    server.refuses(&url("disable"), "no pg_hba.conf entry").await;
    server.admit("hostnossl");
    for mode in ["disable", "allow", "prefer"] {
        server.takes(&url(mode), &[]).await;
    }
    server.refuses(&url("require"), "no pg_hba.conf entry").await;
    server.admit("host");
    let blobs = data_directory();
    let is_encrypted = "select string_agg(distinct ssl::text, ',') from pg_stat_ssl join pg_stat_activity using (pid) \
                        where application_name = 'asman'";
    for (mode, expected) in [("allow", "false"), ("prefer", "true")] {
        let api = Api::start(&url(mode), blobs.path(), &[]);
        assert!(api.submit(1).await.is_some());
        assert_eq!(server.sql(is_encrypted), expected, "{mode}");
    }
}

#[tokio::test]
async fn signs_of_life_are_asked_for_as_the_address_says() {
    let server = Server::start();
    outcome(asman().args(["db", "migrate"]).env("DATABASE_URL", server.url("127.0.0.1", ""))).unwrap();
    let blobs = data_directory();
    let timers = |port: u16| {
        let peer = format!("dport = :{port}");
        let output =
            Command::new("ss").args(["-Htno", "state", "established", &peer]).output().expect("ss is here: ./x test installs it");
        let lines = text(&output.stdout);
        assert!(!lines.is_empty());
        (lines.lines().count(), lines.matches("timer:(keepalive,").count())
    };
    for (parameters, is_asked) in [
        ("?sslmode=disable&keepalives_idle=7&keepalives_interval=3&keepalives_count=2&tcp_user_timeout=9000", true),
        ("?sslmode=require", true),
        ("?sslmode=require&keepalives=0", false),
        ("?sslmode=disable&keepalives=0", false),
    ] {
        let _api = Api::start(&server.url("127.0.0.1", parameters), blobs.path(), &[]);
        eprintln!("looking at {parameters}");
        // While a connection has data in transit, it has another timer for a moment.
        let is_as_told = || {
            let (connections, asked) = timers(server.port);
            (asked == if is_asked { connections } else { 0 }).then_some(())
        };
        until(is_as_told);
    }
    let wrong = server.url("127.0.0.1", "?keepalives_idle=soon");
    server.refuses(&wrong, "wrong `keepalives_idle`: `soon` is not a whole number").await;
}
