//! The secrets that a job asks for: as variables and as files of a folder.

use std::io;
use std::os::unix::fs::PermissionsExt;

use protocol::{EndCode, Step};

use super::log::Redactor;
use super::{RunError, Task};
use crate::engine::Mount;

/// Folder of a job's secrets in the container.
const SECRETS_FOLDER: &str = "/run/secrets";

/// The secrets of one job.
#[derive(Default)]
pub(super) struct Given {
    /// Names and values.
    pub(super) env: Vec<(String, String)>,
    pub(super) mount: Option<Mount>,
}

impl Task<'_> {
    /// Reads the secrets that the job asks for. From now on they are removed from its log.
    pub(super) async fn secrets(&self) -> Result<Given, RunError> {
        let Some(names) = self.job.parsed.definition.secrets.as_ref().filter(|names| !names.is_empty()) else {
            return Ok(Given::default());
        };
        let sources = &self.host.secrets;
        let mut values = Vec::new();
        for name in names {
            let Some(source) = sources.iter().find(|source| source.name == *name) else {
                let message = format!(
                    "the job asks for the secret {name}, which this worker does not have; the worker's owner can give it with --secret"
                );
                return Err(RunError::failed(EndCode::SecretMissing, Step::Running, message));
            };
            let value = source.read().map_err(|error| RunError::Host(format!("secret {name}: {error}")))?;
            values.push((name.clone(), value));
        }
        self.log.hide(Redactor::new(values.iter().map(|(_, value)| value.as_slice())));
        let folder = self.job.scratch.secrets();
        let written = {
            let (folder, values) = (folder.clone(), values.clone());
            tokio::task::spawn_blocking(move || write_files(&folder, &values))
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        written.map_err(|error| RunError::Host(format!("writing secrets: {error}")))?;
        // A value that a variable cannot contain is only in the secret's file. The variable does not get the newline at the value's end.
        let text = |value: Vec<u8>| String::from_utf8(value).ok().filter(|text| !text.contains('\0'));
        let env = values.into_iter().filter_map(|(name, value)| Some((name, text(value)?)));
        let env = env.map(|(name, value)| {
            (name, value.strip_suffix('\n').map_or(value.as_str(), |v| v.trim_end_matches('\r')).to_owned())
        });
        let mount = Mount { source: folder, target: SECRETS_FOLDER.to_owned(), is_read_only: true };
        Ok(Given { env: env.collect(), mount: Some(mount) })
    }

    /// Removes from the log the secrets that an earlier worker process gave the container.
    pub(super) async fn hide_given_secrets(&self) -> Result<(), RunError> {
        let folder = self.job.scratch.secrets();
        let values =
            tokio::task::spawn_blocking(move || read_files(&folder)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let values = values.map_err(|error| RunError::Host(format!("reading secrets: {error}")))?;
        if !values.is_empty() {
            self.log.hide(Redactor::new(values.iter().map(Vec::as_slice)));
        }
        Ok(())
    }
}

fn read_files(folder: &std::path::Path) -> io::Result<Vec<Vec<u8>>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| std::fs::read(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes files that every user of the container can read. The data directory keeps other users of this machine out.
fn write_files(folder: &std::path::Path, values: &[(String, Vec<u8>)]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    for (name, value) in values {
        let path = folder.join(name);
        std::fs::write(&path, value)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444))?;
    }
    Ok(())
}
