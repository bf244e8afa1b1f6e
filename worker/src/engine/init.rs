//! Whether a container gets an init from the engine: not if its image has one.
//!
//! An init that is not the first process refuses to work (the init of s6 ends with exit code 100) or does not collect orphans. The worker
//! recognizes an init of the image by the name of the program that the container starts.

use crate::engine::{ContainerSpec, ImageFacts};

/// Programs that must be the first process, by file name.
const INITS: [&str; 19] = [
    "init",
    "tini",
    "tini-static",
    "tini-amd64",
    "tini-arm64",
    "dumb-init",
    "docker-init",
    "catatonit",
    "s6-svscan",
    "s6-overlay",
    "s6-linux-init",
    "s6-overlay-suexec",
    "systemd",
    "runit",
    "runit-init",
    "openrc-init",
    "my_init",
    "pid1",
    "podman-init",
];

/// Whether a container gets an init from the engine.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Init {
    /// Yes, unless its program is an init itself, such as /init, tini, dumb-init or systemd.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: the job's program is the first process.
    Never,
}

impl Init {
    /// Whether [`is_given`](Self::is_given) depends on the image.
    pub(crate) fn needs_image(self) -> bool {
        self == Self::Auto
    }

    /// Whether this container gets an init.
    pub(crate) fn is_given(self, spec: &ContainerSpec, image: &ImageFacts) -> bool {
        match self {
            Self::Auto => !program(spec, image).is_some_and(is_init),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// The program that the engine starts. An entrypoint of the definition replaces the image's entrypoint and its command.
fn program<'a>(spec: &'a ContainerSpec, image: &'a ImageFacts) -> Option<&'a str> {
    let entrypoint = spec.entrypoint.as_ref();
    let commands = spec.command.as_ref().or_else(|| entrypoint.is_none().then_some(&image.command));
    let words = entrypoint.unwrap_or(&image.entrypoint).iter().chain(commands.into_iter().flatten());
    behind_env(words.map(String::as_str))
}

/// The program itself, or the program that `env A=b` starts. `env` replaces itself by that program as `exec` does.
fn behind_env<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let first = words.next()?;
    if file_name(first) == "env" { words.find(|word| !word.starts_with('-') && !word.contains('=')) } else { Some(first) }
}

fn is_init(program: &str) -> bool {
    INITS.contains(&file_name(program))
}

fn file_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn gets_one(entrypoint: Option<&str>, command: Option<&str>, image: (&str, &str)) -> bool {
        let spec = ContainerSpec { entrypoint: entrypoint.map(words), command: command.map(words), ..ContainerSpec::default() };
        let image = ImageFacts { entrypoint: words(image.0), command: words(image.1), ..ImageFacts::default() };
        Init::Auto.is_given(&spec, &image)
    }

    #[test]
    fn an_image_that_starts_an_init_gets_no_second_one() {
        for image in ["/init", "/sbin/init", "/usr/bin/tini -g --", "dumb-init", "/usr/bin/env PATH=/x s6-svscan /services"] {
            assert!(!gets_one(None, Some("sleep 1"), (image, "")), "{image}");
            assert!(!gets_one(None, None, ("", image)), "{image} as the command");
            assert!(!gets_one(Some(image), None, ("sh", "")), "{image} of the definition");
            assert!(gets_one(Some("sh"), None, (image, image)), "the definition starts something else");
        }
        assert!(!gets_one(None, Some("/init x"), ("", "sh")));
        for image in ["", "sh -c /init", "/usr/sbin/initialise", "env"] {
            assert!(gets_one(None, None, (image, "")), "{image}");
        }
        let spec = ContainerSpec { entrypoint: Some(words("/init")), ..ContainerSpec::default() };
        assert!(Init::Always.is_given(&spec, &ImageFacts::default()) && !Init::Never.is_given(&spec, &ImageFacts::default()));
    }
}
