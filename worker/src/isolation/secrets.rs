//! Secrets of the owner that jobs may ask for by name.
//!
//! A value is read anew for each job that asks, so a rotated file serves the next job, and it is kept nowhere. Values are in no
//! definition, label, message or log line of ours; `Debug` of what is here shows where they come from.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;
use crate::log::SECRET_BYTES_MIN;

/// Bytes of one value: the kernel takes no environment variable above 128 KiB.
const VALUE_BYTES_MAX: u64 = 64 * 1024;
/// Names that mean something else in a job: where it is, and what reaches hooks and loaders.
const RESERVED: [&str; 3] = ["JOB_", "LD_", "NVIDIA_"];

/// A name, and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSource {
    /// What jobs ask for.
    pub(crate) name: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Variable(String),
}

/// Why a text is no secret of a worker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// No `=`, or nothing behind it.
    #[error("write it as NAME=FILE or NAME=env:VARIABLE")]
    Form,
    /// A name that no job can ask for.
    #[error(transparent)]
    Name(#[from] protocol::InvalidSecretName),
    /// A name with a meaning of its own.
    #[error("the name must not begin with JOB_, LD_ or NVIDIA_")]
    Reserved,
}

impl FromStr for SecretSource {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, place) = text.split_once('=').filter(|(_, place)| !place.is_empty()).ok_or(InvalidSecret::Form)?;
        protocol::check_secret_name(name)?;
        if RESERVED.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(InvalidSecret::Reserved);
        }
        let place = match place.strip_prefix("env:") {
            Some(variable) => Place::Variable(variable.to_owned()),
            None => Place::File(PathBuf::from(place)),
        };
        Ok(Self { name: name.to_owned(), place })
    }
}

impl SecretSource {
    /// The value as it is now.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        match &self.place {
            Place::File(path) => read_file(path),
            Place::Variable(name) => std::env::var_os(name)
                .map(OsString::into_vec)
                .ok_or_else(|| io::Error::other(format!("environment variable {name} is not set"))),
        }
    }
}

fn read_file(path: &PathBuf) -> io::Result<Vec<u8>> {
    let refuse = |why: String| Err(io::Error::other(format!("{}: {why}", path.display())));
    let file = std::fs::File::open(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    let about = file.metadata()?;
    if !about.is_file() {
        return refuse("it is no file".to_owned());
    }
    if about.mode() & 0o004 != 0 {
        return refuse(format!("every user of this machine can read it; `chmod o-r {}` mends that", path.display()));
    }
    let mut value = Vec::new();
    file.take(VALUE_BYTES_MAX + 1).read_to_end(&mut value)?;
    if value.len() as u64 > VALUE_BYTES_MAX {
        return refuse(format!("it is larger than {} KiB", VALUE_BYTES_MAX / 1024));
    }
    Ok(value)
}

/// Sees at start that every value can be read, and says which ones are too short to be kept out of logs.
pub(super) fn check_sources(sources: &[SecretSource]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for source in sources {
        if !names.insert(&source.name) {
            return Err(Error::Config(format!("--secret {} is given twice", source.name)));
        }
        let value = source.read().map_err(|error| Error::Config(format!("--secret {}: {error}", source.name)))?;
        if value.trim_ascii().len() < SECRET_BYTES_MIN {
            tracing::warn!(secret = %source.name, "shorter than {SECRET_BYTES_MIN} bytes: it is not taken out of logs");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_has_a_name_that_an_environment_can_hold_and_a_place() {
        for text in ["", "A", "A=", "=x", "a b=x", "1A=x", "A@q=x", "JOB_ID=x", "LD_PRELOAD=x"] {
            assert!(text.parse::<SecretSource>().is_err(), "{text}");
        }
        assert_eq!("A=env:HOME".parse::<SecretSource>().unwrap().place, Place::Variable("HOME".to_owned()));
        assert_eq!("_a1=/x=y".parse::<SecretSource>().unwrap().place, Place::File("/x=y".into()));
    }

    #[test]
    fn a_file_that_everybody_can_read_is_no_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "value").unwrap();
        let source: SecretSource = format!("A={}", file.path().display()).parse().unwrap();
        assert_eq!(source.read().unwrap(), b"value");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        let error = check_sources(std::slice::from_ref(&source)).unwrap_err().to_string();
        assert!(error.contains(&format!("`chmod o-r {}`", file.path().display())) && !error.contains("value"), "{error}");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let twice = check_sources(&[source.clone(), source.clone()]).unwrap_err();
        assert!(twice.to_string().contains("twice"));
        std::fs::write(&file, vec![b'x'; 70_000]).unwrap();
        assert!(source.read().unwrap_err().to_string().contains("larger than 64 KiB"));
    }
}
