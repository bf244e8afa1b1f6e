//! A definition's command line to arguments.

/// A command line that shell rules cannot split.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} cannot be split into arguments: {cause}; check its quotes")]
pub(super) struct InvalidCommand {
    what: &'static str,
    cause: String,
}

/// Splits a command line by shell quoting rules. Nothing, or blanks only, means the image's own.
///
/// A line with an unquoted shell operator is one argument as a whole, as existing workers have it: no shell runs here, and
/// `["a", "&&", "b"]` would hand the program arguments that its author never meant.
pub(super) fn split(what: &'static str, line: Option<&str>) -> Result<Option<Vec<String>>, InvalidCommand> {
    let Some(line) = line.map(str::trim).filter(|line| !line.is_empty()) else { return Ok(None) };
    if has_operator(line) {
        return Ok(Some(vec![line.to_owned()]));
    }
    match shell_words::split(line) {
        Ok(words) => Ok(Some(words)),
        Err(error) => Err(InvalidCommand { what, cause: error.to_string() }),
    }
}

/// Whether `|`, `&`, `;`, `<`, `>`, `(` or `)` stands outside quotes.
fn has_operator(line: &str) -> bool {
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => {
                characters.next();
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')') => return true,
            _ => (),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split("command", Some(line)).unwrap().unwrap()
    }

    #[test]
    fn quotes_group_words() {
        assert_eq!(words(r#"sh -c 'echo "a b" && exit 3'"#), ["sh", "-c", r#"echo "a b" && exit 3"#]);
        assert_eq!(words(r#"a "b; c" d\;e"#), ["a", "b; c", "d;e"]);
        assert_eq!(words("python /inputs/main.py --x=1"), ["python", "/inputs/main.py", "--x=1"]);
    }

    #[test]
    fn an_operator_outside_quotes_makes_one_argument() {
        for line in ["a && b", "a | b", "a > f", "a; b", "(a)", r#"echo "x" & y"#] {
            assert_eq!(words(line), [line]);
        }
    }

    #[test]
    fn nothing_means_the_images_own_and_open_quotes_are_refused() {
        assert_eq!(split("command", None), Ok(None));
        assert_eq!(split("command", Some("  ")), Ok(None));
        assert!(split("command", Some("echo 'a")).unwrap_err().to_string().contains("quotes"));
    }
}
