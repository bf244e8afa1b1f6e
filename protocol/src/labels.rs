//! Labels: a worker gets a job only if it has all labels that the job needs.
//!
//! The author of a job chooses its tags. A tag `x` is the label `tag:x`, so a tag cannot be mistaken for another label. The definition adds
//! implicit labels: `secret:NAME` for each secret, `executor:process` for a script and `executor:container` for everything else, `builds`
//! for an image to build, and `platform:…` for an image of a named platform.
//!
//! Tags are stored with the implicit labels after them, separated by an empty text, which is not a valid tag. `executor:container` is not
//! stored, because most jobs have only this label. `asman.labels_of` and `asman.needs_of` do the same in SQL, and one table of cases tests
//! both.

use crate::definition::Definition;

/// Image of a definition that names a script instead of a container.
pub const SCRIPT_IMAGE: &str = "none";

const PROCESS: &str = "executor:process";
const CONTAINER: &str = "executor:container";
const BUILDS: &str = "builds";

impl Definition {
    /// Whether it names a script in a worker's folder.
    pub fn is_script(&self) -> bool {
        self.build.is_none() && self.image.as_ref().is_some_and(|image| image.trim() == SCRIPT_IMAGE)
    }
}

/// The implicit labels of a definition, except `executor:container`. They are sorted, each once.
pub(crate) fn implicit_labels(definition: &Definition) -> Vec<String> {
    let secrets = definition.secrets.iter().flatten().map(|name| format!("secret:{name}"));
    let platform = definition.build.as_ref().and_then(|build| platform_label(build.platform.as_deref()?));
    let builds = definition.build.as_ref().map(|_| BUILDS.to_owned());
    let script = definition.is_script().then(|| PROCESS.to_owned());
    let mut all: Vec<String> = secrets.chain(platform).chain(builds).chain(script).collect();
    all.sort();
    all.dedup();
    all
}

/// The label of a platform such as `linux/arm64/v8`, in the engines' spelling. None for a text without an architecture, and for one
/// that no engine understands. The job's worker refuses the latter with a sentence.
pub fn platform_label(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if parts.len() > 3 || !parts.iter().all(is_word) {
        return None;
    }
    let (os, rest) = match parts.as_slice() {
        [] | ["linux" | "windows" | "darwin" | "freebsd"] => return None,
        [arch] => ("linux", vec![*arch]),
        [os, rest @ ..] => (*os, rest.to_vec()),
    };
    let arch = match rest.as_slice() {
        ["x86_64" | "x86-64" | "amd64"] => "amd64".to_owned(),
        ["aarch64" | "arm64"] | ["aarch64" | "arm64", "v8"] => "arm64".to_owned(),
        other => other.join("-"),
    };
    Some(format!("platform:{os}-{arch}"))
}

/// The labels of a worker.
pub(crate) fn labels_of_worker(
    tags: &[String],
    secrets: &[String],
    executor: &str,
    platforms: &[String],
    builds: bool,
) -> Vec<String> {
    let mut all: Vec<String> = tags.iter().map(|tag| format!("tag:{tag}")).collect();
    all.extend(secrets.iter().map(|name| format!("secret:{name}")));
    if executor == "process" {
        all.push(PROCESS.to_owned());
    } else {
        all.push(CONTAINER.to_owned());
        all.extend(platforms.iter().filter_map(|platform| platform_label(platform)));
        all.extend(builds.then(|| BUILDS.to_owned()));
    }
    all.sort();
    all.dedup();
    all
}

/// The author's tags among stored ones.
pub fn own_tags(stored: &[String]) -> &[String] {
    let n = stored.iter().position(String::is_empty).unwrap_or(stored.len());
    stored.get(..n).unwrap_or_default()
}

/// All labels of a job with these stored tags, which its worker must have.
pub fn labels_of(stored: &[String]) -> Vec<String> {
    let own = own_tags(stored);
    let implicit = stored.get(own.len() + 1..).unwrap_or_default();
    let mut all: Vec<String> = own.iter().map(|tag| format!("tag:{tag}")).chain(implicit.iter().cloned()).collect();
    if !implicit.iter().any(|label| label == PROCESS) {
        all.push(CONTAINER.to_owned());
    }
    all
}

/// The code for a job that waits because no worker has the label.
pub fn problem_code_of(label: &str) -> &'static str {
    match label.split_once(':') {
        Some(("tag", _)) => "no-tag",
        Some(("secret", _)) => "no-secret",
        Some(("platform", _)) => "no-platform",
        Some(_) => "no-executor",
        None => "no-builder",
    }
}

/// What a label asks for, in words that follow `no connected worker`.
pub fn problem_of(label: &str) -> String {
    match label.split_once(':') {
        Some(("tag", tag)) => format!("carries the tag {tag}"),
        Some(("secret", name)) => format!("has the secret {name}"),
        Some(("platform", platform)) => format!("runs the platform {}", platform.replacen('-', "/", 2)),
        _ if label == PROCESS => "runs scripts: its job names a script and no image".to_owned(),
        _ if label == CONTAINER => "runs containers".to_owned(),
        _ => "builds images".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_spelled_in_one_way() {
        for (text, label) in [
            ("linux/amd64", Some("platform:linux-amd64")),
            ("Linux/X86_64", Some("platform:linux-amd64")),
            ("arm64", Some("platform:linux-arm64")),
            ("linux/arm64/v8", Some("platform:linux-arm64")),
            ("linux/arm/v7", Some("platform:linux-arm-v7")),
            ("linux", None),
            ("linux/amd64,linux/arm64", None),
            ("", None),
            ("a/b/c/d", None),
        ] {
            assert_eq!(platform_label(text).as_deref(), label, "{text}");
        }
    }

    #[test]
    fn a_tag_cannot_be_mistaken_for_an_implicit_label() {
        let text = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let job = labels_of(&text(&["executor:process", "secret:X"]));
        assert_eq!(job, ["tag:executor:process", "tag:secret:X", "executor:container"]);
        let worker = labels_of_worker(&text(&["secret:X"]), &[], "process", &[], true);
        assert_eq!(worker, ["executor:process", "tag:secret:X"]);
        let script = labels_of(&text(&["a", "", "executor:process", "secret:X"]));
        assert_eq!(script, ["tag:a", "executor:process", "secret:X"]);
        assert_eq!(own_tags(&text(&["a", "", "executor:process"])), ["a"]);
        assert_eq!(labels_of(&[]), ["executor:container"]);
    }
}
