//! `--dockerfile`, `--build-context` and what goes with them: the definition's build block.
//!
//! A folder of this machine is sent as a tar through `/f`, named by its SHA-256. The tar contains names, contents and the
//! executable bit, in a fixed order and with a fixed time, so that the same files make the same job. The worker leaves out what
//! `.dockerignore` excludes.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::inputs::InputFile;
use crate::client::Client;
use crate::failure::Failure;
use crate::text_file;

/// Most bytes of a Dockerfile, the same as in workers.
const DOCKERFILE_BYTES_MAX: usize = 256 * 1024;
/// Most files and folders of a context.
const ENTRIES_MAX: usize = 100_000;
const CHUNK_BYTES: usize = 256 * 1024;

/// How to build the image of a job.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Instead of --image: build an image")]
pub(crate) struct BuildArgs {
    /// Build the job's image from this Dockerfile; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    dockerfile: Option<PathBuf>,
    /// The source of files for COPY: a folder of this machine, or the URL of a git repository or an archive. Without
    /// --dockerfile, the context's own Dockerfile is built.
    #[arg(long = "build-context", value_name = "FOLDER|URL")]
    context: Option<String>,
    /// Stage of the Dockerfile to build.
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Value of an ARG of the Dockerfile; the flag may be repeated. Everyone who knows the queue can read it.
    #[arg(long = "build-arg", value_name = "K=V")]
    values: Vec<String>,
    /// Platform to build for, such as linux/arm64.
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
}

/// A packed folder.
#[derive(Debug)]
pub(super) struct PackedContext(InputFile, #[expect(dead_code, reason = "removed when it is dropped")] tempfile::NamedTempFile);

impl PackedContext {
    /// The file to send.
    pub(super) fn file(&self) -> &InputFile {
        &self.0
    }
}

impl BuildArgs {
    fn is_given(&self) -> bool {
        let Self { dockerfile, context, target, values, platform } = self;
        dockerfile.is_some() || context.is_some() || target.is_some() || !values.is_empty() || platform.is_some()
    }

    /// Whether these flags describe an image to build.
    fn is_whole(&self) -> bool {
        self.dockerfile.is_some() || self.context.is_some()
    }

    /// Adds the build block to a definition, and packs the folder of its context.
    pub(super) fn add_to(&self, members: &mut Map<String, Value>, client: &Client) -> Result<Option<PackedContext>, Failure> {
        if !self.is_given() {
            return Ok(None);
        }
        let refuse = |sentence: &str| Err(Failure::BadInput(sentence.to_owned()));
        if members.get("image").is_some_and(|image| !image.is_null()) {
            return refuse("the job has an image and also builds one; give either --image, or --dockerfile and --build-context");
        }
        if !self.is_whole() && members.get("build").is_none_or(Value::is_null) {
            return refuse("--target, --build-arg and --platform say how to build; give --dockerfile or --build-context too");
        }
        let block = members.entry("build").or_insert_with(|| json!({}));
        let Some(block) = block.as_object_mut() else { return refuse("`build` of the definition is not an object") };
        if let Some(path) = &self.dockerfile {
            block.insert("dockerfile".to_owned(), json!(read_dockerfile(path)?));
        }
        let texts = [("target", &self.target), ("platform", &self.platform)];
        block.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?)))));
        if let Some(bad) = self.values.iter().find(|text| !text.contains('=')) {
            return Err(Failure::BadInput(format!("--build-arg {bad:?} has no equals sign; write K=V")));
        }
        if !self.values.is_empty() {
            block.insert("buildArgs".to_owned(), json!(self.values));
        }
        let Some(context) = &self.context else { return Ok(None) };
        if context.contains("://") {
            block.insert("context".to_owned(), json!(context));
            return Ok(None);
        }
        let (packed, hash) = pack(Path::new(context))?;
        block.insert("context".to_owned(), json!(client.blob_url(&hash)?.as_str()));
        let file = InputFile::packed("the build context", hash, packed.path()).map_err(|error| failed(packed.path(), &error))?;
        Ok(Some(PackedContext(file, packed)))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::BadInput(format!("cannot read {}: {error}", path.display()))
}

fn read_dockerfile(path: &Path) -> Result<String, Failure> {
    text_file::read(path, DOCKERFILE_BYTES_MAX).map(text_file::with_unix_lines)
}

