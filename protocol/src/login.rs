//! Logins in the URLs of build contexts. Only the worker that runs the job gets them.
//!
//! The API removes the login from a submitted definition and puts it back for the claim. The job's id and the key of the stored text are
//! still the hashes of the submitted text.

use std::ops::Range;

use serde_json::Value;

/// A definition's text, and the login from its build context's URL.
#[derive(Clone, PartialEq, Eq)]
pub struct SplitDefinition {
    /// The text without the login.
    pub text: String,
    /// The login, without the `@` after it.
    pub login: String,
}

impl std::fmt::Debug for SplitDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplitDefinition").field("text", &self.text).finish_non_exhaustive()
    }
}

/// Separates the login from a definition's text. None when there is no login, as in nearly all definitions.
pub fn split_login(text: &str) -> Option<SplitDefinition> {
    // A login needs an `@`, maybe as an escape.
    if !text.contains(['@', '\\']) {
        return None;
    }
    let mut definition = serde_json::from_str::<Value>(text).ok()?;
    let context = definition.pointer_mut("/build/context")?;
    let url = context.as_str()?;
    let range = login_of(url)?;
    let (login, bare) = (url[range.clone()].to_owned(), format!("{}{}", &url[..range.start], &url[range.end + 1..]));
    *context = Value::String(bare);
    Some(SplitDefinition { text: definition.to_string(), login })
}

/// Puts a login back into a definition's text. A text that has a login already, or no context for it, is not changed.
pub fn with_login(text: String, login: &str) -> String {
    let Ok(mut definition) = serde_json::from_str::<Value>(&text) else { return text };
    let Some(context) = definition.pointer_mut("/build/context") else { return text };
    match context.as_str().filter(|url| login_of(url).is_none()).and_then(|url| Some((url, authority_of(url)?))) {
        Some((url, at)) => {
            *context = Value::String(format!("{}{login}@{}", &url[..at], &url[at..]));
            definition.to_string()
        }
        None => text,
    }
}

/// A definition's text without the login in its build context's URL. A text without a login is not changed.
pub fn without_login(text: String) -> String {
    split_login(&text).map_or(text, |split| split.text)
}

/// Position of the login in a URL. An `@` follows it.
fn login_of(url: &str) -> Option<Range<usize>> {
    let start = authority_of(url)?;
    let authority = &url[start..];
    let end = authority.find(['/', '?', '#', '\\']).unwrap_or(authority.len());
    Some(start..start + authority[..end].rfind('@')?)
}

/// Position of the authority in a URL. Parsers of URLs also accept one slash, no slash, or backslashes in place of the two slashes.
fn authority_of(url: &str) -> Option<usize> {
    let (scheme, rest) = url.split_once(':')?;
    let scheme = scheme.trim_start();
    let is_scheme = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then(|| url.len() - rest.trim_start_matches(['/', '\\']).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(context: &str) -> String {
        serde_json::json!({"b": 1.5, "build": {"context": context}, "a": "x@y"}).to_string()
    }

    #[test]
    fn only_the_login_of_a_context_is_left_out_and_comes_back() {
        for (full, bare, login) in [
            ("https://TOKEN@host/a/b/tree/x@y", "https://host/a/b/tree/x@y", "TOKEN"),
            ("https://u:p@s@host", "https://host", "u:p@s"),
            ("https:u:p@host/a", "https:host/a", "u:p"),
            ("https:\\\\u:p@host\\a", "https:\\\\host\\a", "u:p"),
            ("https:///u@host:1", "https:///host:1", "u"),
            ("https://@host", "https://host", ""),
        ] {
            let split = split_login(&of(full)).unwrap();
            assert_eq!((split.text.as_str(), split.login.as_str()), (of(bare).as_str(), login));
            assert_eq!(with_login(split.text, login), of(full));
            assert_eq!(with_login(of(full), login), of(full), "stored whole by an earlier release");
        }
    }

    #[test]
    fn a_login_is_found_behind_an_escape() {
        let split = split_login(r#"{"build":{"context":"https:\/\/u\u0040host"}}"#).unwrap();
        assert_eq!((split.text.as_str(), split.login.as_str()), (r#"{"build":{"context":"https://host"}}"#, "u"));
    }

    #[test]
    fn every_other_text_is_not_changed() {
        let spaced = r#"{"b": 1.50, "build": {"context": "https://host/a@b"}, "a": "x@y"}"#;
        for text in [spaced, r#"{"image":"a@b"}"#, r#"{"build":{"context":7},"x":"@"}"#, "\"context\" @", r#"{"build":"@"}"#] {
            assert_eq!(without_login(text.to_owned()), text);
        }
        let shown = format!("{:?}", split_login(&of("https://TOKEN@host")));
        assert!(!shown.contains("TOKEN"), "{shown}");
    }
}
