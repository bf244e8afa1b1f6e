//! Logins for registries, which `docker login` stores for the user that the worker runs as.
//!
//! In: the `config.json` of the Docker command line, with `auths`, `credsStore` and `credHelpers`. The worker calls the
//! `docker-credential-*` programs that the file names. The worker reads the file each time, so a new login works at once. Out: a
//! [`Login`] for one registry.
//!
//! The logins belong to the worker's owner. A worker with `--untrusted` has [`Logins::none`], so that jobs of strangers do not use them. Errors
//! and log lines contain only the registry and the name of the program.
//!
//! Bounds: [`FILE_BYTES_MAX`], [`ANSWER_BYTES_MAX`] and [`HELPER_TIMEOUT`].

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::engine::Login;

const FILE_BYTES_MAX: u64 = 1024 * 1024;
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
const REGISTRIES_MAX: usize = 64;
/// The key under which Docker stores the login of the default registry.
const HUB: &str = "https://index.docker.io/v1/";
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
/// User name of a login whose password is a token.
const TOKEN_USER: &str = "<token>";

/// Why an existing login cannot be read. The message names the program or the file, never their content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// The file is invalid.
    #[error("{0} is not a valid settings file of Docker; check its JSON")]
    File(PathBuf),
    /// The program is not installed, or not in the PATH.
    #[error("{0}, which stores the logins of this machine, is not installed; install it, or run `docker login` without it")]
    NoHelper(String),
    /// The program failed.
    #[error("{0} does not give the login; run it in a terminal to see why")]
    Helper(String),
}

/// Where the owner's logins are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logins {
    file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    auths: serde_json::Map<String, Value>,
    creds_store: Option<String>,
    cred_helpers: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Logins {
    /// The logins in a folder, else those of the user.
    pub(crate) fn of(folder: Option<&Path>) -> Self {
        let home = || std::env::var_os("HOME").filter(|home| !home.is_empty()).map(|home| PathBuf::from(home).join(".docker"));
        Self { file: folder.map(Path::to_owned).or_else(home).map(|folder| folder.join("config.json")) }
    }

    /// No logins.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// The login for the registry of an image's name. `None` as the registry means the engine's default.
    pub(crate) async fn of_registry(&self, registry: Option<&str>) -> Result<Option<Login>, LoginError> {
        let Some(settings) = self.read().await? else { return Ok(None) };
        let keys = keys_of(registry);
        let host = registry.unwrap_or(HUB_HOSTS[0]);
        match helper_of(&settings, &keys) {
            Some(helper) => match ask(&helper, &keys).await? {
                Some((user, password)) => Ok(Some(login(host, user, password))),
                None => Ok(kept(&settings, &keys, host)),
            },
            None => Ok(kept(&settings, &keys, host)),
        }
    }

    /// The registries for which the settings name a login, at most [`REGISTRIES_MAX`].
    pub(crate) async fn registries(&self) -> Vec<String> {
        let settings = self.read().await.ok().flatten().unwrap_or_default();
        let named = settings.auths.keys().chain(settings.cred_helpers.keys()).map(|key| host_of(key).to_owned());
        let mut named: Vec<_> = named.collect();
        named.sort();
        named.dedup();
        named.truncate(REGISTRIES_MAX);
        named
    }

    /// Reads the file. Returns None when there is no file and so no login.
    async fn read(&self) -> Result<Option<Settings>, LoginError> {
        let Some(path) = &self.file else { return Ok(None) };
        let unreadable = || LoginError::File(path.clone());
        let file = match tokio::fs::File::open(path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err(unreadable()),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).await.map_err(|_| unreadable())?;
        serde_json::from_slice(&bytes).map(Some).map_err(|_| unreadable())
    }
}

/// The keys that a registry's login may have, the usual one first.
fn keys_of(registry: Option<&str>) -> Vec<String> {
    match registry {
        Some(host) if !HUB_HOSTS.contains(&host) => vec![host.to_owned(), format!("https://{host}")],
        _ => [HUB].into_iter().chain(HUB_HOSTS).map(str::to_owned).collect(),
    }
}

/// A key without scheme and path.
fn host_of(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    bare.split('/').next().unwrap_or(bare)
}

/// The program that stores a registry's login: the one for this registry, else the one for all.
fn helper_of(settings: &Settings, keys: &[String]) -> Option<String> {
    let own = || settings.cred_helpers.iter().find(|(key, _)| keys.iter().any(|other| host_of(other) == host_of(key)));
    let name = own().and_then(|(_, name)| name.as_str()).or(settings.creds_store.as_deref())?;
    let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    is_plain.then(|| format!("docker-credential-{name}"))
}

/// A login in the file itself.
fn kept(settings: &Settings, keys: &[String], host: &str) -> Option<Login> {
    let exact = keys.iter().find_map(|key| settings.auths.get(key));
    let similar = || settings.auths.iter().find(|(key, _)| keys.iter().any(|other| host_of(other) == host_of(key)));
    let entry = exact.or_else(|| similar().map(|(_, entry)| entry))?;
    let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(token) = text("identitytoken") {
        return Some(login(host, TOKEN_USER.to_owned(), token));
    }
    let decoded = || {
        let bytes = STANDARD.decode(text("auth")?).ok()?;
        let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
        // Docker ends some passwords with a NUL.
        Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
    };
    let (user, password) = decoded().or_else(|| Some((text("username")?, text("password")?)))?;
    Some(login(host, user, password))
}

