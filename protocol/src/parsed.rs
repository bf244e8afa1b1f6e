//! Parses and checks a definition's text.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::definition::{DataRefType, Definition};
use crate::duplicate::first_duplicate;
use crate::invalid_definition::InvalidDefinition;
use crate::json_error::read_object;
use crate::labels::implicit_labels;
use crate::limits::{
    CPUS_DEFAULT, CPUS_MAX, DEFINITION_BYTES_MAX, DURATION_DEFAULT, ENTRIES_MAX, GPUS_MAX, SECRETS_MAX, TAGS_MAX,
};
use crate::login::{SplitDefinition, split_login};
use crate::name::{JobId, Namespace};
use crate::path::{check_config_path, check_input_path};
use crate::runnable;
use crate::secret::check_secret_name;
use crate::size::parse_size;
use crate::{canonical_json, job_id_of, old_job_id_of, parse_duration};

/// A checked definition, with everything that follows from its text.
#[derive(Clone, Debug)]
pub struct ParsedDefinition {
    /// The submitted text.
    pub text: String,
    /// The text without the login of its build context, if it has one. This text may be stored and shown.
    pub split: Option<SplitDefinition>,
    /// Its members.
    pub definition: Definition,
    /// SHA-256 of the whole canonical JSON: the key under which the text is stored.
    pub hash: [u8; 32],
    /// The job id of this definition.
    pub job_id: JobId,
    /// The job id that clients up to 0.54.80 compute, if it differs.
    pub old_job_id: Option<JobId>,
    /// Cpus that the job takes.
    pub cpus: f64,
    /// Gpus that the job takes.
    pub gpus: u32,
    /// Bytes of memory that the job takes. 0 when the definition does not name any.
    pub memory_bytes: u64,
    /// Least `maxJobDuration` of a worker for this job.
    pub required_duration: std::time::Duration,
    /// Longest run that the definition allows.
    pub max_duration: std::time::Duration,
    /// Tags, sorted, each once.
    pub tags: Vec<String>,
    /// Other labels that its worker must have: see [`crate::labels`].
    pub implicit_labels: Vec<String>,
}

impl ParsedDefinition {
    /// The text to store, without a login.
    pub fn stored_text(&self) -> &str {
        self.split.as_ref().map_or(&self.text, |split| &split.text)
    }

    /// The login, which is stored separately.
    pub fn login(&self) -> Option<&str> {
        self.split.as_ref().map(|split| split.login.as_str())
    }

    /// Whether an id is the hash of this definition, by one of the two rules.
    pub fn is_true_id(&self, id: &str) -> bool {
        self.job_id.as_str() == id || self.old_job_id.as_ref().is_some_and(|old| old.as_str() == id)
    }

    /// The tags to store, with the implicit labels after them.
    pub fn stored_tags(&self) -> Vec<String> {
        let implicit = (!self.implicit_labels.is_empty()).then(|| [&[String::new()], self.implicit_labels.as_slice()].concat());
        [self.tags.as_slice(), implicit.as_deref().unwrap_or_default()].concat()
    }

    /// Parses and checks the text of a submitted definition.
    pub fn parse(text: &str) -> Result<Self, InvalidDefinition> {
        if let Some(path) = first_duplicate(text) {
            return Err(InvalidDefinition::Duplicate(path));
        }
        let parsed = Self::parse_stored(text)?;
        runnable::check(&parsed)?;
        Ok(parsed)
    }

