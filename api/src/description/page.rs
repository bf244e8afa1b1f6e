//! Renders the document as a page with one style and no script, which loads nothing from elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ALIAS;
use super::shape::{bounds, shape, type_of};

/// The page, and the header with its content policy.
pub(super) struct Page {
    pub(super) html: String,
    pub(super) policy: String,
}

const STYLE: &str = include_str!("page.css");

/// One operation and its path.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    told: &'a Value,
}

impl Operation<'_> {
    fn text(&self, key: &str) -> &str {
        self.told[key].as_str().unwrap_or_default()
    }

    fn is_of(&self, tag: &Value) -> bool {
        self.told["tags"].as_array().is_some_and(|tags| tags.contains(&tag["name"]))
    }
}

/// The page of a document.
pub(super) fn of(document: &Value) -> Page {
    let operations = operations(document);
    let tags: Vec<&Value> = document["tags"].as_array().into_iter().flatten().collect();
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            (head("Asman: the API", STYLE))
            body {
                (contents(&tags, &operations))
                main {
                    h1 { "Asman: the API" }
                    (paragraphs(document["info"]["description"].as_str().unwrap_or_default()))
                    p {
                        "For programs: " a href="../openapi.json" { "openapi.json" } " (OpenAPI 3.1). For a beginning: the "
                        a href="quick-start" { "quick start" } ". In the examples " code { "$ASMAN_API" } " is the address of this "
                        "server, " code { "$QUEUE" } " a queue and " code { "$JOB" } " a job of it."
                    }
                    @for tag in tags { (section(tag, &operations)) }
                    h2 id="shapes" { "Shapes" }
                    @for (name, schema) in members(&document["components"]["schemas"]) { (shape(name, schema)) }
                }
            }
        }
    };
    Page { html: body.into_string(), policy: policy_of(STYLE) }
}

/// The head that every page of the documentation has.
pub(super) fn head(title: &str, style: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="referrer" content="no-referrer";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (PreEscaped(style)) }
        }
    }
}

/// The content policy of a page: it may load only the style that it contains.
pub(super) fn policy_of(style: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(style));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let items = document["paths"].as_object().into_iter().flatten();
    items
        .flat_map(|(path, item)| {
            item.as_object().into_iter().flatten().map(move |(method, told)| Operation { method, path, told })
        })
        .collect()
}

fn contents(tags: &[&Value], operations: &[Operation<'_>]) -> Markup {
    html! {
        nav {
            a.head href="../docs" { "Asman" }
            a.head href="quick-start" { "Quick start" }
            @for tag in tags {
                div {
                    a.head href={ "#" (name_of(tag)) } { (name_of(tag)) }
                    @for operation in operations.iter().filter(|one| one.is_of(tag) && one.told[ALIAS].is_null()) {
                        a.entry href={ "#" (operation.text("operationId")) } { (inline(operation.text("summary"))) }
                    }
                }
            }
            a.head href="#shapes" { "Shapes" }
        }
    }
}

fn name_of(tag: &Value) -> &str {
    tag["name"].as_str().unwrap_or_default()
}

fn section(tag: &Value, operations: &[Operation<'_>]) -> Markup {
    html! {
        h2.tag id=(name_of(tag)) { (name_of(tag)) }
        (paragraphs(tag["description"].as_str().unwrap_or_default()))
        @for operation in operations.iter().filter(|one| one.is_of(tag) && one.told[ALIAS].is_null()) {
            (article(operation, operations))
        }
    }
}

fn article(operation: &Operation<'_>, all: &[Operation<'_>]) -> Markup {
    let aliases = all.iter().filter(|other| other.told[ALIAS] == operation.path && other.method == operation.method);
    let parameters: Vec<&Value> = operation.told["parameters"].as_array().into_iter().flatten().collect();
    html! {
        article id=(operation.text("operationId")) {
            h3 { (inline(operation.text("summary"))) }
            p.route { (address(operation)) @if operation.told["deprecated"] == true { " " em { "deprecated" } } }
            @for alias in aliases {
                p.route.alias id=(alias.text("operationId")) {
                    "also " (address(alias))
                    @if alias.told["deprecated"] == true { " " em { "deprecated" } }
                }
            }
            (paragraphs(operation.text("description")))
            @if !parameters.is_empty() {
                h4 { "Parameters" }
                dl { @for parameter in parameters { (parameter_entry(parameter)) } }
            }
            (request_body(&operation.told["requestBody"]))
            h4 { "Answers" }
            dl { @for (status, answer) in members(&operation.told["responses"]) { (answer_entry(status, answer)) } }
            h4 { "Example" }
            pre tabindex="0" { (curl(operation)) }
        }
    }
}

fn address(operation: &Operation<'_>) -> Markup {
    html! {
        span class={ "method " (operation.method) } { (operation.method.to_uppercase()) } " " code { (breakable(operation.path)) }
    }
}

/// The members of an object; nothing for other values.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn parameter_entry(parameter: &Value) -> Markup {
    let is_required = parameter["required"] == true;
    let text = |key: &str| parameter[key].as_str().unwrap_or_default();
    html! {
        dt { code { (text("name")) } " " small { (text("in")) @if !is_required { ", optional" } } }
        dd { (inline(text("description"))) " " small { (type_of(&parameter["schema"])) (bounds(&parameter["schema"])) } }
    }
}

