//! The Docker engine's image store: images and build cache on its disk.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as Bollard;
use bollard::query_parameters::{CreateImageOptionsBuilder, PruneBuildOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};

use super::Docker;
use crate::disk::ImageStore;
use crate::engine::Fault;
use crate::engine::images::{ImageReference, Version};

/// Label with the SHA-256 of the root file system that an image was made of.
const LABEL_ROOTFS: &str = "asman.rootfs";

impl ImageStore for Docker {
    fn folder(&self) -> BoxFuture<'_, Option<PathBuf>> {
        async {
            // When the engine is on another machine, a local folder of this name is not the engine's.
            if !is_local() {
                return None;
            }
            self.client.info().await.ok()?.docker_root_dir.map(PathBuf::from)
        }
        .boxed()
    }

    fn in_use(&self) -> BoxFuture<'_, Result<HashSet<String>, String>> {
        async {
            let containers = self.list_containers(None).await.map_err(|fault| fault.to_string())?;
            Ok(containers.into_iter().map(|container| container.image_id).collect())
        }
        .boxed()
    }

    fn id_of<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, String>> {
        async {
            if !is_plain(name) {
                return Ok(None);
            }
            match self.client.inspect_image(name).await {
                Ok(found) => Ok(found.id),
                Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                Err(error) => Err(words_of(error)),
            }
        }
        .boxed()
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, String>> {
        async { self.remove_image(name).await.map_err(|fault| fault.to_string()) }.boxed()
    }

    fn prune_builds(&self, unused: Duration) -> BoxFuture<'_, Result<u64, String>> {
        async move {
            let filters = HashMap::from([("until".to_owned(), vec![format!("{}h", unused.as_secs() / 3600)])]);
            let options = PruneBuildOptionsBuilder::new().filters(&filters).build();
            let freed = self.client.prune_build(Some(options)).await.map_err(words_of)?.space_reclaimed;
            Ok(freed.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
        }
        .boxed()
    }
}

impl Docker {
    /// Removes a name of an image. If it was the last name, the engine also removes the image and the layers that only this image uses.
    /// Returns false when the engine refuses because a container uses the image.
    pub(super) async fn remove_image(&self, name: &str) -> Result<bool, Fault> {
        let options = RemoveImageOptionsBuilder::new().force(false).noprune(false).build();
        match self.client.remove_image(name, Some(options), None).await {
            Ok(_) | Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(true),
            Err(Bollard::DockerResponseServerError { status_code: 409, .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an image from the tar of a root file system. Does nothing if the image of that name was made from the same tar, because
    /// otherwise the old image would stay without a name.
    pub(crate) async fn import(&self, image: &ImageReference, rootfs_tar: Vec<u8>) -> Result<(), Fault> {
        let Version::Tag(tag) = &image.version else {
            return Err(Fault::Refused { status: 400, message: "give the imported image a tag, not a digest".to_owned() });
        };
        let sha256 = protocol::sha256_hex(&rootfs_tar);
        if self.rootfs_of(image).await?.as_deref() == Some(&sha256) {
            return Ok(());
        }
        let label = format!("LABEL {LABEL_ROOTFS}={sha256}");
        // Podman reads the tag only from `repo`, so the tag is in both.
        let options =
            CreateImageOptionsBuilder::new().from_src("-").repo(&image.to_string()).tag(tag).changes(vec![label]).build();
        let body = bollard::body_full(rootfs_tar.into());
        self.client.create_image(Some(options), Some(body), None).try_for_each(|_| async { Ok(()) }).await?;
        Ok(())
    }

    /// SHA-256 of the tar that an image was imported from. None when there is no such image or it was not imported.
    async fn rootfs_of(&self, image: &ImageReference) -> Result<Option<String>, Fault> {
        match self.client.inspect_image(&image.to_string()).await {
            Ok(found) => Ok(found.config.and_then(|config| config.labels).and_then(|mut labels| labels.remove(LABEL_ROOTFS))),
            Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn words_of(error: Bollard) -> String {
    Fault::from(error).to_string()
}

/// Whether the worker reaches the engine through a socket of this machine.
fn is_local() -> bool {
    std::env::var("DOCKER_HOST").map_or(true, |host| host.is_empty() || host.starts_with("unix://"))
}

/// Whether a name is safe in a URL path: the client does not escape names, and somebody may have edited the record of images.
fn is_plain(name: &str) -> bool {
    let is_id = name.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    is_id || name.parse::<ImageReference>().is_ok_and(|image| image.to_string() == name)
}
