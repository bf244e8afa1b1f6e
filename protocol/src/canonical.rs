//! Canonical JSON, and the job id, which is its hash.
//!
//! Two definitions that mean the same must give the same id in a browser, in SQL and here. So every byte of the text is defined: keys are
//! sorted by UTF-16 code units, there are no spaces, escapes are those of `JSON.stringify`, and numbers are printed as ECMAScript prints a
//! double.
//! Two rules decide which members of a definition are hashed: the present rule, which gives the job id, and the rule of clients up to
//! 0.54.80, whose id also finds the job. `vectors/job-ids.json` has ids that browsers computed by both rules.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Lowercase hex SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Whether a text has the form of a SHA-256 as [`sha256_hex`] writes it.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The canonical text of a JSON value.
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// Members of a definition that count unchanged in its id, if they are not null.
const MEMBERS: [&str; 8] = ["v", "image", "command", "entrypoint", "workdir", "shmSize", "maxDuration", "tags"];
/// Members of `build` that count.
const BUILD: [&str; 7] = ["context", "buildContext", "filename", "target", "dockerfile", "buildArgs", "platform"];
/// Members of `requirements` that count.
const REQUIREMENTS: [&str; 4] = ["cpus", "gpus", "maxDuration", "memory"];
/// Variables that a page sets for the client inside it, besides those that begin with `mp-` or `mp_`.
const PAGE_VARIABLES: [&str; 6] = ["channel", "CHANNEL", "readonly", "edit", "parent-metapage-id", "fs-path"];

/// The id of a definition: the hash of the canonical JSON of the members that change the work.
///
/// These are the members that a worker uses, if they are not empty. In a ref, only the type and the value count, without the signature of a
/// presigned URL. In `env`, the variables of the page around a client do not count. `secrets` count too; existing clients do not send them.
pub fn job_id_of(definition: &Value) -> String {
    let Value::Object(members) = definition else { return sha256_hex(canonical_json(definition).as_bytes()) };
    let counted = members.iter().filter_map(|(name, value)| Some((name.clone(), counted(name, value)?)));
    sha256_hex(canonical_json(&Value::Object(counted.collect())).as_bytes())
}

/// The other valid id of a definition, by the rule of clients up to 0.54.80. Every member counts, except the `hash` of refs, the signatures
/// of presigned URLs, `env.channel` and `env.CHANNEL`. Definitions with the same id by this rule also have the same id by [`job_id_of`].
pub fn old_job_id_of(definition: &Value) -> String {
    let mut copy = definition.clone();
    if let Value::Object(members) = &mut copy {
        for map in ["inputs", "configFiles"] {
            if let Some(Value::Object(refs)) = members.get_mut(map) {
                refs.values_mut().for_each(strip_ref);
            }
        }
        if let Some(Value::Object(env)) = members.get_mut("env") {
            strip_channel(env);
        }
    }
    sha256_hex(canonical_json(&copy).as_bytes())
}

/// The part of a member that counts in the id. None for an empty member.
fn counted(name: &str, value: &Value) -> Option<Value> {
    if value.is_null() {
        return None;
    }
    let Value::Object(members) = value else {
        let is_known = MEMBERS.contains(&name) || ["build", "requirements", "env", "inputs", "configFiles"].contains(&name);
        let is_secret = name == "secrets" && value.as_array().is_none_or(|secrets| !secrets.is_empty());
        return (is_known || is_secret).then(|| value.clone());
    };
    let kept: Map<String, Value> = match name {
        "build" => pick(members, &BUILD),
        "requirements" => pick(members, &REQUIREMENTS),
        "env" => owned(members.iter().filter(|(name, _)| !is_of_page(name))),
        "inputs" | "configFiles" => {
            let mut refs = members.clone();
            refs.values_mut().for_each(keep_content);
            refs
        }
        name if MEMBERS.contains(&name) || name == "secrets" => return Some(value.clone()),
        _ => return None,
    };
    (!kept.is_empty()).then_some(Value::Object(kept))
}

fn pick(members: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    owned(members.iter().filter(|(name, value)| names.contains(&name.as_str()) && !value.is_null()))
}

fn owned<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>) -> Map<String, Value> {
    members.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_of_page(variable: &str) -> bool {
    variable.starts_with("mp-") || variable.starts_with("mp_") || PAGE_VARIABLES.contains(&variable)
}

/// Storage of the existing system, whose URLs get a new signature for every reader.
const PRESIGNED_ORIGIN: &str = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com";

fn strip_ref(reference: &mut Value) {
    let Value::Object(members) = reference else { return };
    members.shift_remove("hash");
    if members.get("type").and_then(Value::as_str) != Some("url") {
        return;
    }
    if let Some(Value::String(url)) = members.get_mut("value") {
        if let Some(at) = url.find("/presignedurl/") {
            url.truncate(at);
        } else if url.starts_with(PRESIGNED_ORIGIN)
            && let Some(at) = url.find(['?', '#'])
        {
            url.truncate(at);
        }
    }
}

/// Keeps only the value and the type of a ref.
fn keep_content(reference: &mut Value) {
    strip_ref(reference);
    if let Value::Object(members) = reference {
        members.retain(|name, value| name == "value" || (name == "type" && !value.is_null()));
    }
}

fn strip_channel(env: &mut Map<String, Value>) {
    for key in ["channel", "CHANNEL"] {
        if env.get(key).is_some_and(is_truthy) {
            env.shift_remove(key);
        }
    }
}

/// Whether JavaScript treats a value as true: everything but `null`, `false`, `0` and `""`.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64().is_some_and(|n| n != 0.0),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => {
            let mut buffer = ryu_js::Buffer::new();
            let double = number.as_f64().filter(|n| n.is_finite());
            out.push_str(double.map_or("null", |n| buffer.format(n)));
        }
        Value::String(text) => write_string(out, text),
        Value::Array(items) => write_list(out, ('[', ']'), items, write_value),
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            write_list(out, ('{', '}'), &sorted, |out, (key, value)| {
                write_string(out, key);
                out.push(':');
                write_value(out, value);
            });
        }
    }
}

fn write_list<T>(out: &mut String, (open, close): (char, char), items: &[T], write: impl Fn(&mut String, &T)) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => *out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_sort_by_utf16_and_numbers_print_as_in_ecmascript() {
        let value = json!({"\u{ff61}": 1, "\u{1f600}": 2, "10": 1.0, "9": -0.0, "n": 1e21, "s": "a\u{1}\u{7f}/\u{2028}"});
        assert_eq!(
            canonical_json(&value),
            "{\"10\":1,\"9\":0,\"n\":1e+21,\"s\":\"a\\u0001\u{7f}/\u{2028}\",\"\u{1f600}\":2,\"\u{ff61}\":1}"
        );
    }

    #[test]
    fn presigned_urls_count_without_their_signature() {
        let with = |url: &str| json!({"image": "a", "inputs": {"x": {"type": "url", "value": url, "hash": "h"}}});
        let bare = json!({"image": "a", "inputs": {"x": {"type": "url", "value": "https://h/f/1"}}});
        assert_eq!(job_id_of(&with("https://h/f/1/presignedurl/abc")), job_id_of(&bare));
        assert_ne!(job_id_of(&with("https://h/f/1?x=1")), job_id_of(&bare));
        let stored = format!("{PRESIGNED_ORIGIN}/k");
        assert_eq!(job_id_of(&with(&format!("{stored}?sig=1#f"))), job_id_of(&with(&stored)));
    }
}
