//! Logins in the URLs of build contexts, which readers of a definition do not get.

use serde_json::Value;

/// A definition's text without the login in its build context's URL; any other text as it is.
///
/// Whoever knows a queue's name reads the definitions of its jobs, and a token for a private repository is for the worker alone.
/// The job's id stays the hash of what was submitted.
pub fn without_login(text: String) -> String {
    // Nearly all definitions: they are shown as they were submitted, to the byte.
    if !(text.contains("\"context\"") && text.contains('@')) {
        return text;
    }
    let Ok(mut definition) = serde_json::from_str::<Value>(&text) else { return text };
    let Some(context) = definition.pointer_mut("/build/context") else { return text };
    match context.as_str().and_then(strip) {
        Some(stripped) => {
            *context = Value::String(stripped);
            definition.to_string()
        }
        None => text,
    }
}

/// None: there is no login in it.
fn strip(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let host = authority.rfind('@')? + 1;
    Some(format!("{scheme}://{}", &rest[host..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_login_of_a_context_is_left_out() {
        let shown = |context: &str| without_login(format!(r#"{{"b":1.50,"build":{{"context":"{context}"}},"a":"x@y"}}"#));
        let with = |context: &str| format!(r#"{{"b":1.5,"build":{{"context":"{context}"}},"a":"x@y"}}"#);
        assert_eq!(shown("https://TOKEN@host/a/b/tree/x@y"), with("https://host/a/b/tree/x@y"));
        assert_eq!(shown("https://u:p@s@host"), with("https://host"));
        assert_eq!(shown("https://host/a@b"), r#"{"b":1.50,"build":{"context":"https://host/a@b"},"a":"x@y"}"#);
        for text in [r#"{"image":"a@b"}"#, r#"{"build":{"context":7},"x":"@"}"#, "\"context\" @"] {
            assert_eq!(without_login(text.to_owned()), text);
        }
    }
}