fn login(registry: &str, user: String, password: String) -> Login {
    let server = if HUB_HOSTS.contains(&registry) { HUB } else { registry };
    let is_token = user == TOKEN_USER;
    Login { registry: server.to_owned(), user: if is_token { String::new() } else { user }, password, is_token }
}

/// A program's answer for one of the keys. None when it has no such login.
async fn ask(program: &str, keys: &[String]) -> Result<Option<(String, String)>, LoginError> {
    for key in keys {
        let answer = tokio::time::timeout(HELPER_TIMEOUT, call(program, key)).await;
        if let Some(found) = answer.map_err(|_| LoginError::Helper(program.to_owned()))?? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn call(program: &str, key: &str) -> Result<Option<(String, String)>, LoginError> {
    let failed = || LoginError::Helper(program.to_owned());
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => LoginError::NoHelper(program.to_owned()),
        _ => failed(),
    })?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { return Err(failed()) };
    // The program may answer without reading its input.
    let _ = stdin.write_all(format!("{key}\n").as_bytes()).await;
    drop(stdin);
    let mut bytes = Vec::new();
    stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).await.map_err(|_| failed())?;
    let status = child.wait().await.map_err(|_| failed())?;
    if !status.success() {
        // In the programs' protocol this sentence means that there is no login.
        let is_none = String::from_utf8_lossy(&bytes).contains("credentials not found");
        return if is_none { Ok(None) } else { Err(failed()) };
    }
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| failed())?;
    Ok((!answer.secret.is_empty()).then_some((answer.username, answer.secret)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn logins(json: &str) -> (tempfile::TempDir, Logins) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), json).unwrap();
        let logins = Logins::of(Some(folder.path()));
        (folder, logins)
    }

    async fn found(logins: &Logins, registry: Option<&str>) -> Option<(String, String, bool)> {
        let login = logins.of_registry(registry).await.unwrap()?;
        assert!(!format!("{login:?}").contains(&login.password));
        Some((login.user, login.password, login.is_token))
    }

    #[tokio::test]
    async fn a_login_is_read_as_docker_keeps_it() {
        let auth = STANDARD.encode("me:s3cret:x");
        let json = format!(
            r#"{{"auths":{{"registry.example":{{"auth":"{auth}"}},"https://old.example/v1/":{{"auth":"{auth}"}},"{HUB}":{{"auth":"{auth}"}},
                "token.example":{{"identitytoken":"t0ken"}},"plain.example":{{"username":"a","password":"b"}},"empty.example":{{}}}}}}"#
        );
        let (_folder, logins) = logins(&json);
        let expected = Some(("me".to_owned(), "s3cret:x".to_owned(), false));
        for registry in [Some("registry.example"), Some("old.example"), None, Some("docker.io")] {
            assert_eq!(found(&logins, registry).await, expected, "{registry:?}");
        }
        assert_eq!(logins.of_registry(None).await.unwrap().unwrap().registry, HUB);
        assert_eq!(found(&logins, Some("token.example")).await, Some((String::new(), "t0ken".to_owned(), true)));
        assert_eq!(found(&logins, Some("plain.example")).await, Some(("a".to_owned(), "b".to_owned(), false)));
        for registry in [Some("other.example"), Some("empty.example"), Some("registry.example:5000")] {
            assert_eq!(found(&logins, registry).await, None, "{registry:?}");
        }
        assert_eq!(found(&Logins::none(), Some("registry.example")).await, None);
        assert_eq!(found(&Logins::of(Some(Path::new("/nonexistent"))), None).await, None);
    }

    #[tokio::test]
    async fn programs_that_keep_logins_are_asked_and_named_when_they_fail() {
        let (folder, logins) = logins(
            r#"{"auths":{"registry.example":{},"file.example":{"auth":"YTpi"}},"credsStore":"asman-test-none",
                "credHelpers":{"own.example":"../evil","bad.example":"asman test"}}"#,
        );
        let error = logins.of_registry(Some("registry.example")).await.unwrap_err().to_string();
        assert!(
            error.starts_with("docker-credential-asman-test-none, which stores the logins of this machine, is not installed"),
            "{error}"
        );
        // A name that is not a plain program name is not run.
        assert_eq!(found(&logins, Some("own.example")).await, None);
        assert_eq!(logins.registries().await, ["bad.example", "file.example", "own.example", "registry.example"]);
        let program = folder.path().join("keeper");
        let script = "#!/bin/sh\nread server\ncase $server in\n  a.example) echo '{\"Username\":\"u\",\"Secret\":\"p\"}' ;;\n  \
                      broken.example) exit 1 ;;\n  *) echo credentials not found in native keychain; exit 1 ;;\nesac\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = program.to_str().unwrap();
        let keys = |host: &str| keys_of(Some(host));
        assert_eq!(ask(program, &keys("a.example")).await.unwrap(), Some(("u".to_owned(), "p".to_owned())));
        assert_eq!(ask(program, &keys("other.example")).await.unwrap(), None);
        assert!(matches!(ask(program, &keys("broken.example")).await, Err(LoginError::Helper(_))));
    }

    #[tokio::test]
    async fn settings_that_cannot_be_read_are_named_without_their_content() {
        let (_folder, logins) = logins("{\"auths\": s3cret");
        let error = logins.of_registry(None).await.unwrap_err().to_string();
        assert!(error.contains("config.json") && !error.contains("s3cret"), "{error}");
    }
}
