//! Error codes: why a request was refused, for programs.
//!
//! Every refusal has one of these codes besides its sentence, in REST, in the task-queue API and in SQL functions. A code never changes its
//! meaning or its status. Sentences are for people and may change. A client must expect unknown codes.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal, $status:literal;)+) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum ErrorCode {
            $($(#[doc = $meaning])+ #[serde(rename = $code)] $name,)+
        }

        impl ErrorCode {
            /// Every code, in the order of their statuses.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// Its HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }

            /// What it means and what to do, in Markdown.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim_ascii_start()),+ }
            }
        }
    };
}

codes! {
    /// The request breaks a rule that has no code of its own.
    InvalidRequest = "invalid-request", 400;
    /// The body is not a JSON object, or a member is missing, unknown or of the wrong type.
    InvalidBody = "invalid-body", 400;
    /// The body broke off before its end. Send it again.
    IncompleteBody = "incomplete-body", 400;
    /// A parameter of the query string cannot be read.
    InvalidParameter = "invalid-parameter", 400;
    /// A queue name, job id, worker id or namespace cannot be part of a URL.
    InvalidName = "invalid-name", 400;
    /// The key of a file is empty, too long, or contains a slash or a control character.
    InvalidKey = "invalid-key", 400;
    /// A text contains a character that cannot be stored, such as NUL.
    InvalidText = "invalid-text", 400;
    /// A token or a secret is too short, too long, or contains other than visible ASCII characters.
    InvalidToken = "invalid-token", 400;
    /// A member of a policy is out of its range.
    InvalidPolicy = "invalid-policy", 400;
    /// A webhook's address or payload is not one that may be called.
    InvalidCallback = "invalid-callback", 400;
    /// The namespace `*` means all namespaces, so a job cannot be submitted to it.
    ReservedNamespace = "reserved-namespace", 400;
    /// The job has as many namespaces as a job may have.
    TooManyNamespaces = "too-many-namespaces", 400;
    /// A worker's description of itself or of its capacity is invalid.
    InvalidWorker = "invalid-worker", 400;
    /// A worker's result or log cannot be stored as it is.
    InvalidResult = "invalid-result", 400;
    /// The content's SHA-256 is not the key that it was sent to.
    HashMismatch = "hash-mismatch", 400;
    /// The path is for a WebSocket, but the request does not ask for one.
    NotAWebsocket = "not-a-websocket", 400;
    /// The definition is not a JSON object, or a member has the wrong type.
    UnreadableDefinition = "unreadable-definition", 400;
    /// The definition has neither `image` nor `build`.
    NoImage = "no-image", 400;
    /// The definition's text is larger than allowed. Upload large inputs with `PUT /f/<key>`.
    DefinitionTooLarge = "definition-too-large", 400;
    /// A member of the definition has more entries than allowed.
    TooManyEntries = "too-many-entries", 400;
    /// The same member is there twice, so its value is not clear.
    DuplicateMember = "duplicate-member", 400;
    /// The image reference is invalid.
    InvalidImage = "invalid-image", 400;
    /// The command or the entrypoint cannot be split into words, or is larger than a process can take.
    InvalidCommand = "invalid-command", 400;
    /// The build block has nothing to build from, or an invalid member.
    InvalidBuild = "invalid-build", 400;
    /// The value of a file of type `url` is not an http, https or data URL.
    InvalidUrl = "invalid-url", 400;
    /// The working directory is not an absolute path.
    InvalidWorkdir = "invalid-workdir", 400;
    /// An environment variable has an invalid name or value.
    InvalidEnvironment = "invalid-environment", 400;
    /// The name of an input, a config file or an output leaves its folder, or names another file's folder.
    InvalidPath = "invalid-path", 400;
    /// A file has the type base64, but cannot be decoded.
    InvalidBase64 = "invalid-base64", 400;
    /// A text is not a duration, or the duration is shorter or longer than a job may run.
    InvalidDuration = "invalid-duration", 400;
    /// A text is not a size, or the size is smaller or larger than a container can have.
    InvalidSize = "invalid-size", 400;
    /// A number is out of its range.
    InvalidNumber = "invalid-number", 400;
    /// The name of a secret is invalid.
    InvalidSecret = "invalid-secret", 400;
    /// A tag is not a name.
    InvalidTag = "invalid-tag", 400;
    /// The queue has no item of this id. `status` and `lookup_item` give this answer for existing clients.
    UnknownItem = "unknown-item", 400;
    /// The queue asks for a token. Send it as `Authorization: Bearer <token>`.
    NoToken = "no-token", 401;
    /// The token does not give the permission that the request needs.
    WrongToken = "wrong-token", 403;
    /// The API serves only its own machine, and the person there has not allowed the origin of the calling web page. The sentence
    /// names the page `/consent` and the command that allow it.
    ForeignOrigin = "foreign-origin", 403;
    /// No such route.
    NoRoute = "no-route", 404;
    /// No such page, or a file of another version of the page.
    NoPage = "no-page", 404;
    /// The queue has no job of this id.
    NoJob = "no-job", 404;
    /// No definition is stored for this job.
    NoDefinition = "no-definition", 404;
    /// The job has no file of this name, or no file is stored under this key.
    NoFile = "no-file", 404;
    /// The queue has no item of this id.
    NoItem = "no-item", 404;
    /// No task queue is configured for paths without a queue name.
    NoTaskQueue = "no-task-queue", 404;
    /// The API has no program for this kind of machine.
    NoProgram = "no-program", 404;
    /// The path exists, but not for this method.
    WrongMethod = "wrong-method", 405;
    /// The body did not come in time. Send it again.
    SlowBody = "slow-body", 408;
    /// The claim is no longer live: the worker drops its copy of the job.
    StaleEpoch = "stale-epoch", 409;
    /// The item is not in the stage that the call needs.
    WrongStage = "wrong-stage", 409;
    /// The file is newer than the request says.
    FileChanged = "file-changed", 412;
    /// The body, or what was asked for, is larger than allowed.
    TooLarge = "too-large", 413;
    /// The file does not have the range of bytes that was asked for.
    NoSuchRange = "no-such-range", 416;
    /// The API serves only its own machine and was called by another name. Call it `localhost`.
    ForeignHost = "foreign-host", 421;
    /// The request has the wrong form; `detail` names each place.
    InvalidForm = "invalid-form", 422;
    /// The stored value does not match its type, so it cannot be sent.
    UnreadableValue = "unreadable-value", 422;
    /// The object storage refuses this file for good; the sentence says why.
    StorageRefused = "storage-refused", 422;
    /// This address sends too many requests. Wait for `Retry-After` seconds.
    AddressLimit = "address-limit", 429;
    /// This queue gets too many requests. Wait for `Retry-After` seconds.
    QueueLimit = "queue-limit", 429;
    /// Too many large answers are under way at once. Wait for `Retry-After` seconds.
    AnswerLimit = "answer-limit", 429;
    /// The queue is full. Wait for `Retry-After` seconds.
    QueueFull = "queue-full", 429;
    /// As many jobs wait in the namespace as the queue's policy allows. Wait for `Retry-After` seconds.
    NamespaceFull = "namespace-full", 429;
    /// The server is stopping. Try again.
    Stopping = "stopping", 503;
    /// The database does not answer. Try again.
    NoDatabase = "no-database", 503;
    /// The object storage does not answer. Try again.
    NoStorage = "no-storage", 503;
}

impl ErrorCode {
    /// The code with this name. None when this program does not know it.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error in a request, with its code.
pub trait Coded: fmt::Display {
    /// The code that is sent with its sentence.
    fn code(&self) -> ErrorCode;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_kebab_case_and_unique_and_has_a_status_and_a_sentence() {
        let words: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            let word = code.as_str();
            assert!(
                word.split('-')
                    .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())),
                "{word}"
            );
            assert!((400..500).contains(&code.status()) || code.status() == 503, "{word}");
            assert!(code.meaning().ends_with('.') && !code.meaning().starts_with(' '), "{word}");
            assert_eq!(serde_json::to_value(code).unwrap(), word);
            assert_eq!(ErrorCode::named(word), Some(*code));
        }
        assert!(ErrorCode::ALL.is_sorted_by_key(|code| code.status()));
        assert_eq!(ErrorCode::named("unheard-of"), None);
    }
}
