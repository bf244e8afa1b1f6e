//! The program of a container, and the first bytes of files in it. The container need not run.

use std::io::Read;

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::StreamExt;

use super::Docker;
use crate::engine::Fault;

/// Bytes read of a file's archive: the headers and the first bytes of the file.
const ARCHIVE_BYTES_MAX: usize = 16 * 1024;
/// Bytes kept of a file: more than a kernel reads of a `#!` line.
const HEAD_BYTES: u64 = 512;
const LINKS_MAX: usize = 16;

/// The program that a container should run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// Id of its image.
    pub(crate) image: String,
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
    pub(crate) workdir: String,
    /// `NAME=value` each.
    pub(crate) env: Vec<String>,
}

/// The first bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) is_file: bool,
    /// At least one user may execute the file.
    pub(crate) is_executable: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Docker {
    /// The program that a container should run.
    pub(crate) async fn program(&self, id: &str) -> Result<Program, Fault> {
        let found = self.inspect(id).await?;
        let config = found.config.unwrap_or_default();
        let words = found.path.into_iter().chain(found.args.unwrap_or_default());
        Ok(Program {
            image: found.image.unwrap_or_default(),
            words: self.dialect.behind_init(words.filter(|word| !word.is_empty()).collect()),
            workdir: config.working_dir.filter(|folder| !folder.is_empty()).unwrap_or_else(|| "/".to_owned()),
            env: config.env.unwrap_or_default(),
        })
    }

    /// Platform of an image, such as `linux/arm64`. Empty when the image does not name one.
    pub(crate) async fn image_platform(&self, image: &str) -> Result<String, Fault> {
        let found = self.client.inspect_image(image).await?;
        Ok(platform(found.os, found.architecture))
    }

    /// The first bytes of a file in a container. Follows links. None when there is no such file.
    pub(crate) async fn head(&self, id: &str, path: &str) -> Result<Option<Head>, Fault> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            let Some(archive) = self.archive(id, &path).await? else { return Ok(None) };
            match first_entry(&archive) {
                Some(FileOrLink::Link(target)) => path = joined(&path, &target),
                Some(FileOrLink::Other(head)) => return Ok(Some(head)),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn archive(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let mut pieces = std::pin::pin!(self.client.download_from_container(id, Some(options)));
        let mut archive = Vec::new();
        while let Some(piece) = pieces.next().await {
            match piece.map_err(Fault::from) {
                Ok(piece) => archive.extend_from_slice(&piece),
                Err(Fault::Refused { status: 404, .. }) => return Ok(None),
                Err(fault) => return Err(fault),
            }
            if archive.len() >= ARCHIVE_BYTES_MAX {
                break;
            }
        }
        Ok(Some(archive))
    }
}

enum FileOrLink {
    Link(String),
    Other(Head),
}

fn first_entry(archive: &[u8]) -> Option<FileOrLink> {
    let mut archive = tar::Archive::new(archive);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let kind = entry.header().entry_type();
    if kind.is_symlink() {
        let target = entry.link_name().ok()??.to_string_lossy().into_owned();
        return Some(FileOrLink::Link(target));
    }
    let is_executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
    let mut bytes = Vec::new();
    // The archive may end here, because only its first bytes were read.
    let _ = entry.by_ref().take(HEAD_BYTES).read_to_end(&mut bytes);
    Some(FileOrLink::Other(Head { is_file: kind.is_file(), is_executable, bytes }))
}

/// Where a link at `path` leads.
fn joined(path: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{target}")
}

/// A platform in the spelling of image indexes. The engine uses the names of its machine's kernel.
pub(super) fn platform(os: Option<String>, architecture: Option<String>) -> String {
    let Some(architecture) = architecture.filter(|text| !text.is_empty()) else { return String::new() };
    let architecture = match architecture.as_str() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        "i386" | "i686" => "386",
        other => other,
    };
    format!("{}/{architecture}", os.filter(|text| !text.is_empty()).unwrap_or_else(|| "linux".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_platforms_are_read_as_the_machine_reads_them() {
        assert_eq!(joined("/bin/sh", "busybox"), "/bin/busybox");
        assert_eq!(joined("/bin/sh", "/usr/bin/dash"), "/usr/bin/dash");
        assert_eq!(platform(Some("linux".to_owned()), Some("x86_64".to_owned())), "linux/amd64");
        assert_eq!(platform(None, Some("arm64".to_owned())), "linux/arm64");
        assert_eq!(platform(Some("linux".to_owned()), None), "");
    }
}
