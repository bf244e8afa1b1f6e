//! Turns the arguments of a call into the type that a tool takes, or into a sentence that names the wrong argument.

use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::Refusal;

/// Reads the arguments of a call.
pub(super) fn read<A: DeserializeOwned>(arguments: JsonObject) -> Result<A, Refusal> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let path = error.path().to_string();
        let said = error.into_inner().to_string();
        refusal(&path, &said)
    })
}

/// A sentence that names the wrong argument, in place of the parser's message.
fn refusal(path: &str, said: &str) -> Refusal {
    let quoted = said.split('`').nth(1).unwrap_or_default();
    let inner = if path == "." { quoted.to_owned() } else { format!("{path}.{quoted}") };
    if said.starts_with("missing field") {
        return Refusal::of_argument(&inner, format!("the argument {inner} is missing"));
    }
    if said.starts_with("unknown field") {
        // The path of this error ends with the name already, so `inner` would repeat it.
        let known = said.split_once("expected ").map_or("", |(_, known)| known).replace('`', "").replacen("one of ", "", 1);
        return Refusal::of_argument(quoted, format!("there is no argument {quoted}; the tool takes {known}"));
    }
    Refusal::of_argument(path, format!("the argument {path} cannot be read: {said}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Taken {
        job_id: String,
        limit: Option<u8>,
    }

    fn refused(arguments: Value) -> Value {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        read::<Taken>(arguments).unwrap_err().facts()
    }

    #[test]
    fn a_wrong_argument_is_named() {
        assert_eq!(refused(json!({}))["argument"], "jobId");
        let typo = refused(json!({"jobid": "a"}));
        assert_eq!(typo["argument"], "jobid");
        assert_eq!(typo["error"], "there is no argument jobid; the tool takes jobId or limit");
        let wrong = refused(json!({"jobId": "a", "limit": "ten"}));
        assert_eq!(wrong["argument"], "limit");
        assert!(wrong["error"].as_str().unwrap().contains("expected u8"), "{wrong}");
        assert_eq!(refused(json!({"jobId": "a", "limit": 300}))["argument"], "limit");
    }
}
