//! What a worker's owner says of builds.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::error::Error;
use crate::executor::Login;
use crate::image::{ImageReference, Version};

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
    /// Builds that are ending: the worker waits for them.
    pub(super) tasks: TaskTracker,
}

/// A repository of a registry for built images.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    /// Registry and path.
    name: String,
    pub(super) login: Option<Login>,
}

impl Settings {
    pub(crate) fn of(config: &Config, tasks: TaskTracker) -> Result<Self, Error> {
        Ok(Self {
            is_on: !config.no_build,
            registry: config.build_registry.as_deref().map(Registry::read).transpose()?,
            git: config.git.clone(),
            pull_patience: config.pull_patience.map(|patience| patience.0),
            tasks,
        })
    }
}

impl Registry {
    /// Reads `HOST/PREFIX`, with the login that `docker login` has left for it.
    fn read(text: &str) -> Result<Self, Error> {
        let sentence = "--build-registry is no place for images; write it as registry.example/team/builds";
        let refuse = || Error::Config(sentence.to_owned());
        let image: ImageReference = text.trim_end_matches('/').parse().map_err(|_| refuse())?;
        let has_version = image.version != Version::Tag("latest".to_owned()) || text.ends_with(":latest");
        let host =
            image.name.split_once('/').map(|(host, _)| host).filter(|host| host.contains(['.', ':']) || *host == "localhost");
        match host {
            Some(host) if !has_version => Ok(Self { login: login_for(host), name: image.name.clone() }),
            _ => Err(refuse()),
        }
    }

    /// Name there of the image that is made by a key.
    pub(super) fn image(&self, key: &str) -> ImageReference {
        ImageReference { name: self.name.clone(), version: Version::Tag(key.to_owned()) }
    }
}

/// From the file of Docker's own command line.
fn login_for(host: &str) -> Option<Login> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = named("DOCKER_CONFIG").or_else(|| named("HOME").map(|home| home.join(".docker")))?;
    login_in(&folder.join("config.json"), host)
}

fn login_in(file: &Path, host: &str) -> Option<Login> {
    let json: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let decoded = STANDARD.decode(json["auths"][host]["auth"].as_str()?).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Login { registry: host.to_owned(), user: user.to_owned(), password: password.to_owned() })
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
            assert_eq!(Registry::read(text).unwrap().image("k").to_string(), image);
        }
        for text in ["", "alpine", "team/builds", "registry.example", "registry.example/a:tag", "https://registry.example/a"] {
            assert!(Registry::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_login_is_read_as_docker_keeps_it_and_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let auth = STANDARD.encode("me:s3cret:x");
        std::fs::write(&file, format!(r#"{{"auths":{{"registry.example":{{"auth":"{auth}"}}}}}}"#)).unwrap();
        let login = login_in(&file, "registry.example").unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("me", "s3cret:x"));
        assert!(!format!("{login:?}").contains("s3cret"));
        assert!(login_in(&file, "other.example").is_none());
    }
}
