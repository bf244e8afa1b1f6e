//! Turns a definition's command line into arguments.
//!
//! The rules are those of existing workers, because published jobs rely on them. No shell runs here.
//!
//! - Words are split by shell quoting.
//! - `$NAME` and `${NAME}` outside single quotes become the value of that name in the definition's `env`. A value stays one word. A name
//!   without a value is removed. Names that every job has in its environment, such as `JOB_OUTPUTS`, are not replaced. Variables for the
//!   container's own shell go in single quotes: `sh -c 'echo $HOME'`.
//! - A line with an unquoted operator is one argument, because `["a", "&&", "b"]` would give the program arguments that its author did not
//!   mean. Nothing is replaced in such a line, because it is for a shell, which replaces names itself.
//! - After an entrypoint of the definition (`sh -c`), a line with an unquoted wildcard or comment is one argument too. Without an
//!   entrypoint the program gets these characters unchanged: `curl http://host/?a=1`.

use std::collections::BTreeMap;

use protocol::Definition;
use protocol::command_line::{Quote, Scanner, is_whole};
use serde_json::Value;

use super::environment::GIVEN;

type Env = BTreeMap<String, Value>;

/// A command line that shell rules cannot split.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} cannot be split into arguments: {cause}; check its quotes")]
pub(super) struct InvalidCommand {
    what: &'static str,
    cause: String,
}

/// A definition's entrypoint. None means the image's own.
pub(super) fn entrypoint(definition: &Definition) -> Result<Option<Vec<String>>, InvalidCommand> {
    let (text, env) = (definition.entrypoint.as_deref(), definition.env.as_ref());
    split(CommandLine { what: "entrypoint", text, env, is_after_entrypoint: false })
}

/// A definition's command. None means the image's own.
pub(super) fn command(definition: &Definition) -> Result<Option<Vec<String>>, InvalidCommand> {
    let is_after_entrypoint = definition.entrypoint.as_ref().is_some_and(|text| !text.trim().is_empty());
    split(CommandLine { what: "command", text: definition.command.as_deref(), env: definition.env.as_ref(), is_after_entrypoint })
}

/// One of the two command lines of a definition.
#[derive(Clone, Copy, Debug)]
struct CommandLine<'a> {
    what: &'static str,
    text: Option<&'a str>,
    env: Option<&'a Env>,
    /// Whether the definition has an entrypoint, which may be a shell.
    is_after_entrypoint: bool,
}

/// Splits a line. None means the image's own, as for an empty line.
fn split(line: CommandLine<'_>) -> Result<Option<Vec<String>>, InvalidCommand> {
    let Some(text) = line.text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if is_whole(text, line.is_after_entrypoint) {
        return Ok(Some(vec![text.to_owned()]));
    }
    match shell_words::split(&substitute(text, line.env)) {
        Ok(words) => Ok(Some(words)),
        Err(error) => Err(InvalidCommand { what: line.what, cause: error.to_string() }),
    }
}

