//! Lists the built web client, so that it becomes part of the program: `web.rs` in the build's folder holds one `File` for each
//! file of `web/dist`. Where the client was not built the list is empty, and the program serves `web/plain.html` instead.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("../web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    // If the folder did not exist, cargo would compile this crate at every build.
    fs::create_dir_all(&folder)?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut paths = Vec::new();
    if folder.join("index.html").exists() {
        collect(&folder, &mut paths)?;
    }
    paths.sort();
    let mut list = String::from("static FILES: &[File] = &[\n");
    for path in paths.iter().filter(|path| !is_compressed(path)) {
        list.push_str(&entry(&folder, path));
    }
    list.push_str("];\n");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?).join("web.rs");
    // An unchanged file must keep its time, or cargo would compile the whole crate again.
    if fs::read_to_string(&out).is_ok_and(|old| old == list) { Ok(()) } else { fs::write(out, list) }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, paths)? } else { paths.push(path) }
    }
    Ok(())
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "br" || extension == "gz")
}

fn entry(folder: &Path, path: &Path) -> String {
    let beside = |ending: &str| {
        let path = PathBuf::from(format!("{}.{ending}", path.display()));
        if path.exists() { format!("Some(include_bytes!({:?}))", path.display().to_string()) } else { "None".to_owned() }
    };
    let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let full = path.display().to_string();
    format!("    File {{ path: {name:?}, bytes: include_bytes!({full:?}), brotli: {}, gzip: {} }},\n", beside("br"), beside("gz"))
}