    /// Parses the text of a stored definition. An earlier release may have accepted it with fewer checks.
    pub fn parse_stored(text: &str) -> Result<Self, InvalidDefinition> {
        if text.len() > DEFINITION_BYTES_MAX {
            return Err(InvalidDefinition::TooLarge);
        }
        let value: Value = read_object("it", text.as_bytes()).map_err(InvalidDefinition::Unreadable)?;
        if let Some(what) = list_for_object(&value) {
            return Err(InvalidDefinition::Unreadable(format!("{what} is not a JSON object")));
        }
        let definition: Definition = read_object("it", text.as_bytes()).map_err(InvalidDefinition::Unreadable)?;
        definition.check()?;
        let wants = definition.requirements.clone().unwrap_or_default();
        let mut tags = definition.tags.clone().unwrap_or_default();
        tags.sort();
        tags.dedup();
        let job_id = JobId::try_from(job_id_of(&value)).map_err(InvalidDefinition::Tag)?;
        let old_job_id = JobId::try_from(old_job_id_of(&value)).map_err(InvalidDefinition::Tag)?;
        Ok(Self {
            hash: Sha256::digest(canonical_json(&value).as_bytes()).into(),
            old_job_id: Some(old_job_id).filter(|old| *old != job_id),
            job_id,
            cpus: wants.cpus.unwrap_or(CPUS_DEFAULT),
            gpus: whole_gpus(wants.gpus),
            memory_bytes: size_of("requirements.memory", wants.memory.as_ref())?,
            required_duration: duration_of("requirements.maxDuration", wants.max_duration.as_ref())?.unwrap_or_default(),
            max_duration: duration_of("maxDuration", definition.max_duration.as_ref())?.unwrap_or(DURATION_DEFAULT),
            tags,
            implicit_labels: implicit_labels(&definition),
            split: definition.build.as_ref().and_then(|_| split_login(text)),
            text: text.to_owned(),
            definition,
        })
    }
}

/// The name of a member that is a list and should be an object. serde would read the items of a list as the members of the object.
fn list_for_object(value: &Value) -> Option<&'static str> {
    let is_list = |key: &str| value.get(key).is_some_and(Value::is_array);
    let has_list = |key: &str| value.get(key).and_then(Value::as_object).is_some_and(|map| map.values().any(Value::is_array));
    match () {
        () if is_list("build") => Some("build"),
        () if is_list("requirements") => Some("requirements"),
        () if has_list("inputs") => Some("an input"),
        () if has_list("configFiles") => Some("a config file"),
        () => None,
    }
}

impl Definition {
    fn check(&self) -> Result<(), InvalidDefinition> {
        let has_image = self.image.as_ref().is_some_and(|image| !image.trim().is_empty());
        if !has_image && self.build.is_none() {
            return Err(InvalidDefinition::NoImage);
        }
        self.check_counts()?;
        self.check_files()?;
        self.check_env()?;
        size_of("shmSize", self.shm_size.as_ref())?;
        let wants = self.requirements.clone().unwrap_or_default();
        check_number("requirements.cpus", wants.cpus, CPUS_MAX)?;
        check_number("requirements.gpus", wants.gpus, f64::from(GPUS_MAX))?;
        if wants.gpus.is_some_and(|gpus| gpus.fract() != 0.0) {
            return Err(InvalidDefinition::HalfGpu);
        }
        for name in self.secrets.iter().flatten() {
            check_secret_name(name)?;
        }
        for tag in self.tags.iter().flatten() {
            tag.parse::<Namespace>().map_err(InvalidDefinition::Tag)?;
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), InvalidDefinition> {
        let counts = [
            ("inputs", self.inputs.as_ref().map_or(0, BTreeMap::len), ENTRIES_MAX),
            ("configFiles", self.config_files.as_ref().map_or(0, BTreeMap::len), ENTRIES_MAX),
            ("environment variables", self.env.as_ref().map_or(0, BTreeMap::len), ENTRIES_MAX),
            ("secrets", self.secrets.as_ref().map_or(0, Vec::len), SECRETS_MAX),
            ("tags", self.tags.as_ref().map_or(0, Vec::len), TAGS_MAX),
        ];
        match counts.into_iter().find(|(_, n, max)| n > max) {
            Some((what, _, max)) => Err(InvalidDefinition::TooMany { what, max }),
            None => Ok(()),
        }
    }

    fn check_files(&self) -> Result<(), InvalidDefinition> {
        for name in self.inputs.iter().flat_map(BTreeMap::keys) {
            check_input_path(name)?;
        }
        for name in self.config_files.iter().flat_map(BTreeMap::keys) {
            check_config_path(name)?;
        }
        let mut files = self.inputs.iter().chain(&self.config_files).flatten();
        match files.find(|(_, file)| file.kind == Some(DataRefType::Base64) && !file.value.as_str().is_some_and(is_base64_text)) {
            Some((name, _)) => Err(InvalidDefinition::Base64(name.chars().take(40).collect())),
            None => Ok(()),
        }
    }

    fn check_env(&self) -> Result<(), InvalidDefinition> {
        for (name, value) in self.env.iter().flatten() {
            let has_nul = name.contains('\0') || value.as_str().is_some_and(|v| v.contains('\0'));
            if name.is_empty() || name.contains('=') || has_nul {
                return Err(InvalidDefinition::Env(name.chars().take(40).collect()));
            }
        }
        Ok(())
    }
}

/// Whether a text has only characters of base64.
fn is_base64_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/-_=".contains(&byte))
}

