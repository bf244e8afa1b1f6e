//! What comes in: bodies and numbers, with the refusals that existing clients know. A body has a bound.

use axum::body::{Body, Bytes};
use axum::http::header;
use protocol::limits::ITEMS_BODY_BYTES_MAX;
use protocol::{ErrorCode, InvalidItemJson, ItemJson, check_item_id};
use serde::de::DeserializeOwned;

use super::answer::{Problem, Refusal, bad_body, text_of};
use super::{Call, python};

/// Bodies above this size are read on a thread of their own, so that they hold nobody up.
const SMALL_BYTES: usize = 64 * 1024;

/// What a request's body says.
pub(super) enum Entry {
    /// Nothing: no body, or `null`.
    Missing,
    /// JSON.
    Json(ItemJson),
    /// The text itself, because its type is not JSON.
    Text(String),
}

fn missing() -> Problem<'static> {
    Problem { kind: "missing", place: "[\"body\"]", message: "Field required", input: "null", context: None }
}

fn unreadable() -> Refusal {
    Refusal::Refused(ErrorCode::InvalidBody, "There was an error parsing the body".to_owned())
}

/// Reads a body to its end.
pub(super) async fn collect(body: Body) -> Result<Bytes, Refusal> {
    axum::body::to_bytes(body, ITEMS_BODY_BYTES_MAX).await.map_err(|error| {
        let is_limit = std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit"));
        let words = format!("the body is larger than {} MiB", ITEMS_BODY_BYTES_MAX / 1024 / 1024);
        if is_limit { Refusal::Refused(ErrorCode::TooLarge, words) } else { unreadable() }
    })
}

/// Takes the body, and reads what it says.
pub(super) async fn read(call: &mut Call) -> Result<Entry, Refusal> {
    let bytes = std::mem::take(&mut call.body);
    if bytes.is_empty() {
        return Ok(Entry::Missing);
    }
    let text = String::from_utf8(bytes.to_vec()).map_err(|_| unreadable())?;
    if !is_json(call) {
        return Ok(Entry::Text(text));
    }
    let parsed = if text.len() > SMALL_BYTES {
        tokio::task::spawn_blocking(move || ItemJson::parse(&text)).await.map_err(|_| unreadable())?
    } else {
        ItemJson::parse(&text)
    };
    match parsed.map_err(|error| bad_json(&error))? {
        ItemJson::Other(text) if text == "null" => Ok(Entry::Missing),
        json => Ok(Entry::Json(json)),
    }
}

/// Without a type a body is taken for JSON.
fn is_json(call: &Call) -> bool {
    let Some(value) = call.headers.get(header::CONTENT_TYPE) else { return true };
    let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.strip_prefix("application/").is_some_and(|sub| sub == "json" || sub.ends_with("+json"))
}

fn bad_json(error: &InvalidItemJson) -> Refusal {
    let place = format!("[\"body\",{}]", error.offset);
    let context = format!("{{\"error\":{}}}", text_of(error.problem));
    let message = "JSON decode error";
    Problem { kind: "json_invalid", place: &place, message, input: "{}", context: Some(&context) }.into()
}

impl Entry {
    /// The JSON text of what came.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Missing => "null".to_owned(),
            Self::Json(json) => json.to_text(),
            Self::Text(text) => text_of(text),
        }
    }

    /// The members of an object.
    pub(super) fn into_members(self) -> Result<Vec<(String, String)>, Refusal> {
        match self {
            Self::Missing => Err(missing().into()),
            Self::Json(ItemJson::Object(members)) => Ok(members),
            other => {
                let message = "Input should be a valid dictionary";
                let input = other.to_text();
                Err(Problem { kind: "dict_type", place: "[\"body\"]", message, input: &input, context: None }.into())
            }
        }
    }

    /// One id, or a list of them.
    pub(super) fn into_ids(self) -> Result<Vec<String>, Refusal> {
        let whole = match self {
            Self::Missing => return Err(missing().into()),
            Self::Text(id) | Self::Json(ItemJson::String(id)) => return Ok(vec![id]),
            Self::Json(json) => json,
        };
        let string = |place: &str, input: &str| {
            let message = "Input should be a valid string";
            Problem { kind: "string_type", place, message, input, context: None }.to_text()
        };
        let text = whole.to_text();
        let mut problems = vec![string("[\"body\",\"str\"]", &text)];
        if let ItemJson::List(entries) = whole {
            let bad = entries.iter().enumerate().filter(|(_, entry)| entry.string.is_none());
            problems.extend(bad.map(|(n, entry)| string(&format!("[\"body\",\"list[str]\",{n}]"), &entry.text)));
            if problems.len() == 1 {
                return Ok(entries.into_iter().filter_map(|entry| entry.string).collect());
            }
        } else {
            let message = "Input should be a valid list";
            let place = "[\"body\",\"list[str]\"]";
            problems.push(Problem { kind: "list_type", place, message, input: &text, context: None }.to_text());
        }
        Err(Refusal::Invalid(problems))
    }

    /// A body of ours; without one, `T`'s default.
    pub(super) fn into_typed<T: DeserializeOwned + Default>(self) -> Result<T, Refusal> {
        match self {
            Self::Missing => Ok(T::default()),
            Self::Json(json @ ItemJson::Object(_)) => {
                serde_json::from_str(&json.to_text()).map_err(|error| bad_body(&format!("the body cannot be used: {error}")))
            }
            _ => Err(bad_body("the body is no JSON object")),
        }
    }
}

/// Refuses ids that cannot be stored.
pub(super) fn check_ids<'t>(ids: impl IntoIterator<Item = &'t str>) -> Result<(), Refusal> {
    for id in ids {
        check_item_id(id).map_err(|error| {
            let shown: String = id.chars().take(80).collect();
            let (shown, message) = (text_of(&shown), error.to_string());
            let place = format!("[\"body\",{shown}]");
            Refusal::from(Problem { kind: "value_error", place: &place, message: &message, input: &shown, context: None })
        })?;
    }
    Ok(())
}

/// The number of items in a path.
pub(super) fn item_number(text: &str) -> Result<i64, Refusal> {
    let (input, place) = (text_of(text), "[\"path\",\"n_items\"]");
    let Some(number) = python::whole_number(text) else {
        let message = "Input should be a valid integer, unable to parse string as an integer";
        return Err(Problem { kind: "int_parsing", place, message, input: &input, context: None }.into());
    };
    if number <= 0 {
        let message = "Input should be greater than 0";
        return Err(Problem { kind: "greater_than", place, message, input: &input, context: Some("{\"gt\":0}") }.into());
    }
    Ok(number)
}

/// The id in a path.
pub(super) fn item_id(call: &Call) -> Result<&str, Refusal> {
    if call.argument.contains('\0') {
        let input = text_of(&call.argument);
        let (place, message) = ("[\"path\",\"item_id\"]", "an item's id must not hold a NUL");
        return Err(Problem { kind: "value_error", place, message, input: &input, context: None }.into());
    }
    Ok(&call.argument)
}
