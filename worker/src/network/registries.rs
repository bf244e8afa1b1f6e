//! Registries that a stranger's job may use. The engine pulls through this machine's own network, so it could reach private registries.
//!
//! A registry's host is checked like every URL of strangers. If it is a name, all addresses to which it resolves on this machine are
//! checked. There is a limit to this check: the engine resolves the name again and follows redirects of a public registry. If jobs must not
//! reach a private network in this way either, put a firewall or a proxy around the engine.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use protocol::address::Owner;
use protocol::{ImageReference, is_registry};

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// The lookup of a name needs a port. Which one does not matter.
const PORT: u16 = 443;

/// Host and maybe port of a registry, in the form of image references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryHost(String);

/// A text that is not a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a registry; write it as in image names: registry.example or 10.0.0.5:5000")]
pub struct InvalidRegistryHost(String);

impl FromStr for RegistryHost {
    type Err = InvalidRegistryHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_valid = is_registry(text) && (text.contains(['.', ':']) || text == "localhost");
        if is_valid { Ok(Self(text.to_owned())) } else { Err(InvalidRegistryHost(text.chars().take(40).collect())) }
    }
}

/// Why the worker pulls nothing from a registry. The sentences are for the job's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ForbiddenRegistry {
    /// The registry's address is not public.
    #[error(
        "this worker serves strangers and pulls nothing from {0}, whose address is not public; its owner may permit that with \
         --allow-registry {0}"
    )]
    Private(String),
    /// The registry's name has no address.
    #[error("the registry {0} cannot be found; check the image's name")]
    Unknown(String),
}

/// Checks the registry of an image. The engine's default registry is always allowed, because the owner chose it.
pub(crate) async fn check(image: &ImageReference, allowed: &[RegistryHost]) -> Result<(), ForbiddenRegistry> {
    let Some(registry) = image.registry() else { return Ok(()) };
    if allowed.iter().any(|host| host.0 == registry) {
        return Ok(());
    }
    let host = registry.split_once(':').map_or(registry, |(host, _)| host);
    let addresses = addresses_of(host).await.ok_or_else(|| ForbiddenRegistry::Unknown(registry.to_owned()))?;
    let is_public = addresses.iter().all(|address| Owner::of(*address) == Owner::Public);
    if is_public { Ok(()) } else { Err(ForbiddenRegistry::Private(registry.to_owned())) }
}

/// All addresses of a host. None when there are none.
async fn addresses_of(host: &str) -> Option<Vec<IpAddr>> {
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, PORT))).await.ok()?.ok()?;
    let addresses: Vec<_> = found.map(|address| address.ip()).collect();
    (!addresses.is_empty()).then_some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn judge(image: &str, allowed: &[&str]) -> Result<(), ForbiddenRegistry> {
        let allowed: Vec<_> = allowed.iter().map(|host| host.parse().unwrap()).collect();
        check(&image.parse().unwrap(), &allowed).await
    }

    #[tokio::test]
    async fn registries_of_this_machine_and_its_networks_are_refused_unless_the_owner_named_them() {
        for host in
            ["localhost", "localhost:5000", "127.0.0.1", "127.1:80", "10.0.0.5:5000", "192.168.1.1", "169.254.169.254", "0.0.0.0"]
        {
            let image = format!("{host}/a/b:v1");
            assert_eq!(judge(&image, &["10.0.0.5"]).await, Err(ForbiddenRegistry::Private(host.to_owned())));
        }
        assert_eq!(judge("10.0.0.5:5000/a", &["localhost", "10.0.0.5:5000"]).await, Ok(()));
        for image in ["alpine", "library/alpine:3.20", "localhost", "8.8.8.8/a"] {
            assert_eq!(judge(image, &[]).await, Ok(()), "{image}");
        }
        assert_eq!(judge("no.such.invalid/a", &[]).await, Err(ForbiddenRegistry::Unknown("no.such.invalid".to_owned())));
    }

    #[test]
    fn a_registry_is_written_as_in_the_names_of_images() {
        for text in ["localhost", "localhost:5000", "10.0.0.5", "registry.example:1"] {
            assert!(text.parse::<RegistryHost>().is_ok(), "{text}");
        }
        for text in ["", "registry", "a.b/c", "http://a.b", "a.b:", "a b.c"] {
            assert!(text.parse::<RegistryHost>().is_err(), "{text}");
        }
    }
}
