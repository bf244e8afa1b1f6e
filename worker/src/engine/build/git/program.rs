//! Runs the `git` program: its settings, its limits, and the meaning of its failures.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::super::tunnel::Refusal;
use super::{Git, GitError};

/// Most bytes of a command's output, such as a list of refs.
const WORDS_MAX: u64 = 32 * 1024 * 1024;
const STDERR_CHARS_MAX: usize = 400;
/// Environment variables of the worker that git gets too: the paths of programs and certificates.
const ENVIRONMENT: [&str; 5] = ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_EXEC_PATH"];
pub(super) const STDERR_BYTES_MAX: u64 = 64 * 1024;

impl Git<'_> {
    /// A command that calls a server. The login is sent only to the main repository's host.
    pub(super) fn remote(&self, url: &Url) -> Command {
        let protocols = if self.allows_http { "http:https" } else { "https" };
        let login = self.repository.login.as_ref().filter(|_| url.origin() == self.repository.url.origin());
        let mut command = self.command(&[
            ("http.proxy", self.tunnel.url()),
            ("http.followRedirects", if login.is_some() { "false" } else { "initial" }.to_owned()),
            ("http.lowSpeedLimit", "1000".to_owned()),
            ("http.lowSpeedTime", "60".to_owned()),
        ]);
        command.env("GIT_ALLOW_PROTOCOL", protocols);
        if let Some(login) = login {
            let header = STANDARD.encode(format!("{}:{}", login.user, login.password));
            let origin = self.repository.url.origin().ascii_serialization();
            command.env("GIT_CONFIG_COUNT", "1");
            command.env("GIT_CONFIG_KEY_0", format!("http.{origin}/.extraHeader"));
            command.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {header}"));
        }
        command
    }

    pub(super) fn command(&self, settings: &[(&str, String)]) -> Command {
        let mut command = Command::new(self.program);
        command.env_clear().envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("HOME", self.folder).env("XDG_CONFIG_HOME", self.folder).env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_ATTR_NOSYSTEM", "1");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_PROTOCOL_FROM_USER", "0").env("GIT_ALLOW_PROTOCOL", "none");
        let fixed = [
            "credential.helper=",
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.bigFileThreshold=16m",
            "gc.auto=0",
            "maintenance.auto=false",
            "fetch.unpackLimit=1",
            "fetch.recurseSubmodules=false",
            "transfer.bundleURI=false",
            "pack.threads=1",
        ];
        for setting in fixed {
            command.args(["-c", setting]);
        }
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.current_dir(self.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(super) fn spawn(&self, mut command: Command) -> Result<Group, GitError> {
        let spawned = command.process_group(0).kill_on_drop(true).spawn();
        let child = spawned.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound if self.folder.is_dir() => GitError::NoGit,
            _ => GitError::Host(error),
        })?;
        Ok(Group { id: child.id(), child })
    }

    /// Runs a command to its end. Returns its output.
    pub(super) async fn output(&self, command: Command) -> Result<String, GitError> {
        let mut child = self.spawn(command)?;
        let (Some(stdout), Some(stderr)) = (child.child.stdout.take(), child.child.stderr.take()) else {
            return Err(GitError::Failed("it has no output".to_owned()));
        };
        let (words, stderr) = tokio::join!(read_at_most(stdout, WORDS_MAX), read_at_most(stderr, STDERR_BYTES_MAX));
        self.judge(&mut child, &stderr).await?;
        Ok(words)
    }

    pub(super) async fn judge(&self, group: &mut Group, stderr: &str) -> Result<(), GitError> {
        let status = group.child.wait().await.map_err(GitError::Host)?;
        group.id = None;
        if status.success() {
            return Ok(());
        }
        if self.tunnel.is_spent() {
            return Err(GitError::TooLarge);
        }
        if let Some(Refusal { is_forbidden, why }) = self.tunnel.refusal() {
            return Err(if is_forbidden { GitError::Forbidden(why) } else { GitError::Unreachable(why) });
        }
        let is_private = ["could not read Username", "Authentication failed", "not found", "error: 403", "error: 401"];
        if is_private.iter().any(|words| stderr.contains(words)) {
            return Err(GitError::NoAccess);
        }
        Err(GitError::Failed(self.redact(&last_words(stderr))))
    }

    /// Removes the login from git's messages. Git should never print a login, because its command line does not contain one.
    fn redact(&self, words: &str) -> String {
        let Some(login) = &self.repository.login else { return words.to_owned() };
        let encoded = STANDARD.encode(format!("{}:{}", login.user, login.password));
        let secrets = [&login.password, &login.user, &encoded];
        let secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
        secrets.fold(words.to_owned(), |words, secret| words.replace(secret.as_str(), "…"))
    }
}

/// A program and all processes that it started. They are killed if this is dropped before the end.
pub(super) struct Group {
    pub(super) child: Child,
    /// None after the program has ended.
    id: Option<u32>,
}

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.id.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // The group may have ended in this moment.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

/// Keeps only the first bytes, but reads everything, so that the writer never waits.
pub(super) async fn read_at_most(mut from: impl AsyncRead + Unpin, max: u64) -> String {
    let mut kept = Vec::new();
    // A broken pipe counts as the end.
    let _ = (&mut from).take(max).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}

/// The last two lines that are not empty.
fn last_words(stderr: &str) -> String {
    let lines: Vec<_> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let words = lines[lines.len().saturating_sub(2)..].join("; ");
    let words: String = words.chars().filter(|c| !c.is_control()).take(STDERR_CHARS_MAX).collect();
    if words.is_empty() { "it gives no reason".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_last_words_are_short() {
        assert_eq!(last_words("a\nb\n\n c\u{7}\n"), "b; c");
        assert_eq!(last_words(""), "it gives no reason");
        assert!(last_words(&"x".repeat(10_000)).len() <= STDERR_CHARS_MAX);
    }
}
