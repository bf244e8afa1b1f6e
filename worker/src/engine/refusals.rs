//! Finds the end code of a refusal from the failed action and the engine's status or the exit code.
//!
//! # Invariants
//!
//! - Statuses, exit codes and phases decide. The engine's sentences quote the definition (its working directory, variables and
//!   command), so a phrase in a sentence proves nothing.
//! - The worker reads a message only where it has nothing else: an engine reports a registry's answer only as text ([`pull`], [`base`]),
//!   and git reports a server's answer only as text ([`git`]). The text only distinguishes a server's final answer from a temporary one,
//!   and names in it never count. A server that sends a misleading text harms only the jobs that name this server, because none of
//!   these codes stops the worker from running other jobs.

use protocol::{EndCode, ImageReference};

use super::Fault;

/// What the worker asked the engine to do with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Create,
    Start,
}

/// What the refusal of a container means before anything else is tried. None when only a trial can show that.
pub(crate) fn container(phase: Phase, fault: &Fault, exit_code: Option<i64>) -> Option<EndCode> {
    match (phase, fault, exit_code) {
        (_, Fault::Host(_), _) => Some(EndCode::EngineGone),
        // The engine reports these codes, like a shell, for the program itself. Every other failure to start is 128.
        (Phase::Start, _, Some(127)) => Some(EndCode::CommandNotFound),
        (Phase::Start, _, Some(126)) => Some(EndCode::CommandNotExecutable),
        // The image, the network or the sandbox was removed a moment ago.
        (Phase::Create, Fault::Refused { status: 404, .. }, _) => Some(EndCode::ImageVanished),
        (_, Fault::Refused { status: 404 | 409, .. }, _) => Some(EndCode::EngineRefused),
        _ => None,
    }
}

/// What the refusal means after this machine has started a trial container with the same limits and without the definition's text.
/// None when the engine should be asked once more, because the problem may have passed.
pub(crate) const fn container_after_trial(fault: &Fault, is_second: bool) -> Option<EndCode> {
    match fault {
        Fault::Host(_) => Some(EndCode::EngineGone),
        // The engine refuses this container and accepts the trial.
        Fault::Refused { status: 400..=499, .. } => Some(EndCode::ContainerRefused),
        Fault::Refused { .. } if is_second => Some(EndCode::ContainerRefused),
        Fault::Refused { .. } => None,
    }
}

/// What a failed pull means. Docker 20.10 answers 404 when the registry does not know the image or denies it. It reports all other
/// answers as text, with status 500 or inside the stream.
pub(crate) fn pull(fault: &Fault, image: &ImageReference) -> EndCode {
    let Fault::Refused { status, message } = fault else { return EndCode::EngineGone };
    let words = message.replace(&image.to_string(), "").replace(&image.name, "");
    of_registry(*status, &words)
}

/// What a failed pull of a base image means. Its name is known only to the Dockerfile, so every word that looks like a name is removed.
pub(crate) fn base(message: &str) -> EndCode {
    let is_name = |word: &&str| word.contains(['/', ':', '@']) && !word.ends_with(':');
    let words: Vec<&str> = message.split(' ').filter(|word| !is_name(word)).collect();
    // This is how BuildKit reports an image that the registry does not know.
    let is_unknown = message.starts_with("failed to solve") && message.ends_with(": not found");
    match of_registry(500, &words.join(" ")) {
        EndCode::PullFailed if is_unknown => EndCode::ImageNotFound,
        EndCode::PullFailed => EndCode::BuildBaseUnreachable,
        code => code,
    }
}

fn of_registry(status: u16, words: &str) -> EndCode {
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    // Podman quotes the manifest that it asked for. All these phrases contain blanks, so they cannot come from a name.
    let is_podman = says(&["reading manifest "]);
    let is_denied = || {
        says(&["pull access denied", "no basic auth credentials", "insufficient_scope"])
            || words.starts_with("unauthorized: ")
            || (is_podman && says(&[": unauthorized: ", ": denied: "]))
    };
    let platforms = [
        "no matching manifest for",
        "no match for platform in manifest",
        "no image found in manifest list for architecture",
        "no image found in image index for architecture",
    ];
    match status {
        400 => EndCode::ImageReferenceInvalid,
        401 | 403 => EndCode::ImageDenied,
        _ if is_denied() => EndCode::ImageDenied,
        404 => EndCode::ImageNotFound,
        _ if says(&platforms) => EndCode::ImageNoPlatform,
        _ if is_podman && says(&[": manifest unknown", ": name unknown"]) => EndCode::ImageNotFound,
        _ if says(&["not found: manifest unknown", "not found: name unknown", "failed to resolve reference : not found"]) => {
            EndCode::ImageNotFound
        }
        _ => EndCode::PullFailed,
    }
}

/// What a failed build by the classic builder means. `step` is the builder's line about the current instruction.
pub(crate) fn build(fault: &Fault, step: Option<&str>) -> EndCode {
    let Fault::Refused { status, message } = fault else { return EndCode::BuildBroken };
    let instruction = step.and_then(|step| step.split_once(" : ")).map_or("", |(_, rest)| rest.trim_start());
    let is_at = |word: &str| instruction.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    match status {
        // The Dockerfile could not be read, or a command failed.
        400..=499 => EndCode::BuildFailed,
        _ if is_at("FROM ") => base(message),
        // `ADD` gets the file from a server.
        _ if is_at("ADD ") && instruction.contains("://") => EndCode::BuildContextUnreachable,
        // The engine names the failed instruction first, so text of the build cannot be at the start of the message.
        _ if message.starts_with("COPY failed: ") || message.starts_with("ADD failed: ") => EndCode::BuildFailed,
        _ => EndCode::EngineRefused,
    }
}

