//! Missing outputs: files that a job made and that are not in its result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{MISSING_NAME_CHARS_MAX, MISSING_NAMES_MAX};

/// Why an output is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum MissingCode {
    /// The result already has as many files, or bytes of names, as it can have.
    TooMany,
    /// The file is larger than allowed, or all outputs together are larger than allowed.
    TooLarge,
    /// The worker is not allowed to read it.
    Unreadable,
    /// A socket, a pipe or a device.
    NotAFile,
    /// A link that leads out of `/outputs`, to nothing, or in a circle.
    Link,
    /// The name is not UTF-8, is too long, or has a control character or a backslash.
    Name,
    /// The file changed or vanished while it was read.
    Changed,
    /// A reason that this program does not know.
    #[serde(other)]
    Other,
}

impl MissingCode {
    /// The reason as a sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::TooMany => "a result holds 10,000 files at most, and 7 MiB of names; pack them into an archive",
            Self::TooLarge => "a file may be 5 GiB large, and all outputs together 100 GiB",
            Self::Unreadable => "the worker may not read it; make it readable for all",
            Self::NotAFile => "it is not a regular file",
            Self::Link => "it is a link that leads out of /outputs, nowhere, or in a circle",
            Self::Name => "its name is not UTF-8, is too long, or has a control character or a backslash",
            Self::Changed => "it changed or vanished while it was read",
            Self::Other => "the worker says why in the log",
        }
    }
}

/// The outputs that are missing for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct MissingFor {
    /// The reason.
    pub code: MissingCode,
    /// How many outputs.
    pub outputs: u64,
    /// The first names, at most ten.
    pub names: Vec<String>,
    /// The reason as a sentence.
    pub message: String,
}

/// The missing outputs of a result. Absent when the result has every file of `/outputs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// How many outputs are missing. A folder that cannot be read counts as one.
    pub outputs: u64,
    /// There are more, because the worker stopped counting.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub is_more: bool,
    /// The reasons, each once.
    pub why: Vec<MissingFor>,
}

impl Missing {
    /// A sentence with the number of missing outputs and the main reason.
    pub fn sentence(&self) -> String {
        let (least, noun) =
            (if self.is_more { "at least " } else { "" }, if self.outputs == 1 { "output is" } else { "outputs are" });
        let why = self.why.iter().max_by_key(|why| why.outputs).map(|why| format!(": {}", why.message));
        format!("{least}{} {noun} missing from the result{}", self.outputs, why.unwrap_or_default())
    }
}

/// Collects missing outputs.
#[derive(Clone, Debug, Default)]
pub struct MissingOutputs {
    by_code: BTreeMap<MissingCode, (u64, Vec<String>)>,
    is_more: bool,
}

impl MissingOutputs {
    /// Adds one output. Keeps its name, cut at 255 characters, if it is among the first of its reason.
    pub fn note(&mut self, code: MissingCode, name: &str) {
        let (outputs, names) = self.by_code.entry(code).or_default();
        *outputs += 1;
        if names.len() < MISSING_NAMES_MAX {
            names.push(name.chars().take(MISSING_NAME_CHARS_MAX).collect());
        }
    }

    /// Records that counting stopped before the end.
    pub fn note_more(&mut self) {
        self.is_more = true;
    }

    /// The missing outputs for the result. None when nothing is missing.
    pub fn into_missing(self) -> Option<Missing> {
        if self.by_code.is_empty() && !self.is_more {
            return None;
        }
        let for_one = |(code, (outputs, names)): (MissingCode, (u64, Vec<String>))| MissingFor {
            code,
            outputs,
            names,
            message: code.sentence().to_owned(),
        };
        let why: Vec<_> = self.by_code.into_iter().map(for_one).collect();
        Some(Missing { outputs: why.iter().map(|for_one| for_one.outputs).sum(), is_more: self.is_more, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_missing_outputs_are_counted_and_the_first_are_named() {
        let mut missing = MissingOutputs::default();
        assert_eq!(missing.clone().into_missing(), None);
        (0..12_000).for_each(|n| missing.note(MissingCode::TooMany, &format!("{n:05}")));
        missing.note(MissingCode::Link, &"x".repeat(1_000));
        let missing = missing.into_missing().unwrap();
        assert_eq!((missing.outputs, missing.why.len(), missing.is_more), (12_001, 2, false));
        assert_eq!((missing.why[0].outputs, missing.why[0].names.len()), (12_000, MISSING_NAMES_MAX));
        assert_eq!(missing.why[1].names[0].len(), MISSING_NAME_CHARS_MAX);
    }

    #[test]
    fn a_reason_of_a_newer_worker_is_read() {
        let text = r#"{"outputs":1,"why":[{"code":"eaten","outputs":1,"names":["a"],"message":"by a dog"}]}"#;
        let missing: Missing = serde_json::from_str(text).unwrap();
        assert_eq!(missing.why[0].code, MissingCode::Other);
        assert_eq!(missing.why[0].message, "by a dog");
    }
}
