//! Settings of builds.

use std::path::PathBuf;

use tokio_util::task::TaskTracker;

use crate::engine::images::{ImageReference, Logins, Version};
use crate::engine::{DockerLogin, ImageConfig, Login};
use crate::error::Error;

/// The default of `--retry-for`. It is longer than most restarts of a registry.
const RETRY_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// Settings of the builds of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether jobs may build.
    pub(crate) is_on: bool,
    /// Registry for built images, besides this engine.
    pub(super) registry: Option<Registry>,
    /// The `git` program.
    pub(super) git: PathBuf,
    /// How long a registry may be silent, if that is not the default.
    pub(crate) pull_timeout: Option<std::time::Duration>,
    /// Logins for the images of jobs.
    pub(crate) logins: Logins,
    /// How long the worker tries again after a failure of the network.
    pub(crate) retry_for: std::time::Duration,
    /// Tasks of builds. The worker waits for them when it ends.
    pub(super) tasks: TaskTracker,
}

/// A repository of a registry for built images.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    /// Registry and path.
    name: String,
    /// Host and port.
    host: String,
    /// Logins of the worker's owner, which are used for the images of all jobs.
    logins: Logins,
}

impl Settings {
    pub(crate) fn of(config: &ImageConfig, is_untrusted: bool, tasks: TaskTracker) -> Result<Self, Error> {
        let own = Logins::of(config.docker_config.as_deref());
        let read = |text: &str| Registry::read(text, own.clone());
        let is_for_jobs = !is_untrusted && config.docker_login == DockerLogin::Jobs;
        Ok(Self {
            is_on: !config.no_build,
            registry: config.build_registry.as_deref().map(read).transpose()?,
            logins: if is_for_jobs { own.clone() } else { Logins::none() },
            git: config.git.clone(),
            pull_timeout: config.pull_timeout.map(|timeout| timeout.0),
            retry_for: config.retry_for.map_or(RETRY_FOR, |time| time.0),
            tasks,
        })
    }
}

impl Registry {
    /// Reads `HOST/PREFIX`, with the login of `docker login`.
    fn read(text: &str, logins: Logins) -> Result<Self, Error> {
        let sentence = "--build-registry is not a registry with a path; write it as registry.example/team/builds";
        let refuse = || Error::Config(sentence.to_owned());
        let image: ImageReference = text.trim_end_matches('/').parse().map_err(|_| refuse())?;
        let has_version = image.version != Version::Tag("latest".to_owned()) || text.ends_with(":latest");
        let host =
            image.name.split_once('/').map(|(host, _)| host).filter(|host| host.contains(['.', ':']) || *host == "localhost");
        match host {
            Some(host) if !has_version => Ok(Self { name: image.name.clone(), host: host.to_owned(), logins }),
            _ => Err(refuse()),
        }
    }

    /// The name of a key's image in the registry.
    pub(super) fn image(&self, key: &str) -> ImageReference {
        ImageReference { name: self.name.clone(), version: Version::Tag(key.to_owned()) }
    }

    /// The login for the registry. If it cannot be read, the worker logs that.
    pub(super) async fn login(&self) -> Option<Login> {
        let found = self.logins.of_registry(Some(&self.host)).await;
        found
            .inspect_err(|error| tracing::warn!(%error, registry = self.host, "cannot read the login for the registry of --build-registry"))
            .ok()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host_and_a_path() {
        for (text, image) in [
            ("registry.example/team/builds", "registry.example/team/builds:k"),
            ("127.0.0.1:5000/a/", "127.0.0.1:5000/a:k"),
            ("localhost/a", "localhost/a:k"),
        ] {
            assert_eq!(Registry::read(text, Logins::none()).unwrap().image("k").to_string(), image);
        }
        for text in ["", "alpine", "team/builds", "registry.example", "registry.example/a:tag", "https://registry.example/a"] {
            assert!(Registry::read(text, Logins::none()).is_err(), "{text}");
        }
    }
}
