//! Sources of build contexts: archives, and a server of git repositories.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

/// A tar of files. A file with the text `-> target` becomes a symbolic link.
pub(crate) fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        // Writes exactly the given name: the crate's own functions refuse names that an attacker would use.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        if let Some(target) = text.strip_prefix("-> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
            header.set_size(0);
            header.set_cksum();
            tar.append(&header, &b""[..]).unwrap();
        } else {
            header.set_size(text.len() as u64);
            header.set_cksum();
            tar.append(&header, text.as_bytes()).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A repository with a working tree in which commits are made.
pub(crate) struct Repository {
    tree: PathBuf,
    bare: PathBuf,
}

impl Repository {
    /// Writes files, commits them, and publishes the current branch.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let path = self.tree.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => std::fs::write(path, text).unwrap(),
            }
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a"]);
        self.git(&["push", "--quiet", "--force", "--tags", self.bare.to_str().unwrap(), "HEAD"]);
        std::assert!(
            Command::new("git").args(["-C", self.bare.to_str().unwrap(), "update-server-info"]).status().unwrap().success()
        );
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.tree, arguments)
    }

    /// Publishes the current commit under any ref.
    pub(crate) fn publish_as(&self, name: &str) {
        self.git(&["push", "--quiet", "--force", self.bare.to_str().unwrap(), &format!("HEAD:{name}")]);
    }
}

fn git_in(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args([
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.org",
        "-c",
        "protocol.file.allow=always",
    ]);
    let output = command.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[derive(Clone)]
struct Served {
    root: PathBuf,
    authorizations: Arc<Mutex<Vec<String>>>,
    large: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    paths: Arc<Mutex<Vec<String>>>,
}

/// Serves repositories at `/smart/<name>`, `/old/<name>` (the protocol of plain files) and `/private/<name>` (only with [`LOGIN`]).
pub(crate) struct GitServer {
    pub(crate) url: String,
    folder: TempDir,
    served: Served,
}

/// User name and password of private repositories.
pub(crate) const LOGIN: (&str, &str) = ("me", "s3cr3t-t0ken-4711");

impl GitServer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authorizations, large, paths) = (Arc::default(), Arc::default(), Arc::default());
        let served = Served { root: folder.path().to_owned(), authorizations, large, paths };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(served.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, folder, served }
    }

    pub(crate) fn repository(&self, name: &str) -> Repository {
        let (bare, tree) = (self.folder.path().join("bare").join(name), self.folder.path().join("trees").join(name));
        for folder in [&bare, &tree] {
            std::fs::create_dir_all(folder).unwrap();
        }
        git_in(&bare, &["init", "--quiet", "--bare", "--initial-branch=main"]);
        git_in(&tree, &["init", "--quiet", "--initial-branch=main"]);
        Repository { tree, bare }
    }

    /// Puts a file into the storage of large files. Returns the pointer to it that a repository contains.
    pub(crate) fn keep_large(&self, bytes: &[u8]) -> String {
        let oid = protocol::sha256_hex(bytes);
        self.served.large.lock().unwrap().insert(oid.clone(), bytes.to_vec());
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {}\n", bytes.len())
    }

    /// Removes a file from the storage of large files.
    pub(crate) fn lose_large(&self) {
        self.served.large.lock().unwrap().clear();
    }

    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.served.authorizations.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.served.paths.lock().unwrap().clone()
    }
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let authorization = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    served.authorizations.lock().unwrap().extend(authorization.clone());
    served.paths.lock().unwrap().push(parts.uri.path().to_owned());
    let (kind, path) = parts.uri.path()[1..].split_once('/').unwrap_or_default();
    let is_open = kind != "private" || authorization == Some(basic());
    match kind {
        "smart" | "private" if path.ends_with("/info/lfs/objects/batch") && is_open => {
            large_batch(&served, &parts.headers, &body)
        }
        "large" => match served.large.lock().unwrap().get(path) {
            Some(bytes) if parts.headers.get("x-ticket").is_some_and(|ticket| ticket == path) => bytes.clone().into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        },
        "old" => match std::fs::read(served.root.join("bare").join(path)) {
            Ok(bytes) => bytes.into_response(),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        },
        "private" if authorization != Some(basic()) => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=a")]).into_response()
        }
        "smart" | "private" => cgi(&served.root.join("bare"), path, &parts.method, &parts.uri, &parts.headers, body).await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The storage's answer: the URL of each file, and the headers for its download.
fn large_batch(served: &Served, headers: &HeaderMap, body: &[u8]) -> Response {
    let asked: Value = serde_json::from_slice(body).unwrap();
    let host = headers[header::HOST].to_str().unwrap();
    let large = served.large.lock().unwrap();
    let objects = asked["objects"].as_array().unwrap().iter().map(|object| {
        let (oid, size) = (object["oid"].as_str().unwrap(), &object["size"]);
        let download = json!({ "href": format!("http://{host}/large/{oid}"), "header": { "X-Ticket": oid } });
        if large.contains_key(oid) {
            json!({ "oid": oid, "size": size, "actions": { "download": download } })
        } else {
            json!({ "oid": oid, "size": size, "error": { "code": 404, "message": "not there" } })
        }
    });
    let answer = json!({ "transfer": "basic", "objects": objects.collect::<Vec<_>>() });
    ([(header::CONTENT_TYPE, "application/vnd.git-lfs+json")], answer.to_string()).into_response()
}

fn basic() -> String {
    use base64::Engine as _;
    let (user, password) = LOGIN;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// Git's own server program, as a web server runs it.
async fn cgi(root: &Path, path: &str, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let mut command = tokio::process::Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{path}"))
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", text("content-type"))
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&body).await.unwrap();
    let output = child.wait_with_output().await.unwrap().stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut answer = Response::builder();
    for line in std::str::from_utf8(&output[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        answer = match name {
            "Status" => answer.status(value[..3].parse::<u16>().unwrap()),
            _ => answer.header(name, value),
        };
    }
    answer.body(Body::from(output[end + 4..].to_vec())).unwrap()
}
