//! The path of each input and config file.
//!
//! Files with relative names go below `/inputs`. Config files with absolute names are written to another folder and mounted read-only at
//! their path. The parser of the definition has checked each name by itself. This module checks a name against the other names and against
//! the container's own folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use protocol::{DataRef, Definition, nested_file};

use crate::data_directory::Scratch;
use crate::engine::Mount;

/// Folders that cannot contain a config file, and why. A config file in `/inputs` counts as an input.
const RESERVED: [(&str, &str); 5] = [
    ("/outputs", "its files are the job's outputs"),
    ("/job-cache", "all jobs of the queue share it"),
    ("/proc", "it has the kernel's own files"),
    ("/sys", "it has the kernel's own files"),
    ("/dev", "it has the kernel's own files"),
];

/// One file to write.
pub(super) struct InputFile<'a> {
    pub(super) path: PathBuf,
    pub(super) name: &'a str,
    pub(super) reference: &'a DataRef,
}

/// All files of a job, and the mounts of those with absolute names.
pub(super) struct InputFiles<'a> {
    pub(super) files: Vec<InputFile<'a>>,
    pub(super) mounts: Vec<Mount>,
}

impl<'a> InputFiles<'a> {
    /// Decides the path of every file. Fails with a sentence when a file cannot have its path.
    pub(super) fn of(definition: &'a Definition, scratch: &Scratch) -> Result<Self, String> {
        // Sorted by path below /inputs. An input wins over a config file of the same name.
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
            files.push(InputFile { path: source, name, reference });
        }
        let inputs = definition.inputs.iter().flatten();
        below.extend(inputs.map(|(name, reference)| (name.as_str(), (name.as_str(), reference))));
        check_folders(&targets)?;
        check_folders(&below.keys().copied().collect())?;
        let placed = |(relative, (name, reference))| InputFile { path: scratch.inputs().join(relative), name, reference };
        files.extend(below.into_iter().map(placed));
        Ok(Self { files, mounts })
    }
}

/// A config file's name below `/inputs`: its relative name, or the rest of an absolute name in `/inputs`, because nothing can be mounted
/// in that read-only folder.
fn below_inputs(name: &str) -> Option<&str> {
    name.strip_prefix("/inputs/").or((!name.starts_with('/')).then_some(name))
}

fn check_target(name: &str) -> Result<(), String> {
    if name == "/inputs" {
        return Err("config file \"/inputs\" would replace the folder of all inputs; give a name below it".to_owned());
    }
    let is_in = |folder: &str| name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match RESERVED.iter().find(|(folder, _)| is_in(folder)) {
        Some((folder, why)) => Err(format!("config file {name:?} cannot be put in {folder}: {why}")),
        None => Ok(()),
    }
}

/// Refuses a file that is also the folder of another file. The API refuses such a job too, but one may have been submitted to an earlier
/// release.
fn check_folders(names: &BTreeSet<&str>) -> Result<(), String> {
    nested_file(names)
        .map_or(Ok(()), |(folder, name)| Err(format!("input {folder:?} is both a file and a folder: {name:?} is below it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_config_file_replaces_a_folder_that_the_container_needs() {
        for bad in ["/inputs", "/outputs", "/outputs/a", "/job-cache/a", "/proc", "/proc/self/a", "/sys/a", "/dev/null", "/dev"] {
            assert!(check_target(bad).is_err(), "{bad}");
        }
        for good in ["/etc/x.conf", "/outputs2", "/device", "/process/a", "/root/.netrc"] {
            assert_eq!(check_target(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_file_cannot_be_the_folder_of_another_file() {
        let check = |names: &[&str]| check_folders(&names.iter().copied().collect());
        assert!(check(&["a", "a.b", "a/b/c"]).unwrap_err().contains("both a file and a folder"));
        assert!(check(&["/etc/x", "/etc/x/y"]).is_err());
        assert_eq!(check(&["a", "ab/c", "A/b", "\u{e4}", "a\u{308}/x"]), Ok(()));
    }
}
