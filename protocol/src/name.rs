//! Names from outside. They are checked once, here.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error_code::{Coded, ErrorCode};
use crate::limits::NAME_CHARS_MAX;

/// First 128 bits of the SHA-256 of a queue's name. The database and notifications use it in place of the name.
pub type Qid = Uuid;

/// Why a text is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// It has more than [`NAME_CHARS_MAX`] characters.
    #[error("{0} is longer than {NAME_CHARS_MAX} characters")]
    TooLong(&'static str),
    /// It is `.` or `..`, which parsers of URLs drop.
    #[error("{0} is {DOTS}, which a URL cannot contain; choose another")]
    Dots(&'static str),
    /// It has a character that a URL segment or a log line cannot contain.
    #[error("{0} contains a slash, a backslash or a control character; choose another")]
    Character(&'static str),
}

impl Coded for InvalidName {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidName
    }
}

const DOTS: &str = "one or two dots";

/// Whether parsers of URLs treat the text as `.` or `..`, and drop it. Percent-encoded dots count too.
fn is_dots(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

fn check(what: &'static str, text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty(what));
    }
    if text.chars().count() > NAME_CHARS_MAX {
        return Err(InvalidName::TooLong(what));
    }
    if text.chars().any(|c| c.is_control() || c == '/') {
        return Err(InvalidName::Character(what));
    }
    Ok(())
}

fn no_dots(what: &'static str, text: &str) -> Result<(), InvalidName> {
    if is_dots(text) { Err(InvalidName::Dots(what)) } else { Ok(()) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $extra:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "string"))]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                check($what, &text)?;
                $extra(&text)?;
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

macro_rules! readable {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A queue's name: a bearer secret. It has no `Display`, and `Debug` hides it.
    QueueName,
    "the queue name",
    |text| no_dots("the queue name", text)
);
name!(
    /// Id of a job in its queue: 64 hex digits if the server made it, else a text that the client chose.
    JobId,
    "the job id",
    // Rows of earlier releases may have other ids. [`JobId::check_new`] checks a new one.
    |_| Ok(())
);
name!(
    /// Id of a worker in its queue.
    WorkerId,
    "the worker id",
    |_| Ok(())
);
name!(
    /// A label that keeps a job alive. `_` is the shared default. In a cancel, `*` means all namespaces.
    Namespace,
    "the namespace",
    |text| no_dots("the namespace", text)
);
readable!(JobId);
readable!(WorkerId);
readable!(Namespace);

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueName(..)")
    }
}

impl QueueName {
    /// The key of this queue in the database. `asman.qid(name)` in SQL is the same.
    pub fn qid(&self) -> Qid {
        let digest = Sha256::digest(self.0.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Uuid::from_bytes(first)
    }
}

impl JobId {
    /// Checks the id of a new job: it must be a URL segment that every proxy leaves unchanged.
    pub fn check_new(&self) -> Result<(), InvalidName> {
        no_dots("the job id", &self.0)?;
        if self.0.contains('\\') { Err(InvalidName::Character("the job id")) } else { Ok(()) }
    }
}

impl Namespace {
    /// The default, which any number of jobs may share.
    pub const SHARED: &str = "_";
    /// Every namespace, in a cancel.
    pub const ALL: &str = "*";

    /// The shared default, `_`.
    pub fn shared() -> Self {
        Self(Self::SHARED.to_owned())
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::shared()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_name_never_prints() {
        let queue: QueueName = "secret-queue".parse().unwrap();
        assert!(!format!("{queue:?}").contains("secret"));
    }

    #[test]
    fn names_that_urls_drop_are_refused() {
        for dots in [".", "..", "%2e", "%2E%2e", ".%2e"] {
            assert_eq!(dots.parse::<QueueName>(), Err(InvalidName::Dots("the queue name")));
            assert_eq!(dots.parse::<Namespace>(), Err(InvalidName::Dots("the namespace")));
            let id: JobId = dots.parse().unwrap();
            assert_eq!(id.check_new(), Err(InvalidName::Dots("the job id")));
        }
        assert_eq!("a\\b".parse::<JobId>().unwrap().check_new(), Err(InvalidName::Character("the job id")));
        for good in ["...", "a.", ".a", "%2e%2e%2e", "a..b"] {
            assert!(good.parse::<QueueName>().is_ok() && good.parse::<JobId>().unwrap().check_new().is_ok(), "{good}");
        }
    }

    #[test]
    fn names_with_slashes_control_characters_or_nothing_in_them_are_refused() {
        assert_eq!("".parse::<JobId>(), Err(InvalidName::Empty("the job id")));
        assert_eq!("a/b".parse::<JobId>(), Err(InvalidName::Character("the job id")));
        assert_eq!("a\0b".parse::<JobId>(), Err(InvalidName::Character("the job id")));
        assert_eq!("x".repeat(256).parse::<JobId>(), Err(InvalidName::TooLong("the job id")));
        assert!("é".repeat(255).parse::<JobId>().is_ok());
    }
}
