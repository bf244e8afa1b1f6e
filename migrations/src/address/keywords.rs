//! The form `host=localhost dbname='my database'`.

use super::{AddressError, Parameters};

/// The parameters of a list of keywords. A value may be in single quotes. A backslash removes the special meaning of the next
/// character.
pub(super) fn parameters(text: &str) -> Result<Parameters, AddressError> {
    let mut found = Parameters::new();
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return Err(AddressError::Form("it is empty; write postgres://user@host/database"));
    }
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(AddressError::Form(
            "it is neither a URL such as postgres://user@host/database nor keywords such as host=… dbname=…",
        ))?;
        let (value, after) = value(after.trim_start())?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(AddressError::Form("a keyword has no ="));
        }
        found.insert(name.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(found)
}

/// One value, and what follows it.
fn value(text: &str) -> Result<(String, &str), AddressError> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            _ if !quoted && character.is_whitespace() => return Ok((value, &text[at..])),
            _ => value.push(character),
        }
    }
    if quoted { Err(AddressError::Form("a quote is not closed")) } else { Ok((value, "")) }
}
