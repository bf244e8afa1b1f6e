//! The file with the origins that the user of this machine has allowed.
//!
//! It is written whole or not at all, and only its owner may read it. Every process that was started with its path reads it, so
//! a change by the command line also applies to a running API. Bound: [`ORIGINS_MAX`].

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Most origins that may be allowed at a time.
pub const ORIGINS_MAX: usize = 100;

/// An origin whose pages may use this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Such as `https://page.example`.
    pub origin: String,
    /// When it was allowed, epoch milliseconds.
    pub since: i64,
}

impl Consent {
    /// The time of the consent, as text for people.
    pub fn since_text(&self) -> String {
        let since = Duration::from_millis(u64::try_from(self.since).unwrap_or(0));
        httpdate::fmt_http_date(UNIX_EPOCH + since)
    }
}

/// Why a consent cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// The file cannot be read or written.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// This API has no file for consents.
    #[error("this API does not store consents; start it with --consent-file, or with --allow-origin and the page's origin")]
    NoFile,
    /// The largest number of origins is reached.
    #[error("{ORIGINS_MAX} origins are allowed already; revoke one with `asman consent revoke`")]
    Full,
}

/// Where consents are stored.
#[derive(Clone, Debug)]
pub struct ConsentFile(PathBuf);

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    origins: Vec<Consent>,
}

/// Identifies one version of the file. None means that there is no file.
pub(super) type Version = Option<(u64, i64, i64, u64)>;

impl ConsentFile {
    /// The file at this path, whether it exists or not.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Every allowed origin, oldest first.
    pub fn list(&self) -> Result<Vec<Consent>, ConsentError> {
        match fs::read(&self.0) {
            Ok(bytes) => {
                let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| self.failed(error.into()))?;
                Ok(kept.origins)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Allows an origin, in the form of [`crate::parse_origin`]. Returns false if it was allowed before.
    pub fn allow(&self, origin: &str) -> Result<bool, ConsentError> {
        let mut origins = self.list()?;
        if origins.iter().any(|consent| consent.origin == origin) {
            return Ok(false);
        }
        if origins.len() >= ORIGINS_MAX {
            return Err(ConsentError::Full);
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        origins.push(Consent { origin: origin.to_owned(), since: i64::try_from(since).unwrap_or(i64::MAX) });
        self.write(origins).map(|()| true)
    }

    /// Revokes an origin. Returns false if it was not allowed.
    pub fn revoke(&self, origin: &str) -> Result<bool, ConsentError> {
        let mut origins = self.list()?;
        let n_before = origins.len();
        origins.retain(|consent| consent.origin != origin);
        if origins.len() == n_before {
            return Ok(false);
        }
        self.write(origins).map(|()| true)
    }

    pub(super) fn version(&self) -> Version {
        let found = fs::metadata(&self.0).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
    }

    fn write(&self, origins: Vec<Consent>) -> Result<(), ConsentError> {
        self.replace(&Kept { origins }).map_err(|error| self.failed(error))
    }

    fn replace(&self, kept: &Kept) -> io::Result<()> {
        if let Some(folder) = self.0.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        }
        let beside = self.0.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(kept)?)?;
        file.sync_all()?;
        fs::rename(beside, &self.0)
    }

    fn failed(&self, cause: io::Error) -> ConsentError {
        ConsentError::File { path: self.0.clone(), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_in_is_there_for_the_next_reader_until_it_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let file = ConsentFile::at(folder.path().join("deep/consent.json"));
        assert!(file.list().unwrap().is_empty() && file.version().is_none());
        assert!(file.allow("https://a.example").unwrap() && !file.allow("https://a.example").unwrap());
        let before = file.version();
        assert!(file.allow("https://b.example").unwrap());
        assert_ne!(file.version(), before);
        let there = ConsentFile::at(file.path()).list().unwrap();
        assert_eq!(
            there.iter().map(|consent| consent.origin.as_str()).collect::<Vec<_>>(),
            ["https://a.example", "https://b.example"]
        );
        assert!(file.revoke("https://a.example").unwrap() && !file.revoke("https://a.example").unwrap());
        assert_eq!(file.list().unwrap().len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_lets_nobody_in_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = ConsentFile::at(folder.path().join("consent.json"));
        fs::write(file.path(), "{ broken").unwrap();
        assert!(file.list().is_err() && file.allow("https://a.example").is_err());
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "{ broken");
    }

    #[test]
    fn there_is_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = ConsentFile::at(folder.path().join("consent.json"));
        for n in 0..ORIGINS_MAX {
            file.allow(&format!("https://{n}.example")).unwrap();
        }
        assert!(matches!(file.allow("https://more.example"), Err(ConsentError::Full)));
    }
}
