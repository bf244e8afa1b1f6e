//! Refuses submitted definitions that can never run. Stored definitions are not checked again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::build_block::{BuildBlock, InvalidBuild, is_web_url};
use crate::command_line::{InvalidCommandLine, POINTER_BYTES, check_command_line};
use crate::definition::{DataRefType, Definition};
use crate::image::ImageReference;
use crate::invalid_definition::InvalidDefinition;
use crate::limits::{ARGUMENT_BYTES_MAX, ARGUMENTS_BYTES_MAX, DURATION_MIN, MEMORY_BYTES_MIN, WORKDIR_BYTES_MAX};
use crate::parsed::ParsedDefinition;

/// Checks a parsed definition.
pub(crate) fn check(parsed: &ParsedDefinition) -> Result<(), InvalidDefinition> {
    let definition = &parsed.definition;
    check_image(definition)?;
    let n_bytes = command_line("entrypoint", definition.entrypoint.as_deref(), false)?
        + command_line("command", definition.command.as_deref(), has_text(definition.entrypoint.as_deref()))?
        + environment(definition.env.as_ref())?;
    if n_bytes > ARGUMENTS_BYTES_MAX {
        return Err(InvalidDefinition::ArgumentsTooLarge);
    }
    check_workdir(definition.workdir.as_deref())?;
    check_times(parsed)?;
    // With no size, or 0, the worker decides.
    if (1..MEMORY_BYTES_MIN).contains(&parsed.memory_bytes) {
        return Err(InvalidDefinition::TooLittleMemory);
    }
    check_base64(definition)?;
    check_urls(definition)?;
    check_nesting(definition)?;
    check_build(definition)
}

fn has_text(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

/// Checks the image. A worker that builds an image ignores this name.
fn check_image(definition: &Definition) -> Result<(), InvalidDefinition> {
    let image = definition.image.as_deref().filter(|_| definition.build.is_none());
    image.map_or(Ok(()), |image| Ok(image.parse::<ImageReference>().map(|_| ())?))
}

fn command_line(what: &'static str, text: Option<&str>, is_after_entrypoint: bool) -> Result<usize, InvalidDefinition> {
    let wrong = |cause: InvalidCommandLine| InvalidDefinition::CommandLine { what, cause };
    text.map_or(Ok(0), |text| check_command_line(text, is_after_entrypoint).map_err(wrong))
}

/// How many bytes of a process's limit for arguments the variables use.
fn environment(env: Option<&BTreeMap<String, Value>>) -> Result<usize, InvalidDefinition> {
    let mut n_bytes = 0;
    for (name, value) in env.into_iter().flatten() {
        let length = value.as_str().map_or_else(|| value.to_string().len(), str::len);
        if name.len() + 1 + length > ARGUMENT_BYTES_MAX {
            return Err(InvalidDefinition::EnvTooLarge(name.chars().take(40).collect()));
        }
        n_bytes += name.len() + 1 + length + POINTER_BYTES;
    }
    Ok(n_bytes)
}

/// Checks the working directory. An empty one means the image's own.
fn check_workdir(workdir: Option<&str>) -> Result<(), InvalidDefinition> {
    let is_sound = workdir
        .is_none_or(|path| path.is_empty() || (path.starts_with('/') && !path.contains('\0') && path.len() <= WORKDIR_BYTES_MAX));
    if is_sound { Ok(()) } else { Err(InvalidDefinition::Workdir) }
}

fn check_times(parsed: &ParsedDefinition) -> Result<(), InvalidDefinition> {
    let wants = parsed.definition.requirements.as_ref().and_then(|wants| wants.max_duration.as_ref());
    let is_short = |value: Option<&Value>, time| value.is_some_and(|value| !value.is_null()) && time < DURATION_MIN;
    if is_short(parsed.definition.max_duration.as_ref(), parsed.max_duration) {
        return Err(InvalidDefinition::TooShort { what: "maxDuration" });
    }
    if is_short(wants, parsed.required_duration) {
        return Err(InvalidDefinition::TooShort { what: "requirements.maxDuration" });
    }
    Ok(())
}

fn check_base64(definition: &Definition) -> Result<(), InvalidDefinition> {
    let mut files = definition.inputs.iter().chain(&definition.config_files).flatten();
    let broken = files.find(|(_, file)| file.kind == Some(DataRefType::Base64) && !file.value.as_str().is_some_and(is_base64));
    broken.map_or(Ok(()), |(name, _)| Err(InvalidDefinition::Base64(name.chars().take(40).collect())))
}

/// Checks the URLs of files. A data URL contains the file itself.
fn check_urls(definition: &Definition) -> Result<(), InvalidDefinition> {
    let is_url = |text: &str| is_web_url(text) || text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let mut files = definition.inputs.iter().chain(&definition.config_files).flatten();
    let broken = files.find(|(_, file)| file.kind == Some(DataRefType::Url) && !file.value.as_str().is_some_and(is_url));
    broken.map_or(Ok(()), |(name, _)| Err(InvalidDefinition::Url(name.chars().take(40).collect())))
}

/// Checks that no file is another file's folder. Config files with relative names are below `/inputs` too.
fn check_nesting(definition: &Definition) -> Result<(), InvalidDefinition> {
    let config = definition.config_files.iter().flatten().map(|(name, _)| name.strip_prefix("/inputs/").unwrap_or(name));
    let names = definition.inputs.iter().flatten().map(|(name, _)| name.as_str()).chain(config).collect();
    let short = |name: &str| name.chars().take(40).collect();
    nested_file(&names)
        .map_or(Ok(()), |(file, inside)| Err(InvalidDefinition::Nested { file: short(file), inside: short(inside) }))
}

/// The first file whose name is the folder of another file, and that other file.
pub fn nested_file<'a>(names: &BTreeSet<&'a str>) -> Option<(&'a str, &'a str)> {
    names.iter().find_map(|name| {
        let mut folders = name.match_indices('/').map(|(at, _)| &name[..at]);
        folders.find(|folder| names.contains(folder)).map(|folder| (folder, *name))
    })
}

/// Checks the build block. Some clients send an empty block beside an image.
fn check_build(definition: &Definition) -> Result<(), InvalidDefinition> {
    let Some(build) = &definition.build else { return Ok(()) };
    let is_said = BuildBlock::read(build)?.is_some();
    if is_said || has_text(definition.image.as_deref()) { Ok(()) } else { Err(InvalidBuild::NoDockerfile.into()) }
}

/// Whether a text can be decoded as base64. White space, missing padding, the standard and the URL-safe alphabet are allowed.
fn is_base64(text: &str) -> bool {
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let n_letters = compact.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at + 1);
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let n_padding = compact.len() - n_letters;
    compact[..n_letters].iter().all(is_letter)
        && n_letters % 4 != 1
        && (n_padding == 0 || (n_padding <= 2 && compact.len().is_multiple_of(4)))
}
