//! A client and a worker with the existing wire format. They are written only from its description, with JSON values and plain
//! sockets and without the types of this repository.

mod client;
mod fleet;
mod flows;
pub(crate) mod old_worker;

/// The release whose behaviour a script has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Every definition keeps the `env` that it was sent with, and so does its hash.
    V0_54_80,
    /// An empty `env` does not count in the hash of a definition. The text of a log entry ends as the program ended its line.
    V0_54_85,
}

impl Release {
    pub(crate) const ALL: [Self; 2] = [Self::V0_54_80, Self::V0_54_85];

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V0_54_80 => "0.54.80",
            Self::V0_54_85 => "0.54.85",
        }
    }

    /// The id of a job that has an image, a command and an empty environment, and its definition.
    pub(crate) fn job(self, command: &str) -> (String, serde_json::Value) {
        let definition = serde_json::json!({"image": "alpine:3.18.5", "command": command, "env": {}});
        let command = serde_json::Value::from(command);
        let canonical = match self {
            Self::V0_54_80 => format!(r#"{{"command":{command},"env":{{}},"image":"alpine:3.18.5"}}"#),
            Self::V0_54_85 => format!(r#"{{"command":{command},"image":"alpine:3.18.5"}}"#),
        };
        (protocol::sha256_hex(canonical.as_bytes()), definition)
    }
}
