//! End codes: why a job has no result, and whose fault that is.
//!
//! Invariants: a code is never renamed and its fault never changes, because clients use both. The sentence in `message` is for people and
//! may change. On the wire a code is a text, so that a client can also read the codes of a later release. `fault` is sent with it for the
//! same reason.

use serde::{Deserialize, Serialize};

/// Whose fault it is that a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(rename = "Fault"))]
#[serde(rename_all = "kebab-case")]
pub enum EndFault {
    /// The definition, or something that it names: the job would fail on every worker. Only such a failure answers later submissions
    /// of the job.
    Job,
    /// The worker's machine or its engine.
    Machine,
    /// A registry or a server that the job names.
    Network,
    /// The settings of the worker's owner.
    Settings,
    /// The API, its database or its storage.
    Cluster,
}

impl EndFault {
    /// Its name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Machine => "machine",
            Self::Network => "network",
            Self::Settings => "settings",
            Self::Cluster => "cluster",
        }
    }
}

impl std::str::FromStr for EndFault {
    type Err = UnknownEnd;

    fn from_str(text: &str) -> Result<Self, UnknownEnd> {
        let all = [Self::Job, Self::Machine, Self::Network, Self::Settings, Self::Cluster];
        all.into_iter().find(|fault| fault.as_str() == text).ok_or(UnknownEnd)
    }
}

/// A code or a fault that this release does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this release does not know the code; read the message beside it")]
pub struct UnknownEnd;

/// Most bytes of a code.
pub const END_CODE_BYTES_MAX: usize = 64;

/// Whether a text has the form of a code: lowercase words joined by `-`.
pub fn is_end_code(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= END_CODE_BYTES_MAX && text.split('-').all(is_word)
}

macro_rules! end_codes {
    ($($variant:ident $code:literal $fault:ident $meaning:literal)*) => {
        /// Why a job has no result, for programs. `Success` has no code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EndCode {
            $(#[doc = $meaning] $variant,)*
        }

        impl EndCode {
            /// All codes, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Whose fault it is.
            pub const fn fault(self) -> EndFault {
                match self { $(Self::$variant => EndFault::$fault,)* }
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

end_codes! {
    DefinitionInvalid "definition-invalid" Job "The definition cannot be run as it is written."
    CommandInvalid "command-invalid" Job "The command, the entrypoint or a size in the definition is invalid."
    CommandNotFound "command-not-found" Job "The image does not have the program, so the container could not start."
    CommandNotExecutable "command-not-executable" Job "The program is in the image but is not executable."
    ContainerRefused "container-refused" Job "The engine refused the container because of something in the definition."
    OutOfMemory "out-of-memory" Job "The job used more memory than it may."
    DiskExceeded "disk-exceeded" Job "The job wrote more to disk than it may."
    WroteToStderr "wrote-to-stderr" Job "The job wrote to stderr, and its worker counts that as a failure."
    TimedOut "timed-out" Job "The job ran longer than it may."
    TimedOutByWorker "timed-out-by-worker" Settings "The job ran longer than this worker allows, but not longer than it asks for."

    ImageReferenceInvalid "image-reference-invalid" Job "The name of the image is invalid."
    ImageNotFound "image-not-found" Job "The registry does not know the image."
    ImageDenied "image-denied" Job "The registry does not give this worker the image."
    ImageNoPlatform "image-no-platform" Machine "The registry does not have the image for the worker's platform."
    ImagePlatformMismatch "image-platform-mismatch" Machine "The image is made for another platform than the worker's."
    PullFailed "pull-failed" Network "The registry could not be reached or answered with a temporary error."
    PullSilent "pull-silent" Network "The registry began to answer and then sent nothing more."
    UnpackStalled "unpack-stalled" Machine "The engine took too long to unpack the image."
    ImageVanished "image-vanished" Machine "The image was there and was removed before the job started."
    LoginUnavailable "login-unavailable" Settings "The worker's owner has a login for the registry that the worker cannot read."
    RegistryNotAllowed "registry-not-allowed" Settings "The worker's owner does not allow this registry."

    UrlNotAllowed "url-not-allowed" Settings "The worker's owner does not allow an address that the job names."

    BuildFailed "build-failed" Job "A step of the image's build failed."
    BuildTimedOut "build-timed-out" Job "The build took longer than the job may."
    BuildExceeded "build-exceeded" Job "The build used more disk than it may."
    BuildContextInvalid "build-context-invalid" Job "The build's context cannot be used."
    BuildContextNotFound "build-context-not-found" Job "The server of the build's context does not have it or does not give it."
    BuildContextUnreachable "build-context-unreachable" Network "The build's context could not be fetched; another try may succeed."
    BuildBaseUnreachable "build-base-unreachable" Network "The registry of a base image could not be reached or answered with a temporary error."
    BuildBroken "build-broken" Machine "The engine broke off the build."
    BuildsDisabled "builds-disabled" Settings "The worker's owner has turned builds off."

    InputInvalid "input-invalid" Job "The definition gives an input with a value that cannot be read, or with a path that cannot be used."
    InputNotFound "input-not-found" Job "The server of an input does not have it or does not give it."
    InputUnreachable "input-unreachable" Network "An input could not be fetched; another try may succeed."
    StorageUnreachable "storage-unreachable" Cluster "A stored input could not be fetched; another try may succeed."
    OutputRefused "output-refused" Job "An output cannot be stored."
    OutputNotStored "output-not-stored" Cluster "The storage did not take an output."

    SecretMissing "secret-missing" Settings "The worker does not have a secret that the job names."
    MachineCannotRun "machine-cannot-run" Settings "The worker's engine cannot run a container with the limits and gpus that the worker offers."
    EngineGone "engine-gone" Machine "The worker's engine stopped answering."
    EngineRefused "engine-refused" Machine "The worker's engine failed to run the container."
    DiskFull "disk-full" Machine "The worker's disk is full or cannot be used."
    WorkerBroken "worker-broken" Machine "The worker had an internal error."
    DefinitionLost "definition-lost" Cluster "The stored definition is gone."

    WorkersLost "workers-lost" Machine "Several workers were lost while they ran the job."
    ReleasedTooOften "released-too-often" Machine "Workers released the job several times, for reasons that were not the job's fault."
}

impl std::fmt::Display for EndCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for EndCode {
    type Err = UnknownEnd;

    fn from_str(text: &str) -> Result<Self, UnknownEnd> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownEnd)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_unique_and_reads_back() {
        let codes: BTreeSet<&str> = EndCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), EndCode::ALL.len());
        for code in EndCode::ALL {
            assert!(is_end_code(code.as_str()), "{code}");
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert_eq!(code.fault().as_str().parse(), Ok(code.fault()));
            assert!(code.meaning().ends_with('.'), "{code}");
        }
        assert_eq!("from-a-later-release".parse::<EndCode>(), Err(UnknownEnd));
    }

    #[test]
    fn a_code_is_lowercase_words_and_short() {
        for bad in ["", "-", "a-", "A", "a b", "a_b", "a\n", &"a".repeat(65)] {
            assert!(!is_end_code(bad), "{bad:?}");
        }
    }
}