/// Replaces names by their values, with quotes so that a value stays one word.
fn substitute(text: &str, env: Option<&Env>) -> String {
    let mut scanner = Scanner::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let stands = scanner.next(c);
        let found = reference(rest).filter(|_| matches!(stands, Some(Quote::None | Quote::Double)));
        if let Some((name, length)) = found {
            if let Some(value) = env.and_then(|env| env.get(name)) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                out.push_str(&quoted(&value, stands == Some(Quote::Double)));
            } else if GIVEN.contains(&name) {
                out.push_str(&rest[..length]);
            }
            rest = &rest[length..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The name at the start of `$NAME` or `${NAME}`, and how many bytes it takes.
fn reference(text: &str) -> Option<(&str, usize)> {
    let after = text.strip_prefix('$')?;
    if let Some(braced) = after.strip_prefix('{') {
        let name = &braced[..braced.find('}')?];
        return Some((name, name.len() + 3));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = &after[..after.find(|c| !is_name(c)).unwrap_or(after.len())];
    (!name.is_empty()).then_some((name, name.len() + 1))
}

fn quoted(value: &str, is_in_double_quotes: bool) -> String {
    if !is_in_double_quotes {
        return shell_words::quote(value).into_owned();
    }
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str, env: &Value, is_after_entrypoint: bool) -> Vec<String> {
        let env: Env = serde_json::from_value(env.clone()).unwrap();
        let line = CommandLine { what: "command", text: Some(text), env: Some(&env), is_after_entrypoint };
        split(line).unwrap().unwrap()
    }

    fn words(text: &str) -> Vec<String> {
        read(text, &json!({}), false)
    }

    #[test]
    fn quotes_group_words() {
        assert_eq!(words(r#"sh -c 'echo "a b" && exit 3'"#), ["sh", "-c", r#"echo "a b" && exit 3"#]);
        assert_eq!(words(r#"a "b; c" d\;e"#), ["a", "b; c", "d;e"]);
        assert_eq!(words("python /inputs/main.py --x=1"), ["python", "/inputs/main.py", "--x=1"]);
    }

    #[test]
    fn an_operator_outside_quotes_makes_one_argument() {
        for line in ["a && b", "a | b", "a > f", "a; b", "(a)", r#"echo "x" & y"#, "echo $A; echo $B"] {
            assert_eq!(read(line, &json!({ "A": "1" }), false), [line]);
        }
    }

    #[test]
    fn wildcards_are_left_to_the_shell_of_an_entrypoint() {
        for line in ["ls *.txt", "cat a?", "make #1 x"] {
            assert_eq!(read(line, &json!({}), true), [line]);
            assert!(words(line).len() < line.len() && words(line) != [line], "{line}");
        }
        assert_eq!(read("ls '*.txt'", &json!({}), true), ["ls", "*.txt"]);
        assert_eq!(words("curl http://host/?a=1"), ["curl", "http://host/?a=1"]);
    }

    #[test]
    fn the_definitions_variables_are_replaced_and_others_become_nothing() {
        let env = json!({ "FOO": "bar", "TWO": "a b", "N": 1.5, "odd": "\"$FOO`\\'" });
        let read = |line| read(line, &env, false);
        assert_eq!(read("echo $FOO ${FOO}x $FOO/y"), ["echo", "bar", "barx", "bar/y"]);
        assert_eq!(read(r#"echo $TWO "$TWO!" '$TWO'"#), ["echo", "a b", "a b!", "$TWO"]);
        assert_eq!(
            read(r#"echo \$FOO $N $NONE ${NONE} "$NONE" a${NONE}b $ $1 100$"#),
            ["echo", "$FOO", "1.5", "", "ab", "$", "100$"]
        );
        assert_eq!(read(r#"echo $odd "$odd""#), ["echo", "\"$FOO`\\'", "\"$FOO`\\'"]);
        assert_eq!(read(r#"sh -c "echo $HOME ${FOO} ${open""#), ["sh", "-c", "echo  bar ${open"]);
        assert_eq!(read("sh -c 'echo $HOME'"), ["sh", "-c", "echo $HOME"]);
        assert_eq!(read("äö $FOOä"), ["äö", "barä"]);
    }

    #[test]
    fn without_an_environment_every_variable_becomes_nothing() {
        let line = CommandLine { what: "command", text: Some("echo a$HOME/b \"$X\""), env: None, is_after_entrypoint: false };
        assert_eq!(split(line).unwrap().unwrap(), ["echo", "a/b", ""]);
    }

    #[test]
    fn an_empty_line_means_the_images_own_and_open_quotes_are_refused() {
        let line = |text| CommandLine { what: "command", text, env: None, is_after_entrypoint: false };
        assert_eq!(split(line(None)), Ok(None));
        assert_eq!(split(line(Some("  "))), Ok(None));
        assert!(split(line(Some("echo 'a"))).unwrap_err().to_string().contains("quotes"));
    }
}
