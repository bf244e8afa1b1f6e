//! Images in the engine: present, pulled, tagged, pushed, removed.
//!
//! What to know before you change this file:
//! - A pull without a tag pulls every tag. Errors of a pull, push or build come inside its stream.
//! - A stream may end with an error that means nothing; see [`to_end`].
//! - The worker removes only layers that a failed build has made. An image that has a tag, or existed before the build, stays.

use std::collections::{HashMap, HashSet};

use bollard::auth::DockerCredentials;
use bollard::errors::Error as Bollard;
use bollard::models::{CreateImageInfo, ImageSummary};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder, PushImageOptions, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::{Docker, Fault};
use crate::engine::images::{ImageReference, Version};
use crate::engine::{Login, PullProgress};
use crate::error::innermost;

/// Most platforms of an image that a sentence names.
const PLATFORMS_SHOWN: usize = 16;

impl Docker {
    /// Id of an image, if it is present.
    pub(crate) async fn image_id(&self, image: &ImageReference) -> Result<Option<String>, Fault> {
        match self.client.inspect_image(&image.to_string()).await {
            Ok(found) => Ok(Some(found.id.unwrap_or_else(|| image.to_string()))),
            Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Pulls an image, with a login if there is one. The image is present when the stream ends without an error.
    pub(crate) fn pull_as(
        &self,
        image: &ImageReference,
        login: Option<&Login>,
    ) -> impl Stream<Item = Result<PullProgress, Fault>> + use<> {
        let options = CreateImageOptionsBuilder::new().from_image(&image.name).tag(image.version.as_str()).build();
        let progress = self.client.create_image(Some(options), None, login.map(credentials));
        let word =
            |info: CreateImageInfo| PullProgress { layer: info.id.unwrap_or_default(), status: info.status.unwrap_or_default() };
        let dialect = self.dialect.clone();
        to_end(progress).map_ok(word).map_err(move |error| dialect.pull_fault(error.into()))
    }

    /// The platforms that a registry has an image for, such as `linux/arm64`.
    pub(crate) async fn registry_platforms(&self, image: &ImageReference, login: Option<&Login>) -> Result<Vec<String>, Fault> {
        let found = self.client.inspect_registry_image(&image.to_string(), login.map(credentials)).await?;
        let name = |platform: bollard::models::OciPlatform| super::program::platform(platform.os, platform.architecture);
        let mut platforms: Vec<String> = found.platforms.into_iter().map(name).collect();
        platforms.retain(|platform| !platform.is_empty() && !platform.contains("unknown"));
        platforms.sort();
        platforms.dedup();
        platforms.truncate(PLATFORMS_SHOWN);
        Ok(platforms)
    }

    /// Gives an image another name.
    pub(crate) async fn tag(&self, image: &ImageReference, name: &ImageReference) -> Result<(), Fault> {
        let options = TagImageOptionsBuilder::new().repo(&name.name).tag(tag_of(name)?).build();
        Ok(self.client.tag_image(&image.to_string(), Some(options)).await?)
    }

    /// Removes a name of an image. If it was the last name, the engine also removes the image.
    pub(crate) async fn untag(&self, name: &ImageReference) -> Result<(), Fault> {
        self.remove_image_named(&name.to_string()).await
    }

    /// Pushes an image to its registry. The push has succeeded when the stream ends without an error.
    pub(crate) fn push(
        &self,
        image: &ImageReference,
        login: Option<&Login>,
    ) -> Result<impl Stream<Item = Result<String, Fault>> + use<>, Fault> {
        let options = PushImageOptions { tag: Some(tag_of(image)?.to_owned()), ..PushImageOptions::default() };
        let client = self.client.clone();
        let words = client.push_image(&image.name, Some(options), login.map(credentials)).boxed();
        Ok(to_end(words).map_ok(|info| info.status.unwrap_or_default()).map_err(Fault::from))
    }

    /// Ids of all images and layers without a name.
    pub(crate) async fn nameless_images(&self) -> Result<HashSet<String>, Fault> {
        Ok(self.nameless().await?.into_iter().map(|image| image.id).collect())
    }

    async fn nameless(&self) -> Result<Vec<ImageSummary>, Fault> {
        let filters = HashMap::from([("dangling".to_owned(), vec!["true".to_owned()])]);
        let options = ListImagesOptionsBuilder::new().all(true).filters(&filters).build();
        Ok(self.client.list_images(Some(options)).await?)
    }

    /// Bytes that a layer adds to the layer below it. 0 when the layer does not exist.
    pub(crate) async fn layer_bytes(&self, id: &str) -> u64 {
        let history = self.client.image_history(id).await.unwrap_or_default();
        history.first().and_then(|own| u64::try_from(own.size).ok()).unwrap_or(0)
    }

    /// Removes the layers that a build left, newest first. Returns how many are still in use.
    pub(crate) async fn remove_layers(&self, layers: &[String], before: &HashSet<String>) -> usize {
        let mut n_in_use = 0;
        for id in self.own_layers(layers, before).await.iter().rev() {
            match self.remove_image_named(id).await {
                Err(Fault::Refused { status: 409, .. }) => n_in_use += 1,
                Err(fault) => tracing::warn!(%fault, image = %id, "cannot remove a layer of a failed build"),
                Ok(()) => (),
            }
        }
        n_in_use
    }

    /// Full ids of the layers that a build reported, and then of the layers made from them, because the engine may have made a layer that a
    /// stopped build did not report. Layers that existed `before` or have a name are left out, because the ids come from the engine's
    /// messages, which a build can forge.
    async fn own_layers(&self, layers: &[String], before: &HashSet<String>) -> Vec<String> {
        let mut own = Vec::new();
        // The client does not escape names in URLs.
        for id in layers.iter().filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit())) {
            let Ok(found) = self.client.inspect_image(id).await else { continue };
            let is_named = found.repo_tags.iter().flatten().next().is_some();
            own.extend(found.id.filter(|id| !is_named && !before.contains(id)));
        }
        let mut others = self.nameless().await.unwrap_or_default();
        others.retain(|image| !before.contains(&image.id) && !own.contains(&image.id));
        while let Some(next) = others.iter().position(|image| own.contains(&image.parent_id)) {
            own.push(others.swap_remove(next).id);
        }
        own
    }

