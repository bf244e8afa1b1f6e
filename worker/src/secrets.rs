//! Secrets of the owner that jobs may ask for by name.
//!
//! The worker reads a value again for each job that asks for it, so the next job gets the new value of a rotated file. It stores values
//! nowhere. No definition, label, message or log line of the worker contains a value. The `Debug` of these types shows only where values
//! come from.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// A value, or a line of it, is removed from logs only if it has at least this many bytes.
pub(crate) const HIDDEN_BYTES_MIN: usize = 6;
/// Most bytes of one value: the kernel accepts no environment variable above 128 KiB.
const VALUE_BYTES_MAX: u64 = 64 * 1024;
/// Prefixes of names that have another meaning in a job: the job's own variables, and variables that hooks and loaders read.
const RESERVED: [&str; 3] = ["JOB_", "LD_", "NVIDIA_"];

/// The name of a secret, and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSource {
    /// Name by which jobs ask for the secret.
    pub(crate) name: String,
    place: SecretOrigin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SecretOrigin {
    File(PathBuf),
    Variable(String),
}

/// Why a text is not a secret of a worker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// There is no `=`, or nothing after it.
    #[error("the secret has no source; write it as NAME=FILE or NAME=env:VARIABLE")]
    Form,
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] protocol::InvalidSecretName),
    /// The name is reserved.
    #[error("the secret's name must not begin with JOB_, LD_ or NVIDIA_")]
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
            Some(variable) => SecretOrigin::Variable(variable.to_owned()),
            None => SecretOrigin::File(PathBuf::from(place)),
        };
        Ok(Self { name: name.to_owned(), place })
    }
}

impl SecretSource {
    /// Reads the current value.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        match &self.place {
            SecretOrigin::File(path) => read_file(path),
            SecretOrigin::Variable(name) => std::env::var_os(name)
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
        return refuse("it is not a file".to_owned());
    }
    if about.mode() & 0o004 != 0 {
        return refuse(format!("every user of this machine can read it; run `chmod o-r {}`", path.display()));
    }
    let mut value = Vec::new();
    file.take(VALUE_BYTES_MAX + 1).read_to_end(&mut value)?;
    if value.len() as u64 > VALUE_BYTES_MAX {
        return refuse(format!("it is larger than {} KiB", VALUE_BYTES_MAX / 1024));
    }
    Ok(value)
}

/// Checks at the start that every value can be read, and warns about values that are too short to be removed from logs.
pub(crate) fn check_sources(sources: &[SecretSource]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for source in sources {
        if !names.insert(&source.name) {
            return Err(Error::Config(format!("--secret {} is given twice", source.name)));
        }
        let value = source.read().map_err(|error| Error::Config(format!("--secret {}: {error}", source.name)))?;
        if value.trim_ascii().len() < HIDDEN_BYTES_MIN {
            tracing::warn!(secret = %source.name, "the secret is shorter than {HIDDEN_BYTES_MIN} bytes, so it is not removed from logs");
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
        assert_eq!("A=env:HOME".parse::<SecretSource>().unwrap().place, SecretOrigin::Variable("HOME".to_owned()));
        assert_eq!("_a1=/x=y".parse::<SecretSource>().unwrap().place, SecretOrigin::File("/x=y".into()));
    }

    #[test]
    fn a_file_that_every_user_can_read_is_refused() {
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
