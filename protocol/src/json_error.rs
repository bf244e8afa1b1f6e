//! JSON errors: what is wrong with a JSON object from outside, in one sentence that names the member. serde's own errors name our types
//! instead.

use serde::de::DeserializeOwned;

/// Most characters of an unexpected word in an error.
const WORD_CHARS_MAX: usize = 40;

/// Reads an object. On failure, returns a sentence, in which `whole` is the name of the object. Lists are refused, because serde would
/// read the items of a list as the members of the object.
pub fn read_object<T: DeserializeOwned>(whole: &str, text: &[u8]) -> Result<T, String> {
    let error = match serde_json::from_slice::<T>(text) {
        Ok(value) if text.trim_ascii_start().starts_with(b"{") => return Ok(value),
        Ok(_) => return Err(format!("{whole} is not a JSON object")),
        Err(error) => error,
    };
    if !error.is_data() {
        return Err(format!("{whole} is not JSON: {error}"));
    }
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(format!("{whole} is not a JSON object"));
    }
    // Read the text again with paths. This is slower, so it is done only after an error.
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return Err(format!("{whole} cannot be read: {error}"));
    };
    let place = match error.path().to_string() {
        root if root == "." => String::new(),
        path => path,
    };
    let sentence = sentence(whole, &place, without_position(&error.inner().to_string()));
    let is_bare = sentence == "definition is missing" && is_definition(text);
    Err(if is_bare { sentence + r#"; send the definition as a member: {"definition":{…}}"# } else { sentence })
}

/// Whether an object looks like a definition itself.
fn is_definition(text: &[u8]) -> bool {
    let members: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(text).ok();
    members.is_some_and(|members| ["image", "build", "command"].iter().any(|name| members.contains_key(*name)))
}

fn without_position(said: &str) -> &str {
    said.rsplit_once(" at line ").map_or(said, |(said, _)| said)
}

/// An error of serde about the member at `place`, in our words.
fn sentence(whole: &str, place: &str, said: &str) -> String {
    let inner = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    let subject = if place.is_empty() { whole } else { place };
    let named = |start: &str| said.strip_prefix(start)?.split_once('`');
    if let Some((name, _)) = named("missing field `") {
        return format!("{} is missing", inner(name));
    }
    if let Some((name, _)) = named("duplicate field `") {
        return format!("{} is there twice", inner(name));
    }
    if let Some((name, known)) = named("unknown field `") {
        // The path already ends with the unknown name.
        let at = if place == name || place.ends_with(&format!(".{name}")) { place.to_owned() } else { inner(name) };
        return format!("{at} is not a known member; known are {}", list_of(known));
    }
    if let Some((word, known)) = named("unknown variant `") {
        let word: String = word.chars().take(WORD_CHARS_MAX).collect();
        return format!("{subject} is {word:?}, but must be one of {}", list_of(known));
    }
    if let Some((found, expected)) = said.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected ")) {
        if found.starts_with("floating point") {
            return format!("{subject} must be {}", expected_of(expected));
        }
        return format!("{subject} is {}, not {}", kind_of(found), expected_of(expected));
    }
    if let Some((_, expected)) = said.strip_prefix("invalid value: ").and_then(|rest| rest.split_once(", expected ")) {
        return format!("{subject} must be {}", expected_of(expected));
    }
    if let Some((_, expected)) = said.strip_prefix("invalid length ").and_then(|rest| rest.split_once(", expected ")) {
        return format!("{subject} must be {}", expected_of(expected));
    }
    if place.is_empty() { said.to_owned() } else { format!("{place}: {said}") }
}

/// The words in back quotes in ", expected one of `a`, `b`".
fn list_of(known: &str) -> String {
    known.split('`').skip(1).step_by(2).collect::<Vec<_>>().join(", ")
}

