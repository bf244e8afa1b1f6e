//! Where each input and config file goes.
//!
//! Relative names land below `/inputs`; absolute config files are written aside and mounted read-only at their place. That each
//! name has plain segments was checked when the definition was read; here is checked what depends on the other names, and on what
//! the container has at that place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use protocol::{DataRef, Definition, nested_file};

use crate::data_directory::Scratch;
use crate::executor::Mount;

/// Folders where no config file can be put, and why. `/inputs` takes them as inputs.
const RESERVED: [(&str, &str); 5] = [
    ("/outputs", "what is there is handed back as the job's outputs"),
    ("/job-cache", "all jobs of the queue share it"),
    ("/proc", "the kernel's own files are there"),
    ("/sys", "the kernel's own files are there"),
    ("/dev", "the kernel's own files are there"),
];

/// One file to write.
pub(super) struct Place<'a> {
    pub(super) path: PathBuf,
    pub(super) name: &'a str,
    pub(super) reference: &'a DataRef,
}

/// All files of a job, and the mounts that bring those with absolute names to their place.
pub(super) struct Places<'a> {
    pub(super) files: Vec<Place<'a>>,
    pub(super) mounts: Vec<Mount>,
}

impl<'a> Places<'a> {
    /// Places every file, or says in a sentence why one cannot be.
    pub(super) fn of(definition: &'a Definition, scratch: &Scratch) -> Result<Self, String> {
        // By path below /inputs: an input wins over a config file of the same name.
        let mut below: BTreeMap<&str, (&str, &DataRef)> = BTreeMap::new();
        let (mut files, mut mounts) = (Vec::new(), Vec::new());
        let mut targets = BTreeSet::new();
        for (name, reference) in definition.config_files.iter().flatten() {
            if let Some(relative) = below_inputs(name) {
                below.insert(relative, (name, reference));
                continue;
            }
            check_target(name)?;
            targets.insert(name.as_str());
            let source = scratch.configs().join(mounts.len().to_string());
            mounts.push(Mount { source: source.clone(), target: name.clone(), is_read_only: true });
            files.push(Place { path: source, name, reference });
        }
        let inputs = definition.inputs.iter().flatten();
        below.extend(inputs.map(|(name, reference)| (name.as_str(), (name.as_str(), reference))));
        check_folders(&targets)?;
        check_folders(&below.keys().copied().collect())?;
        let placed = |(relative, (name, reference))| Place { path: scratch.inputs().join(relative), name, reference };
        files.extend(below.into_iter().map(placed));
        Ok(Self { files, mounts })
    }
}

/// A config file's name below `/inputs`: a relative one, or an absolute one in that read-only folder, where nothing can be mounted.
fn below_inputs(name: &str) -> Option<&str> {
    name.strip_prefix("/inputs/").or((!name.starts_with('/')).then_some(name))
}

fn check_target(name: &str) -> Result<(), String> {
    if name == "/inputs" {
        return Err("config file \"/inputs\" would stand in place of all inputs; give a name below it".to_owned());
    }
    let is_in = |folder: &str| name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match RESERVED.iter().find(|(folder, _)| is_in(folder)) {
        Some((folder, why)) => Err(format!("config file {name:?} cannot be put in {folder}: {why}")),
        None => Ok(()),
    }
}

/// No file may be another one's folder. The API refuses such a job; one that was submitted earlier may be there.
fn check_folders(names: &BTreeSet<&str>) -> Result<(), String> {
    nested_file(names)
        .map_or(Ok(()), |(folder, name)| Err(format!("input {folder:?} is both a file and a folder: {name:?} is below it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_config_file_shadows_what_the_container_needs() {
        for bad in ["/inputs", "/outputs", "/outputs/a", "/job-cache/a", "/proc", "/proc/self/a", "/sys/a", "/dev/null", "/dev"] {
            assert!(check_target(bad).is_err(), "{bad}");
        }
        for good in ["/etc/x.conf", "/outputs2", "/device", "/process/a", "/root/.netrc"] {
            assert_eq!(check_target(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_file_is_nobodys_folder() {
        let check = |names: &[&str]| check_folders(&names.iter().copied().collect());
        assert!(check(&["a", "a.b", "a/b/c"]).unwrap_err().contains("both a file and a folder"));
        assert!(check(&["/etc/x", "/etc/x/y"]).is_err());
        assert_eq!(check(&["a", "ab/c", "A/b", "\u{e4}", "a\u{308}/x"]), Ok(()));
    }
}
