//! Builds a definition from flags, based on a JSON file if one is given.

use std::path::Path;

use protocol::limits::DEFINITION_BYTES_MAX;
use serde_json::{Map, Value, json};

use super::add::AddArgs;
use super::inputs::InputFile;
use crate::failure::Failure;
use crate::text_file;

/// The image of definitions that name a script.
const NO_IMAGE: &str = protocol::labels::SCRIPT_IMAGE;

/// The members that the flags set, without files.
pub(super) fn members(args: &AddArgs) -> Result<Map<String, Value>, Failure> {
    let mut members = args.definition.as_deref().map_or_else(|| Ok(Map::new()), read)?;
    let command = args.script.as_ref().or(args.command.as_ref());
    for (name, command) in [("command", command), ("entrypoint", args.entrypoint.as_ref())] {
        if command.is_some_and(|text| shell_words::split(text).is_err()) {
            return Err(Failure::BadInput(format!("the {name} has a quote that is not closed")));
        }
        set(&mut members, name, command.map(String::as_str));
    }
    set(&mut members, "image", args.script.as_ref().map(|_| NO_IMAGE).or(args.image.as_deref()));
    set(&mut members, "workdir", args.workdir.as_deref());
    set(&mut members, "shmSize", args.shm_size.as_deref());
    set(&mut members, "maxDuration", args.max_duration.as_deref());
    if !args.tags.is_empty() {
        members.insert("tags".to_owned(), json!(args.tags));
    }
    if !args.secrets.is_empty() {
        members.insert("secrets".to_owned(), json!(args.secrets));
    }
    add_env(&mut members, &args.env)?;
    add_requirements(&mut members, args)?;
    Ok(members)
}

/// Adds the files to `inputs`.
pub(super) fn add_inputs(members: &mut Map<String, Value>, files: &[InputFile]) -> Result<(), Failure> {
    for file in files {
        let reference = serde_json::to_value(&file.reference).map_err(|error| Failure::BadInput(error.to_string()))?;
        object(members, "inputs")?.insert(file.name.clone(), reference);
    }
    Ok(())
}

/// Removes empty maps, as all our clients do, so that the same job gets the same id from each of them.
pub(super) fn drop_empty(members: &mut Map<String, Value>) {
    for name in ["env", "inputs", "configFiles", "requirements"] {
        if members.get(name).and_then(Value::as_object).is_some_and(Map::is_empty) {
            members.shift_remove(name);
        }
    }
}

fn read(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = text_file::read(path, DEFINITION_BYTES_MAX)?;
    serde_json::from_str(&text).map_err(|error| Failure::BadInput(format!("{} is not a JSON object: {error}", path.display())))
}

fn set(members: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        members.insert(name.to_owned(), json!(value));
    }
}

fn object<'a>(members: &'a mut Map<String, Value>, name: &str) -> Result<&'a mut Map<String, Value>, Failure> {
    let value = members.entry(name).or_insert_with(|| json!({}));
    value.as_object_mut().ok_or_else(|| Failure::BadInput(format!("`{name}` of the definition is not an object")))
}

fn add_env(members: &mut Map<String, Value>, env: &[String]) -> Result<(), Failure> {
    for text in env {
        let (name, value) =
            text.split_once('=').ok_or_else(|| Failure::BadInput(format!("--env {text:?} has no equals sign; write K=V")))?;
        object(members, "env")?.insert(name.to_owned(), json!(value));
    }
    Ok(())
}

fn add_requirements(members: &mut Map<String, Value>, args: &AddArgs) -> Result<(), Failure> {
    let wants = [
        ("cpus", args.cpus.map(|n| json!(n))),
        ("gpus", args.gpus.map(|n| json!(n))),
        ("memory", args.memory.as_ref().map(|text| json!(text))),
    ];
    for (name, value) in wants {
        if let Some(value) = value {
            object(members, "requirements")?.insert(name.to_owned(), value);
        }
    }
    Ok(())
}