/// The type of a value. The value itself is left out, because it may be a secret in the wrong place.
fn kind_of(found: &str) -> &'static str {
    match found.split([' ', '`']).next().unwrap_or_default() {
        "null" | "unit" | "Option" => "null",
        "boolean" => "true or false",
        "integer" | "floating" => "a number",
        "string" | "character" => "a text",
        "sequence" => "a list",
        "map" => "an object",
        _ => "something else",
    }
}

fn expected_of(expected: &str) -> &str {
    match expected {
        "a string" | "a borrowed string" | "str" | "string" => "a text",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 within its bounds",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number within its bounds",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        _ if expected.starts_with("struct ") => "an object",
        _ if expected.starts_with("a tuple ") => "a list",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClaimRequest, Definition, EnqueueJob, FinishRequest, LogsRequest};

    fn error_of<T: DeserializeOwned>(text: &str) -> String {
        read_object::<T>("the body", text.as_bytes()).err().unwrap()
    }

    #[test]
    fn each_mistake_is_one_sentence_that_names_its_place() {
        for (said, expected) in [
            (error_of::<EnqueueJob>("[]"), "the body is not a JSON object"),
            (error_of::<EnqueueJob>("5"), "the body is not a JSON object"),
            (error_of::<EnqueueJob>(r#"["x", {"image": "a"}]"#), "the body is not a JSON object"),
            (error_of::<EnqueueJob>("{}"), "definition is missing"),
            (error_of::<EnqueueJob>(r#"{"definition": {}, "id": 5}"#), "id is a number, not a text"),
            (error_of::<EnqueueJob>(r#"{"definition": {}, "id": ""}"#), "id: the job id is empty"),
            (error_of::<EnqueueJob>(r#"{"definition": {}, "debug": "yes"}"#), "debug is a text, not true or false"),
            (error_of::<EnqueueJob>(r#"{"definition": {}, "id": "a", "id": "b"}"#), "id is there twice"),
            (
                error_of::<EnqueueJob>(r#"{"definition": {}, "control": {"maxDuration": "soon"}}"#),
                "control.maxDuration: \"soon\" is not a duration; write it as 90s, 20m, 1h30m, 2d or 1w",
            ),
            (
                error_of::<EnqueueJob>(r#"{"definition": {}, "control": {"callbacks": {"queued": {}}}}"#),
                "control.callbacks.queued.url is missing",
            ),
            (error_of::<Definition>(r#"{"tags": [1]}"#), "tags[0] is a number, not a text"),
            (
                error_of::<Definition>(r#"{"inputs": {"x": {"value": 1, "type": "tar"}}}"#),
                "inputs.x.type is \"tar\", but must be one of base64, url, utf8, json, key",
            ),
            (
                error_of::<ClaimRequest>(r#"{"worker": {"id": "w", "cpus": 1}, "free": {"cpus": 1, "jobs": -1}}"#),
                "free.jobs must be a whole number from 0 within its bounds",
            ),
            (
                error_of::<LogsRequest>(r#"{"epoch": 1, "seq": 0, "step": "Running", "lines": ["x"]}"#),
                "lines[0] is a text, not a log line [text, epochMs] or [text, epochMs, isStdErr]",
            ),
            (
                error_of::<LogsRequest>(r#"{"epoch": 1, "seq": 0, "step": "Running", "lines": [["x"]]}"#),
                "lines[0] must be a log line [text, epochMs] or [text, epochMs, isStdErr]",
            ),
            (
                error_of::<FinishRequest>(r#"{"epoch": 1, "reason": "Bored", "result": {}}"#),
                "reason is \"Bored\", but must be one of Success, Error, TimedOut, Cancelled, WorkerLost, JobReplacedByClient, Deleted",
            ),
        ] {
            assert_eq!(said, expected);
        }
        assert!(error_of::<EnqueueJob>("image=a").starts_with("the body is not JSON: expected value"));
    }

    #[test]
    fn a_definition_keeps_its_text() {
        let job: EnqueueJob = read_object("the body", br#" {"definition": {"b":1.0, "image":"a"}}"#).unwrap();
        assert_eq!(job.definition.get(), r#"{"b":1.0, "image":"a"}"#);
    }
}