fn request_body(body: &Value) -> Markup {
    html! {
        @for (kind, content) in members(&body["content"]) {
            h4 { "Body" }
            p {
                code { (kind) } ": " (type_of(&content["schema"])) ". "
                (inline(body["description"].as_str().unwrap_or_default()))
            }
            @if !content["example"].is_null() { pre tabindex="0" { (pretty(&content["example"])) } }
        }
    }
}

fn answer_entry(status: &str, answer: &Value) -> Markup {
    html! {
        dt { span class={ "status s" (&status[..1]) } { (status) } }
        dd {
            (inline(answer["description"].as_str().unwrap_or_default()))
            @for (kind, content) in members(&answer["content"]) {
                " " small { code { (kind) } ": " (type_of(&content["schema"])) }
            }
            @for (name, header) in members(&answer["headers"]) {
                " " small { "Header " code { (name) } ": " (inline(header["description"].as_str().unwrap_or_default())) }
            }
        }
    }
}

/// The example command for an operation.
fn curl(operation: &Operation<'_>) -> String {
    let path = operation.path.replace("{queue}", "$QUEUE").replace("{id}", "$JOB").replace("{key}", "my-file");
    let path = path.replace("{item_id}", "tile-1").replace("{stage}", "WAITING").replace("{n_items}", "10");
    let path = path.replace("{name}", "a.txt").replace("{namespace}", "_").replace(['{', '}'], "");
    if operation.told["responses"]["101"].is_object() {
        return format!("websocat \"ws://localhost:8000{path}\"");
    }
    let method = if operation.method == "get" { String::new() } else { format!("-X {} ", operation.method.to_uppercase()) };
    let contents = operation.told["requestBody"]["content"].as_object();
    let body = match contents.and_then(|contents| contents.iter().next()) {
        Some((kind, content)) if kind == "application/json" => match &content["example"] {
            Value::Null => " -d @body.json".to_owned(),
            example => format!(" \\\n  -d '{}'", example.to_string().replace('\'', r"'\''")),
        },
        Some(_) => " --data-binary @file".to_owned(),
        None => String::new(),
    };
    // The task-queue API uses the content type of the client. Other routes read any body as JSON.
    let is_said = path.contains("/api/v1/queue/") && !body.is_empty();
    let kind = if is_said { " -H 'content-type: application/json'" } else { "" };
    format!("curl {method}\"$ASMAN_API{path}\"{kind}{body}")
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

pub(super) fn paragraphs(text: &str) -> Markup {
    html! { @for paragraph in text.split("\n\n").filter(|text| !text.is_empty()) { p { (inline(paragraph)) } } }
}

/// Text with `code` in it.
pub(super) fn inline(text: &str) -> Markup {
    html! { @for (index, piece) in text.split('`').enumerate() { @if index % 2 == 1 { code { (piece) } } @else { (piece) } } }
}

/// A path that narrow screens may break after a slash.
fn breakable(path: &str) -> Markup {
    html! { @for (index, part) in path.split('/').enumerate() { @if index > 0 { "/" wbr; } (part) } }
}
