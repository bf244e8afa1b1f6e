//! What an end of a job means: one table of codes, and whose fault each of them is.
//!
//! Invariants: a code is never renamed and never gets another fault, because clients switch on both. The sentence in `message` is
//! for people and may change. On the wire a code is a text, so that a client reads the codes of a later release too; `fault` goes
//! beside it for the same reason.

use serde::{Deserialize, Serialize};

/// Whose fault it is that a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(rename = "Fault"))]
#[serde(rename_all = "kebab-case")]
pub enum EndFault {
    /// The definition's, or that of what it names: it would end the same on any worker. Only such a failure answers later
    /// submissions of the job.
    Job,
    /// The worker's machine or its engine.
    Machine,
    /// A registry or a server that the job names did not answer well.
    Network,
    /// The settings of the worker's owner.
    Settings,
    /// The API, its database or its storage.
    Cluster,
}

impl EndFault {
    /// The wire's word for it, which is also the database's.
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

/// Longest code.
pub const END_CODE_BYTES_MAX: usize = 64;

/// Whether a text can be a code: lowercase words joined by `-`.
pub fn is_end_code(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= END_CODE_BYTES_MAX && text.split('-').all(is_word)
}

macro_rules! end_codes {
    ($($variant:ident $code:literal $fault:ident $meaning:literal)*) => {
        /// Why a job has no result, as programs read it. `Success` needs none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EndCode {
            $(#[doc = $meaning] $variant,)*
        }

        impl EndCode {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The wire's word for it, which is also the database's.
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
    CommandInvalid "command-invalid" Job "The command, entrypoint or a size in the definition cannot be read."
    CommandNotFound "command-not-found" Job "The image has no such program, so the container could not start."
    CommandNotExecutable "command-not-executable" Job "The program is in the image and may not be executed."
    ContainerRefused "container-refused" Job "The engine refuses the container for something that the definition asks for."
    OutOfMemory "out-of-memory" Job "The job used more memory than it may."
    DiskExceeded "disk-exceeded" Job "The job wrote more to disk than it may."
    WroteToStderr "wrote-to-stderr" Job "The job wrote to stderr, and its worker counts that as a failure."
    TimedOut "timed-out" Job "The job ran longer than it may."
    TimedOutByWorker "timed-out-by-worker" Settings "The job took longer than this worker lets jobs take, and less than it asks for."

    ImageReferenceInvalid "image-reference-invalid" Job "The image's name cannot be one."
    ImageNotFound "image-not-found" Job "The registry does not know the image."
    ImageDenied "image-denied" Job "The registry does not let this worker have the image."
    ImageNoPlatform "image-no-platform" Machine "The registry has the image for other platforms than the worker's."
    ImagePlatformMismatch "image-platform-mismatch" Machine "The image is made for another platform than the worker's."
    PullFailed "pull-failed" Network "The registry could not be reached or answered with an error that passes."
    PullSilent "pull-silent" Network "The registry began to answer and then said nothing more."
    UnpackStalled "unpack-stalled" Machine "The engine took too long to unpack the image."
    ImageVanished "image-vanished" Machine "The image was there and was removed before the job started."
    RegistryNotAllowed "registry-not-allowed" Settings "The worker's owner does not allow this registry."

    UrlNotAllowed "url-not-allowed" Settings "The worker's owner does not allow the address of something that the job names."

    BuildFailed "build-failed" Job "A step of the image's build failed."
    BuildTimedOut "build-timed-out" Job "The build took longer than the job may."
    BuildExceeded "build-exceeded" Job "The build used more disk than it may."
    BuildContextInvalid "build-context-invalid" Job "The build's context cannot be used."
    BuildContextNotFound "build-context-not-found" Job "The server of the build's context does not have it or does not give it."
    BuildContextUnreachable "build-context-unreachable" Network "The build's context could not be fetched; another try may succeed."
    BuildBaseUnreachable "build-base-unreachable" Network "The registry of a base image could not be reached or answered with an error that passes."
    BuildBroken "build-broken" Machine "The engine broke off the build."
    BuildsDisabled "builds-disabled" Settings "The worker's owner has turned builds off."

    InputInvalid "input-invalid" Job "An input cannot be read or placed as the definition gives it."
    InputNotFound "input-not-found" Job "The server of an input does not have it or does not give it."
    InputUnreachable "input-unreachable" Network "An input could not be fetched; another try may succeed."
    StorageUnreachable "storage-unreachable" Cluster "A stored input could not be fetched; another try may succeed."
    OutputRefused "output-refused" Job "An output cannot be kept."
    OutputNotStored "output-not-stored" Cluster "The storage did not take an output."

    SecretMissing "secret-missing" Settings "The worker does not have a secret that the job names."
    MachineCannotRun "machine-cannot-run" Settings "The worker's engine cannot run a container with what the worker offers."
    EngineGone "engine-gone" Machine "The worker's engine stopped answering."
    EngineRefused "engine-refused" Machine "The worker's engine failed to run the container."
    DiskFull "disk-full" Machine "The worker's disk is full or cannot be used."
    WorkerBroken "worker-broken" Machine "The worker met an error of its own."
    DefinitionLost "definition-lost" Cluster "The stored definition is gone."

    WorkersLost "workers-lost" Machine "Several workers were lost while they ran the job."
    ReleasedTooOften "released-too-often" Machine "Several times a worker gave the job back, for reasons that were not the job's."
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
    fn every_code_is_one_of_a_kind_and_reads_back() {
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
