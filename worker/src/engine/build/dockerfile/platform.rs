//! The arguments about platforms that `BuildKit` gives to every Dockerfile.

/// The platforms that a build runs on and builds for, such as `linux/arm64` or `linux/arm/v7`.
#[derive(Clone, Debug)]
pub(in crate::engine::build) struct Platforms {
    build: String,
    target: String,
}

impl Platforms {
    /// `target` is the platform of the definition, if it has one.
    pub(in crate::engine::build) fn new(engine: &str, target: Option<&str>) -> Self {
        let build = normal(engine);
        let target = target.map_or_else(|| build.clone(), normal);
        Self { build, target }
    }

    /// The value of an argument. None when no argument about platforms has this name.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let (of, part) = match name.strip_prefix("TARGET") {
            Some(part) => (&self.target, part),
            None => (&self.build, name.strip_prefix("BUILD")?),
        };
        let mut parts = of.splitn(3, '/');
        let (os, arch, variant) = (parts.next()?, parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match part {
            "PLATFORM" => Some(of.clone()),
            "OS" => Some(os.to_owned()),
            "ARCH" => Some(arch.to_owned()),
            "VARIANT" => Some(variant.to_owned()),
            _ => None,
        }
    }

    /// Whether a platform is the target, so that `FROM` need not name it.
    pub(super) fn is_target(&self, platform: &str) -> bool {
        normal(platform) == self.target
    }
}

/// A platform in the spelling of containerd.
fn normal(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let (os, rest) = text.split_once('/').unwrap_or(("linux", &text));
    let (arch, variant) = rest.split_once('/').unwrap_or((rest, ""));
    let (arch, variant) = match (arch, variant) {
        ("x86_64" | "x86-64" | "amd64", _) => ("amd64", ""),
        ("aarch64", "" | "v8") | ("arm64", "v8") => ("arm64", ""),
        ("i386" | "i686", _) => ("386", ""),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        other => other,
    };
    if variant.is_empty() { format!("{os}/{arch}") } else { format!("{os}/{arch}/{variant}") }
}
