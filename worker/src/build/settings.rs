//! What a worker's owner says of builds.

use std::path::PathBuf;

use tokio_util::task::TaskTracker;

use crate::config::{Config, DockerLogin};
use crate::error::Error;
use crate::executor::Login;
use crate::image::{ImageReference, Logins, Version};

/// Longer than most restarts of a registry.
const RETRY_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// Settings of the builds of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether jobs may build.
    pub(crate) is_on: bool,
    /// Where built images are kept besides this engine.
    pub(super) registry: Option<Registry>,
    /// The `git` program.
    pub(super) git: PathBuf,
    /// Longest silence of a registry, when it is not the default.
    pub(crate) pull_patience: Option<std::time::Duration>,
    /// What jobs' images are pulled with.
    pub(crate) logins: Logins,
    /// How long what the network failed at is tried again.
    pub(crate) retry_for: std::time::Duration,
    /// Builds that are ending: the worker waits for them.
    pub(super) tasks: TaskTracker,
}

/// A repository of a registry for built images.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    /// Registry and path.
    name: String,
    /// Host and port.
    host: String,
    /// The owner's, whoever's images are kept there.
    logins: Logins,
}

impl Settings {
    pub(crate) fn of(config: &Config, tasks: TaskTracker) -> Result<Self, Error> {
        let own = Logins::of(config.docker_config.as_deref());
        let read = |text: &str| Registry::read(text, own.clone());
        let is_for_jobs = !config.isolation.untrusted && config.docker_login == DockerLogin::Jobs;
        Ok(Self {
            is_on: !config.no_build,
            registry: config.build_registry.as_deref().map(read).transpose()?,
            logins: if is_for_jobs { own.clone() } else { Logins::none() },
            git: config.git.clone(),
            pull_patience: config.pull_patience.map(|patience| patience.0),
            retry_for: config.retry_for.map_or(RETRY_FOR, |time| time.0),
            tasks,
        })
    }
}

impl Registry {
    /// Reads `HOST/PREFIX`, with the login that `docker login` has left for it.
    fn read(text: &str, logins: Logins) -> Result<Self, Error> {
        let sentence = "--build-registry is no place for images; write it as registry.example/team/builds";
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

    /// Name there of the image that is made by a key.
    pub(super) fn image(&self, key: &str) -> ImageReference {
        ImageReference { name: self.name.clone(), version: Version::Tag(key.to_owned()) }
    }

    /// Who asks there. A login that cannot be read is said in the worker's log.
    pub(super) async fn login(&self) -> Option<Login> {
        let found = self.logins.of_registry(Some(&self.host)).await;
        found
            .inspect_err(|error| tracing::warn!(%error, registry = self.host, "no login for the registry of builds"))
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
