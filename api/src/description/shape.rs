//! Schemas in words: each shape of the document, and the type of a member.

use maud::{Markup, html};
use serde_json::Value;

use super::page::{inline, paragraphs};

/// A named schema, member by member.
pub(super) fn shape(name: &str, schema: &Value) -> Markup {
    html! {
        section.shape id={ "shape-" (name) } {
            h3 { (name) }
            (paragraphs(schema["description"].as_str().unwrap_or_default()))
            @if let Some(parts) = schema["allOf"].as_array() {
                @for part in parts {
                    @if part["$ref"].is_string() { p { "Every member of " (type_of(part)) ", and" } } @else { (body(part)) }
                }
            } @else { (body(schema)) }
        }
    }
}

fn body(schema: &Value) -> Markup {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    html! {
        @if let Some(members) = schema["properties"].as_object() {
            dl {
                @for (member, told) in members {
                    dt { code { (member) } @if !required.contains(&member.as_str()) { " " small { "optional" } } }
                    dd { (type_of(told)) (bounds(told)) ". " (inline(told["description"].as_str().unwrap_or_default())) }
                }
            }
        } @else { p { (type_of(schema)) } }
    }
}

/// A schema in a few words.
pub(super) fn type_of(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
        return html! { a href={ "#shape-" (name) } { (name) } };
    }
    if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()).or(schema["allOf"].as_array()) {
        return html! { @for (index, choice) in choices.iter().enumerate() { @if index > 0 { " or " } (type_of(choice)) } };
    }
    if let Some(words) = schema["enum"].as_array() {
        return html! { @for (index, word) in words.iter().enumerate() { @if index > 0 { " | " } code { (word.to_string()) } } };
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" && schema["items"].is_object() => html! { "list of " (type_of(&schema["items"])) },
        Value::String(kind) if kind == "object" && schema["additionalProperties"].is_object() => {
            html! { "map of " (type_of(&schema["additionalProperties"])) }
        }
        Value::String(kind) => html! { (kind) },
        Value::Array(kinds) => html! { (kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")) },
        _ => html! { "any JSON" },
    }
}

/// The bounds of a text or number, in words that follow its type.
pub(super) fn bounds(schema: &Value) -> String {
    let number = |key: &str| schema[key].as_f64();
    let is_name = schema["pattern"].as_str().is_some_and(|pattern| pattern.starts_with("^[^/"));
    let letters = if is_name { ", no slash and no control character" } else { "" };
    if let Some(max) = number("maxLength") {
        return match number("minLength") {
            Some(min) => format!(", {min} to {max} characters{letters}"),
            None => format!(", at most {max} characters{letters}"),
        };
    }
    match (number("minimum"), number("exclusiveMinimum"), number("maximum")) {
        (Some(min), _, Some(max)) => format!(", {min} to {max}"),
        (_, Some(min), Some(max)) => format!(", above {min}, at most {max}"),
        (Some(min), ..) => format!(", from {min}"),
        _ => String::new(),
    }
}
