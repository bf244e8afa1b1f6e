//! Names of secrets, which must be valid names of environment variables.

use crate::error_code::{Coded, ErrorCode};
use crate::limits::SECRET_NAME_CHARS_MAX;

/// A text that is not a valid name of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret {0:?} is not a valid name; use up to 64 letters, digits and underscores, and do not begin with a digit")]
pub struct InvalidSecretName(String);

impl Coded for InvalidSecretName {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidSecret
    }
}

/// Checks the name by which a job asks for a secret.
pub fn check_secret_name(name: &str) -> Result<(), InvalidSecretName> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_word);
    if is_name && name.len() <= SECRET_NAME_CHARS_MAX {
        return Ok(());
    }
    Err(InvalidSecretName(name.chars().take(40).collect()))
}
