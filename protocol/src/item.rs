//! Items of the task-queue API: an id that may be nearly any text, and a body that may be any JSON.

use crate::limits::{ITEM_ID_BYTES_MAX, ITEM_ID_CHARS_MAX};
use crate::name::JobId;
use crate::parsed::ParsedDefinition;

/// The stage of an item, in the terms of the task-queue API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Put, not claimed.
    Waiting,
    /// Claimed.
    Processing,
    /// Succeeded.
    Success,
    /// Failed. It may be queued again.
    Fail,
}

impl Stage {
    /// Every stage, in the order of its number.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Processing, Self::Success, Self::Fail];

    /// Its name in paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Processing => "PROCESSING",
            Self::Success => "SUCCESS",
            Self::Fail => "FAIL",
        }
    }

    /// Its number in bodies.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The stage of this exact name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }

    /// The stage of this number.
    pub fn numbered(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.number() == number)
    }
}

/// Why a text cannot be the id of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidItemId {
    /// PostgreSQL cannot store a NUL.
    #[error("an item's id must not contain a NUL")]
    Nul,
    /// It is longer than [`ITEM_ID_CHARS_MAX`] or [`ITEM_ID_BYTES_MAX`].
    #[error("an item's id may have {ITEM_ID_CHARS_MAX} characters and {ITEM_ID_BYTES_MAX} bytes")]
    TooLong,
}

/// Checks the id of an item. The empty text is valid.
pub fn check_item_id(id: &str) -> Result<(), InvalidItemId> {
    if id.contains('\0') {
        return Err(InvalidItemId::Nul);
    }
    let is_long = id.len() > ITEM_ID_BYTES_MAX || id.chars().count() > ITEM_ID_CHARS_MAX;
    if is_long { Err(InvalidItemId::TooLong) } else { Ok(()) }
}

/// An item to be queued.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its body: compact JSON.
    pub body: String,
    /// The definition, if its body is a container job and its id can be a job id.
    pub job: Option<Box<ParsedDefinition>>,
}

impl Item {
    /// An item with a body that [`crate::ItemJson`] wrote.
    pub fn new(id: String, body: String) -> Result<Self, InvalidItemId> {
        check_item_id(&id)?;
        let job = job_of(&id, &body);
        Ok(Self { id, body, job })
    }
}

fn job_of(id: &str, body: &str) -> Option<Box<ParsedDefinition>> {
    // Most bodies are not jobs. This check avoids parsing them again.
    let may_be_job = body.starts_with('{') && (body.contains("\"image\":") || body.contains("\"build\":"));
    if !may_be_job || !id.parse::<JobId>().is_ok_and(|id| id.check_new().is_ok()) {
        return None;
    }
    ParsedDefinition::parse(body).ok().map(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_job(id: &str, body: &str) -> bool {
        Item::new(id.to_owned(), body.to_owned()).unwrap().job.is_some()
    }

    #[test]
    fn a_definition_is_a_job_only_under_an_id_that_a_job_can_have() {
        assert!(is_job("a", r#"{"image":"alpine"}"#));
        assert!(!is_job("a/b", r#"{"image":"alpine"}"#));
        assert!(!is_job("", r#"{"image":"alpine"}"#));
        assert!(!is_job("a", r#"{"image":7}"#));
        assert!(!is_job("a", r#"{"x":{"image":"alpine"}}"#));
    }

    #[test]
    fn ids_are_bounded_in_characters_and_in_bytes() {
        assert_eq!(check_item_id(""), Ok(()));
        assert_eq!(check_item_id(&"é".repeat(1024)), Ok(()));
        assert_eq!(check_item_id(&"x".repeat(1025)), Err(InvalidItemId::TooLong));
        assert_eq!(check_item_id(&"😀".repeat(1024)), Err(InvalidItemId::TooLong));
        assert_eq!(check_item_id("a\0"), Err(InvalidItemId::Nul));
    }
}