/// A tar of a folder, and its SHA-256.
fn pack(folder: &Path) -> Result<(tempfile::NamedTempFile, String), Failure> {
    if !folder.is_dir() {
        let sentence = "is neither a folder nor a URL; give a folder, or the URL of a git repository or an archive";
        return Err(Failure::BadInput(format!("--build-context {} {sentence}", folder.display())));
    }
    let mut file = tempfile::NamedTempFile::new().map_err(|error| Failure::io("write in", &std::env::temp_dir(), &error))?;
    let mut tar = tar::Builder::new(std::io::BufWriter::new(file.as_file_mut()));
    let mut n_entries = 0;
    append(&mut tar, folder, Path::new(""), &mut n_entries)?;
    let written =
        tar.into_inner().and_then(|writer| writer.into_inner().map(|_| ()).map_err(std::io::IntoInnerError::into_error));
    let hash = written.and_then(|()| hash_of(file.as_file_mut())).map_err(|error| failed(folder, &error))?;
    Ok((file, hash))
}

fn append(tar: &mut tar::Builder<impl std::io::Write>, root: &Path, below: &Path, n_entries: &mut usize) -> Result<(), Failure> {
    let folder = root.join(below);
    let entries = std::fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut names: Vec<_> = entries.map_err(|error| failed(&folder, &error))?.iter().map(std::fs::DirEntry::file_name).collect();
    names.sort();
    for name in names {
        *n_entries += 1;
        if *n_entries > ENTRIES_MAX {
            return Err(Failure::BadInput(format!("the build context has more than {ENTRIES_MAX} files; give a smaller folder")));
        }
        let (path, name) = (folder.join(&name), below.join(&name));
        append_one(tar, &path, &name).map_err(|error| failed(&path, &error))?;
        if path.symlink_metadata().is_ok_and(|about| about.is_dir()) {
            append(tar, root, &name, n_entries)?;
        }
    }
    Ok(())
}

/// Sockets, pipes and devices are left out.
fn append_one(tar: &mut tar::Builder<impl std::io::Write>, path: &Path, name: &Path) -> std::io::Result<()> {
    let about = path.symlink_metadata()?;
    let mut header = tar::Header::new_gnu();
    let is_executable = about.is_dir() || about.permissions().mode() & 0o111 != 0;
    header.set_mode(if is_executable { 0o755 } else { 0o644 });
    header.set_mtime(0);
    header.set_size(0);
    if about.is_dir() {
        header.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut header, name, std::io::empty())
    } else if about.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        tar.append_link(&mut header, name, std::fs::read_link(path)?)
    } else if about.is_file() {
        header.set_size(about.len());
        tar.append_data(&mut header, name, std::fs::File::open(path)?.take(about.len()))
    } else {
        Ok(())
    }
}

fn hash_of(file: &mut std::fs::File) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(args: &BuildArgs, definition: Value) -> Result<Value, String> {
        let client = Client::new("http://localhost:8000").map_err(|error| error.to_string())?;
        let Value::Object(mut members) = definition else { panic!("a definition is an object") };
        args.add_to(&mut members, &client).map_err(|error| error.to_string())?;
        Ok(Value::Object(members))
    }

    #[test]
    fn flags_make_a_block_or_change_the_one_that_is_there() {
        let url = BuildArgs { context: Some("https://host/a".to_owned()), ..BuildArgs::default() };
        assert_eq!(add(&url, json!({})).unwrap(), json!({"build": {"context": "https://host/a"}}));
        let args = BuildArgs { target: Some("t".to_owned()), values: vec!["A=b=c".to_owned()], ..BuildArgs::default() };
        let changed = json!({"build": {"context": "x", "target": "t", "buildArgs": ["A=b=c"]}});
        assert_eq!(add(&args, json!({"build": {"context": "x"}})).unwrap(), changed);
        assert!(add(&args, json!({})).unwrap_err().contains("give --dockerfile or --build-context too"));
        assert!(add(&url, json!({"image": "a"})).unwrap_err().contains("has an image and also builds one"));
        let nothing = BuildArgs { context: Some("/no/such".to_owned()), ..BuildArgs::default() };
        assert!(add(&nothing, json!({})).unwrap_err().contains("is neither a folder nor a URL"));
    }

    #[test]
    fn the_same_files_are_the_same_context() {
        let make = || {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("sub")).unwrap();
            std::fs::write(folder.path().join("sub/b"), "b").unwrap();
            std::fs::write(folder.path().join("a"), "a").unwrap();
            std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
            folder
        };
        let (one, other) = (make(), make());
        let hash = |folder: &tempfile::TempDir| pack(folder.path()).unwrap().1;
        assert_eq!(hash(&one), hash(&other));
        std::fs::set_permissions(other.path().join("a"), PermissionsExt::from_mode(0o700)).unwrap();
        assert_ne!(hash(&one), hash(&other));
    }
}