fn check_number(what: &'static str, number: Option<f64>, max: f64) -> Result<(), InvalidDefinition> {
    match number {
        Some(n) if !(0.0..=max).contains(&n) => Err(InvalidDefinition::Number { what, max }),
        _ => Ok(()),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie in 0..=GPUS_MAX")]
fn whole_gpus(gpus: Option<f64>) -> u32 {
    gpus.map_or(0, |n| n as u32)
}

/// A size in bytes. 0 when there is none.
fn size_of(what: &'static str, value: Option<&Value>) -> Result<u64, InvalidDefinition> {
    let size = amount(value).map(|text| parse_size(&text)).transpose();
    Ok(size.map_err(|cause| InvalidDefinition::Size { what, cause })?.unwrap_or(0))
}

fn duration_of(what: &'static str, value: Option<&Value>) -> Result<Option<std::time::Duration>, InvalidDefinition> {
    let duration = amount(value).map(|text| parse_duration(&text)).transpose();
    duration.map_err(|cause| InvalidDefinition::Duration { what, cause })
}

/// A text, or a number as written.
fn amount(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        ParsedDefinition::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_a_job_needs_follows_from_its_text() {
        let text = r#"{"image":"a","tags":["b","a","b"],"maxDuration":"90s","requirements":{"gpus":2.0,"memory":"1g"}}"#;
        let parsed = ParsedDefinition::parse(text).unwrap();
        assert_eq!((parsed.cpus, parsed.gpus, parsed.memory_bytes), (1.0, 2, 1 << 30));
        assert_eq!((parsed.tags, parsed.max_duration.as_secs()), (vec!["a".to_owned(), "b".to_owned()], 90));
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        for (text, sentence) in [
            (r#"{"command":"x"}"#, "the definition has neither image nor build; give one of them"),
            (r#"["alpine"]"#, "the definition cannot be read: it is not a JSON object"),
            (r#"{"build":[null]}"#, "the definition cannot be read: build is not a JSON object"),
            (r#"{"image":"a","requirements":[1]}"#, "the definition cannot be read: requirements is not a JSON object"),
            (r#"{"image":"a","inputs":{"x":["y"]}}"#, "the definition cannot be read: an input is not a JSON object"),
            (r#"{"image":"a","configFiles":{"x":["y"]}}"#, "the definition cannot be read: a config file is not a JSON object"),
            (
                r#"{"image":"a","maxDuration":"soon"}"#,
                "maxDuration: \"soon\" is not a duration; write it as 90s, 20m, 1h30m, 2d or 1w",
            ),
            (r#"{"image":"a","shmSize":"big"}"#, "shmSize: \"big\" is not a size; write it as 512m, 4g or 4GiB"),
            (r#"{"image":"a","requirements":{"cpus":-1}}"#, "requirements.cpus must be a number from 0 to 4096"),
            (r#"{"image":"a","requirements":{"gpus":1.5}}"#, "requirements.gpus must be a whole number"),
            (
                r#"{"image":"a","inputs":{"x":{"type":"base64","value":"%%%"}}}"#,
                "the value of file \"x\" is not base64, as its type says",
            ),
            (r#"{"image":5}"#, "the definition cannot be read: image is a number, not a text"),
            (
                r#"{"image":"a","env":{"A=B":"c"}}"#,
                "environment variable \"A=B\" has an empty name, an equals sign or a NUL in it",
            ),
        ] {
            assert_eq!(refusal(text), sentence);
        }
        for written in ["aGk=", "aGk", "a G\nk=", "_-8="] {
            let definition = serde_json::json!({"image": "a", "inputs": {"x": {"type": "base64", "value": written}}});
            assert!(ParsedDefinition::parse(&definition.to_string()).is_ok(), "{written}");
        }
        assert!(refusal(r#"{"image":"a","secrets":["A B"]}"#).starts_with("secret \"A B\" is not a valid name"));
        assert!(refusal(r#"{"image":"a","inputs":{"../x":{"value":"y"}}}"#).contains("is not usable"));
        assert!(refusal(r#"{"image":"a","inputs":{"/etc/x":{"value":"y"}}}"#).contains("is absolute"));
    }
}
