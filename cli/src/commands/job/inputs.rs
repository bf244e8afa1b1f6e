//! Files of the submitter: small files are part of the definition, large ones go through `/f`, named by their SHA-256 so that the
//! same file is sent once.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::limits::{BLOB_BYTES_MAX, INLINE_BYTES_MAX};
use protocol::{DataRef, DataRefType, check_input_path};
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use crate::client::Client;
use crate::failure::Failure;

const CHUNK_BYTES: usize = 256 * 1024;
/// A shorter upload shows no progress bar.
const PROGRESS_DELAY: Duration = Duration::from_secs(1);

/// One file, read or hashed.
#[derive(Clone, Debug)]
pub(super) struct InputFile {
    /// Its name below `/inputs`.
    pub(super) name: String,
    /// Its data ref for the definition.
    pub(super) reference: DataRef,
    path: PathBuf,
    length: u64,
}

impl InputFile {
    /// A file of any size that is stored under its hash.
    pub(super) fn packed(name: &str, sha256: String, path: &Path) -> std::io::Result<Self> {
        Ok(Self { name: name.to_owned(), reference: by_key(sha256), length: path.metadata()?.len(), path: path.to_owned() })
    }

    /// The upload key, when the file is not inside the definition.
    fn key(&self) -> Option<&str> {
        self.reference.value.as_str().filter(|_| self.reference.kind == Some(DataRefType::Key))
    }
}

/// Reads the files of `-f`.
pub(super) fn read(arguments: &[String]) -> Result<Vec<InputFile>, Failure> {
    let files = arguments.iter().map(|argument| read_one(argument)).collect::<Result<Vec<_>, _>>()?;
    let mut names = std::collections::HashSet::new();
    match files.iter().find(|file| !names.insert(file.name.as_str())) {
        Some(twice) => {
            Err(Failure::BadInput(format!("two files would be /inputs/{}; name one of them with -f NAME=PATH", twice.name)))
        }
        None => Ok(files),
    }
}

fn read_one(argument: &str) -> Result<InputFile, Failure> {
    let (name, path) = split(argument)?;
    check_input_path(&name).map_err(|error| Failure::BadInput(error.to_string()))?;
    let failed = |error: std::io::Error| Failure::BadInput(format!("cannot read {}: {error}", path.display()));
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::BadInput(format!("{} is not a file; name each file, or pack the folder", path.display())));
    }
    if metadata.len() > BLOB_BYTES_MAX {
        return Err(Failure::BadInput(format!("{} is larger than {} GiB", path.display(), BLOB_BYTES_MAX >> 30)));
    }
    let reference = if metadata.len() <= INLINE_BYTES_MAX as u64 {
        inline(std::fs::read(&path).map_err(failed)?)
    } else {
        by_key(hash(&path).map_err(failed)?)
    };
    Ok(InputFile { name, reference, length: metadata.len(), path })
}

/// `NAME=PATH`, unless a file with that whole name exists.
fn split(argument: &str) -> Result<(String, PathBuf), Failure> {
    if let Some((name, path)) = argument.split_once('=').filter(|_| !Path::new(argument).exists()) {
        return Ok((name.to_owned(), PathBuf::from(path)));
    }
    let path = PathBuf::from(argument);
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let name = name.ok_or_else(|| Failure::BadInput(format!("{argument:?} has no file name; give one as NAME=PATH")))?;
    Ok((name, path))
}

fn inline(bytes: Vec<u8>) -> DataRef {
    // PostgreSQL and some JSON parsers do not accept a NUL in text.
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => DataRef { value: text.into(), kind: Some(DataRefType::Utf8), hash: None },
        Ok(text) => base64_ref(text.as_bytes()),
        Err(error) => base64_ref(error.as_bytes()),
    }
}

fn base64_ref(bytes: &[u8]) -> DataRef {
    DataRef { value: STANDARD.encode(bytes).into(), kind: Some(DataRefType::Base64), hash: None }
}

fn by_key(sha256: String) -> DataRef {
    DataRef { value: sha256.clone().into(), kind: Some(DataRefType::Key), hash: Some(sha256) }
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// Sends the files that are not stored yet.
pub(super) async fn upload(client: &Client, files: &[InputFile], is_quiet: bool) -> Result<(), Failure> {
    for file in files {
        if let Some(key) = file.key()
            && !client.blob_exists(key).await?
        {
            send(client, file, key, is_quiet).await?;
        }
    }
    Ok(())
}

async fn send(client: &Client, file: &InputFile, key: &str, is_quiet: bool) -> Result<(), Failure> {
    let progress = progress(file)?;
    let first = client.put_blob(client.blob_url(key)?, file.length, body(file, &progress, is_quiet).await?).await?;
    if let Some(store) = first {
        progress.reset();
        let sent = client.put_blob(store, file.length, body(file, &progress, is_quiet).await?).await;
        if !matches!(sent, Ok(None)) {
            // This machine may be unable to reach the storage, or may be redirected, although the API can reach it.
            progress.reset();
            let own = client.proxied_blob_url(key)?;
            let sent = client.put_blob(own, file.length, body(file, &progress, is_quiet).await?).await?;
            if sent.is_some() {
                return Err(Failure::Failed("the API does not accept a file that its storage refuses".to_owned()));
            }
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// The progress bar of an upload. It is hidden at first; [`advance`] shows it.
fn progress(file: &InputFile) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{msg}  {bar:30}  {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let progress = ProgressBar::with_draw_target(Some(file.length), ProgressDrawTarget::hidden());
    Ok(progress.with_style(style).with_message(file.name.clone()))
}

fn advance(progress: &ProgressBar, bytes: usize, is_quiet: bool) {
    if !is_quiet && progress.is_hidden() && progress.elapsed() > PROGRESS_DELAY && std::io::stderr().is_terminal() {
        progress.set_draw_target(ProgressDrawTarget::stderr());
    }
    progress.inc(bytes as u64);
}

async fn body(file: &InputFile, progress: &ProgressBar, is_quiet: bool) -> Result<reqwest::Body, Failure> {
    let opened = tokio::fs::File::open(&file.path).await.map_err(|error| Failure::io("read", &file.path, &error))?;
    let progress = progress.clone();
    let stream = ReaderStream::with_capacity(opened, CHUNK_BYTES);
    Ok(reqwest::Body::wrap_stream(stream.inspect_ok(move |chunk| advance(&progress, chunk.len(), is_quiet))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_travel_as_text_when_they_are_text() {
        assert_eq!(inline(b"h\xc3\xa9".to_vec()).kind, Some(DataRefType::Utf8));
        assert_eq!(inline(b"\xff".to_vec()).kind, Some(DataRefType::Base64));
        assert_eq!(inline(b"a\0b".to_vec()).value, "YQBi");
    }

    #[test]
    fn a_file_is_named_by_itself_or_by_the_submitter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a=b.txt");
        std::fs::write(&path, "x".repeat(INLINE_BYTES_MAX + 1)).unwrap();
        let argument = path.to_str().unwrap();
        assert_eq!(read_one(argument).unwrap().name, "a=b.txt");
        let named = read_one(&format!("data/n.txt={argument}")).unwrap();
        assert_eq!(named.name, "data/n.txt");
        assert_eq!(named.key(), Some(protocol::sha256_hex("x".repeat(INLINE_BYTES_MAX + 1).as_bytes()).as_str()));
        assert!(read_one(&format!("../n={argument}")).is_err());
        assert!(read_one(folder.path().to_str().unwrap()).unwrap_err().to_string().contains("not a file"));
    }
}