    async fn remove_image_named(&self, name: &str) -> Result<(), Fault> {
        let options = RemoveImageOptionsBuilder::new().force(false).noprune(true).build();
        match self.client.remove_image(name, Some(options), None).await {
            Ok(_) | Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Ends a stream at the client's error for a line end that arrives apart from its line. Nothing follows that line end, so it is the
/// end of the stream, and callers check whether the image is present.
pub(super) fn to_end<T>(words: impl Stream<Item = Result<T, Bollard>>) -> impl Stream<Item = Result<T, Bollard>> {
    words.take_while(|word| {
        let is_line_end = word.as_ref().is_err_and(|error| innermost(error) == "bytes remaining on stream");
        std::future::ready(!is_line_end)
    })
}

pub(super) fn credentials(login: &Login) -> DockerCredentials {
    if login.is_token {
        return DockerCredentials {
            identitytoken: Some(login.password.clone()),
            serveraddress: Some(login.registry.clone()),
            ..DockerCredentials::default()
        };
    }
    DockerCredentials {
        username: Some(login.user.clone()),
        password: Some(login.password.clone()),
        serveraddress: Some(login.registry.clone()),
        ..DockerCredentials::default()
    }
}

fn tag_of(image: &ImageReference) -> Result<&str, Fault> {
    match &image.version {
        Version::Tag(tag) => Ok(tag),
        Version::Digest(_) => Err(Fault::Refused { status: 400, message: "an image can be given a tag only".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[tokio::test]
    async fn the_error_of_a_separate_line_end_ends_a_stream_and_other_errors_do_not() {
        let io = |text: &str| Bollard::IOError { err: io::Error::other(text.to_owned()) };
        let words = |error| futures_util::stream::iter([Ok(1), Err(error)]);
        assert_eq!(to_end(words(io("bytes remaining on stream"))).count().await, 1);
        assert_eq!(to_end(words(io("broken pipe"))).count().await, 2);
    }
}
