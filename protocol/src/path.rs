//! Names of files in a job: paths of plain segments.

use crate::error_code::{Coded, ErrorCode};
use crate::limits::{PATH_BYTES_MAX, PATH_SEGMENT_BYTES_MAX};

/// Why a text is not the path of an input, a config file or an output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It is empty.
    #[error("a file name is empty")]
    Empty,
    /// It starts with `/`, but must be relative.
    #[error("file name {0:?} is absolute; give a relative path such as a/b.txt")]
    Absolute(String),
    /// It has a segment that is empty, `.` or `..`, or contains a backslash or a control character.
    #[error(
        "file name {0:?} is not usable: a part of it is empty, . or .., or contains a backslash or a control character; use a path such as a/b.txt"
    )]
    Escapes(String),
    /// It is longer than a file system allows.
    #[error("file name {0:?}… is too long")]
    TooLong(String),
}

impl Coded for InvalidPath {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidPath
    }
}

fn check_segments(path: &str, whole: &str) -> Result<(), InvalidPath> {
    if path.is_empty() {
        return Err(InvalidPath::Empty);
    }
    let long = path.len() > PATH_BYTES_MAX || path.split('/').any(|s| s.len() > PATH_SEGMENT_BYTES_MAX);
    if long {
        return Err(InvalidPath::TooLong(whole.chars().take(40).collect()));
    }
    let bad = |segment: &str| matches!(segment, "" | "." | "..");
    if path.split('/').any(bad) || path.chars().any(|c| c.is_control() || c == '\\') {
        return Err(InvalidPath::Escapes(whole.to_owned()));
    }
    Ok(())
}

/// Checks the name of an input or output: a relative path of plain segments, such as `data/a.csv`.
pub fn check_input_path(path: &str) -> Result<(), InvalidPath> {
    if path.starts_with('/') {
        return Err(InvalidPath::Absolute(path.to_owned()));
    }
    check_segments(path, path)
}

/// Checks the name of a config file: relative (below `/inputs`) or absolute in the container, of plain segments.
pub fn check_config_path(path: &str) -> Result<(), InvalidPath> {
    check_segments(path.strip_prefix('/').unwrap_or(path), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_their_folder_are_refused() {
        for bad in ["../x", "a/../x", "a//b", ".", "a/.", "", "a\\b", "a\nb", "a/"] {
            assert!(check_input_path(bad).is_err(), "{bad:?}");
            assert!(check_config_path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_input_path("/etc/x"), Err(InvalidPath::Absolute("/etc/x".into())));
        assert!(check_config_path("/etc/x").is_ok());
        assert!(check_config_path("/etc/../x").is_err());
        assert!(check_input_path("a/b c/ü.txt").is_ok());
        assert!(check_input_path("..a").is_ok());
    }
}