/// What git's stderr means. Git's exit code is the same for all errors. The phrases contain blanks, so they cannot come from a URL.
pub(crate) fn git(stderr: &str) -> EndCode {
    let is_final = ["not our ref", "find remote ref"].iter().any(|phrase| stderr.contains(phrase));
    if is_final { EndCode::BuildContextNotFound } else { EndCode::BuildContextUnreachable }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> Fault {
        Fault::Refused { status, message: message.to_owned() }
    }

    #[test]
    fn only_a_registrys_final_answers_are_the_jobs() {
        let image: ImageReference = "127.0.0.1:5000/no-such-host/a:v1".parse().unwrap();
        for (status, words, code) in [
            (404, "manifest for 127.0.0.1:5000/no-such-host/a:v1 not found: manifest unknown: words", EndCode::ImageNotFound),
            (404, "repository 127.0.0.1:5000/no-such-host/a not found: name unknown: words", EndCode::ImageNotFound),
            (404, "pull access denied for x, repository does not exist or may require 'docker login'", EndCode::ImageDenied),
            (500, "unauthorized: authentication required", EndCode::ImageDenied),
            (500, "Head \"https://h/v2/a/manifests/v1\": no basic auth credentials", EndCode::ImageDenied),
            (500, "no matching manifest for linux/amd64 in the manifest list entries", EndCode::ImageNoPlatform),
            (500, "toomanyrequests: words", EndCode::PullFailed),
            (500, "received unexpected HTTP status: 503 Service Unavailable", EndCode::PullFailed),
            (500, "Head \"http://127.0.0.1:5000/v2/a/manifests/v1\": EOF", EndCode::PullFailed),
            (500, "dial tcp: lookup nowhere.invalid: no such host", EndCode::PullFailed),
            (500, "unavailable: words", EndCode::PullFailed),
            (500, "initializing source docker://h/a:v1: reading manifest v1 in h/a: manifest unknown", EndCode::ImageNotFound),
            (500, "initializing source docker://h/a:v1: reading manifest v1 in h/a: unauthorized: words", EndCode::ImageDenied),
            (500, "choosing image instance: no image found in manifest list for architecture arm64", EndCode::ImageNoPlatform),
            (500, "pinging container registry h: Get \"https://h/v2/\": EOF", EndCode::PullFailed),
        ] {
            assert_eq!(pull(&refused(status, words), &image), code, "{words}");
        }
        assert_eq!(pull(&Fault::Host("gone".to_owned()), &image), EndCode::EngineGone);
    }

    #[test]
    fn a_build_fails_for_its_base_its_commands_or_the_machine() {
        let from = Some("1/2 : FROM 127.0.0.1:5000/a:v1");
        assert_eq!(
            build(&refused(500, "received unexpected HTTP status: 503 Service Unavailable"), from),
            EndCode::BuildBaseUnreachable
        );
        assert_eq!(
            build(&refused(500, "manifest for 127.0.0.1:5000/a:v1 not found: manifest unknown: x"), from),
            EndCode::ImageNotFound
        );
        assert_eq!(
            build(&refused(400, "The command '/bin/sh -c no space left on device' returned 1"), from),
            EndCode::BuildFailed
        );
        assert_eq!(build(&refused(500, "write /x: no space left on device"), Some("2/2 : COPY a b")), EndCode::EngineRefused);
        assert_eq!(
            build(&refused(500, "COPY failed: file not found in build context"), Some("2/2 : COPY a b")),
            EndCode::BuildFailed
        );
        assert_eq!(build(&refused(400, "dockerfile parse error"), None), EndCode::BuildFailed);
        assert_eq!(build(&Fault::Host("gone".to_owned()), from), EndCode::BuildBroken);
        let by_buildkit =
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: 127.0.0.1:5000/a:v1: not found";
        assert_eq!(build(&refused(500, by_buildkit), Some("1 : FROM 127.0.0.1:5000/a:v1")), EndCode::ImageNotFound);
        let elsewhere = "failed to solve: 127.0.0.1:5000/a:v1: no match for platform in manifest: not found";
        assert_eq!(build(&refused(500, elsewhere), Some("1 : FROM 127.0.0.1:5000/a:v1")), EndCode::ImageNoPlatform);
        let away = "failed to solve with frontend dockerfile.v0: failed to do request: Head \"http://h/v2\": connection refused";
        assert_eq!(build(&refused(500, away), Some("1 : FROM h/a:v1")), EndCode::BuildBaseUnreachable);
    }

    #[test]
    fn the_engines_words_about_a_container_decide_nothing() {
        for words in
            ["no space left on device", "No such image", "network asman-x", "context canceled", "dial unix", "storage-opt"]
        {
            assert_eq!(container(Phase::Create, &refused(400, words), None), None);
            assert_eq!(container_after_trial(&refused(400, words), false), Some(EndCode::ContainerRefused));
            assert_eq!(container_after_trial(&refused(500, words), false), None);
        }
        assert_eq!(container(Phase::Start, &refused(400, "x"), Some(127)), Some(EndCode::CommandNotFound));
        assert_eq!(container(Phase::Create, &refused(400, "x"), Some(127)), None, "nothing has started");
    }
}
