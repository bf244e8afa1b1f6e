//! Versions of the engine's parts with known holes that let a job out of its container.

use crate::engine::EngineFacts;

/// A hole, and the first version of each release series without it.
struct Hole {
    part: &'static str,
    /// The fixed versions, oldest series first. A version older than the first has the hole, a version newer than the last does not.
    fixed_in: &'static [[u64; 3]],
    names: &'static str,
}

const HOLES: [Hole; 4] = [
    Hole { part: "runc", fixed_in: &[[1, 1, 12]], names: "CVE-2024-21626" },
    Hole { part: "runc", fixed_in: &[[1, 2, 8], [1, 3, 3]], names: "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881" },
    Hole { part: "Engine", fixed_in: &[[24, 0, 9], [25, 0, 2]], names: "CVE-2024-23651, CVE-2024-23652, CVE-2024-23653" },
    Hole { part: "containerd", fixed_in: &[[1, 6, 18]], names: "CVE-2023-25173" },
];

/// One sentence for each part that is too old.
pub(super) fn warnings(engine: &EngineFacts) -> Vec<String> {
    let mut sentences = Vec::new();
    for (part, version) in &engine.versions {
        let holes: Vec<_> = HOLES.iter().filter(|hole| hole.part == part && hole.is_in(version)).collect();
        if let Some(last) = holes.last() {
            let names: Vec<_> = holes.iter().map(|hole| hole.names).collect();
            let [major, minor, patch] = last.fixed_in[0];
            sentences.push(format!(
                "{part} {version} has {} unless your distribution has fixed it; use {major}.{minor}.{patch} or newer",
                names.join(", ")
            ));
        }
    }
    sentences
}

impl Hole {
    fn is_in(&self, version: &str) -> bool {
        let Some(version) = numbers(version) else { return false };
        match self.fixed_in.iter().find(|fixed| fixed[..2] == version[..2]) {
            Some(fixed) => version < *fixed,
            // A series without a fix: every version older than the newest fixed one has the hole.
            None => self.fixed_in.last().is_some_and(|newest| version < *newest),
        }
    }
}

/// The numbers of a version, such as 1.1.5 for `v1.1.5+ds1-1`. None for a version without numbers, such as a commit.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let plain = version.strip_prefix('v').unwrap_or(version);
    let end = plain.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(plain.len());
    let mut parts = plain[..end].split('.').map(str::parse);
    let (major, minor) = (parts.next()?.ok()?, parts.next()?.ok()?);
    Some([major, minor, parts.next().and_then(Result::ok).unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warn(part: &str, version: &str) -> String {
        let versions = vec![(part.to_owned(), version.to_owned())];
        warnings(&EngineFacts { versions, ..EngineFacts::default() }).concat()
    }

    #[test]
    fn old_parts_are_named_with_what_is_wrong_with_them() {
        assert!(warn("runc", "1.1.5+ds1-1+deb12u1").contains("CVE-2024-21626, CVE-2025-31133"));
        assert!(warn("runc", "1.1.12").starts_with("runc 1.1.12 has CVE-2025-31133"));
        assert!(warn("runc", "1.3.0-rc.1").contains("CVE-2025-52881"));
        for (part, version) in
            [("runc", "1.2.8"), ("runc", "1.3.3"), ("runc", "v1.4.0"), ("Engine", "29.1.0"), ("runc", "unknown")]
        {
            assert_eq!(warn(part, version), "");
        }
        assert!(warn("Engine", "20.10.24+dfsg1").contains("24.0.9"));
        assert!(warn("Engine", "25.0.1").contains("CVE-2024-23651"));
    }
}
