//! Reads bodies and numbers, with the refusals that existing clients expect. The size of a body is limited.

use axum::body::{Body, Bytes};
use axum::http::header;
use protocol::limits::ITEMS_BODY_BYTES_MAX;
use protocol::{ErrorCode, InvalidItemJson, ItemJson, check_item_id};
use serde::de::DeserializeOwned;

use super::answer::{FormProblem, Refusal, bad_body, text_of};
use super::{Call, number};

/// Bodies above this size are parsed on a separate thread, so that they do not block other requests.
const SMALL_BYTES: usize = 64 * 1024;

/// The content of a request's body.
pub(super) enum ItemBody {
    /// Nothing: no body, or `null`.
    Missing,
    /// JSON.
    Json(ItemJson),
    /// The text itself, because its type is not JSON.
    Text(String),
}

fn missing() -> FormProblem<'static> {
    FormProblem { kind: "missing", place: "[\"body\"]", message: "Field required", input: "null", context: None }
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

/// Takes and reads the body.
pub(super) async fn read(call: &mut Call) -> Result<ItemBody, Refusal> {
    let bytes = std::mem::take(&mut call.body);
    if bytes.is_empty() {
        return Ok(ItemBody::Missing);
    }
    let text = String::from_utf8(bytes.to_vec()).map_err(|_| unreadable())?;
    if !is_json(call) {
        return Ok(ItemBody::Text(text));
    }
    let parsed = if text.len() > SMALL_BYTES {
        tokio::task::spawn_blocking(move || ItemJson::parse(&text)).await.map_err(|_| unreadable())?
    } else {
        ItemJson::parse(&text)
    };
    match parsed.map_err(|error| bad_json(&error))? {
        ItemJson::Other(text) if text == "null" => Ok(ItemBody::Missing),
        json => Ok(ItemBody::Json(json)),
    }
}

/// A body without a content type is read as JSON.
fn is_json(call: &Call) -> bool {
    let Some(value) = call.headers.get(header::CONTENT_TYPE) else { return true };
    let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.strip_prefix("application/").is_some_and(|sub| sub == "json" || sub.ends_with("+json"))
}

fn bad_json(error: &InvalidItemJson) -> Refusal {
    let place = format!("[\"body\",{}]", error.offset);
    let context = format!("{{\"error\":{}}}", text_of(error.problem));
    let message = "JSON decode error";
    FormProblem { kind: "json_invalid", place: &place, message, input: "{}", context: Some(&context) }.into()
}

impl ItemBody {
    /// The JSON text of the body.
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
                Err(FormProblem { kind: "dict_type", place: "[\"body\"]", message, input: &input, context: None }.into())
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
            FormProblem { kind: "string_type", place, message, input, context: None }.to_text()
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
            problems.push(FormProblem { kind: "list_type", place, message, input: &text, context: None }.to_text());
        }
        Err(Refusal::Invalid(problems))
    }

    /// A typed body, or `T`'s default if there is no body.
    pub(super) fn into_typed<T: DeserializeOwned + Default>(self) -> Result<T, Refusal> {
        match self {
            Self::Missing => Ok(T::default()),
            Self::Json(json @ ItemJson::Object(_)) => {
                serde_json::from_str(&json.to_text()).map_err(|error| bad_body(&format!("the body cannot be used: {error}")))
            }
            _ => Err(bad_body("the body is not a JSON object")),
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
            Refusal::from(FormProblem { kind: "value_error", place: &place, message: &message, input: &shown, context: None })
        })?;
    }
    Ok(())
}

/// The number of items in a path.
pub(super) fn item_number(text: &str) -> Result<i64, Refusal> {
    let (input, place) = (text_of(text), "[\"path\",\"n_items\"]");
    let Some(number) = number::whole_number(text) else {
        let message = "Input should be a valid integer, unable to parse string as an integer";
        return Err(FormProblem { kind: "int_parsing", place, message, input: &input, context: None }.into());
    };
    if number <= 0 {
        let message = "Input should be greater than 0";
        return Err(FormProblem { kind: "greater_than", place, message, input: &input, context: Some("{\"gt\":0}") }.into());
    }
    Ok(number)
}

/// The id in a path.
pub(super) fn item_id(call: &Call) -> Result<&str, Refusal> {
    if call.argument.contains('\0') {
        let input = text_of(&call.argument);
        let (place, message) = ("[\"path\",\"item_id\"]", "an item's id must not contain a NUL");
        return Err(FormProblem { kind: "value_error", place, message, input: &input, context: None }.into());
    }
    Ok(&call.argument)
}
