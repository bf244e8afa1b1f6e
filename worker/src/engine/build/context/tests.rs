//! Tests of contexts, from archive to tar.

use std::io::{Read, Write};

use protocol::Build;

use super::*;

fn packed(files: &[(&str, &str)]) -> tempfile::NamedTempFile {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        if let Some(target) = text.strip_prefix("-> ") {
            let mut header = header_of(0o777, 0, 0);
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, name, target).unwrap();
        } else if let Some(target) = text.strip_prefix("== ") {
            let mut header = header_of(0o644, 0, 0);
            header.set_entry_type(tar::EntryType::Link);
            tar.append_link(&mut header, name, target).unwrap();
        } else {
            tar.append_data(&mut header_of(0o644, 0, text.len() as u64), name, text.as_bytes()).unwrap();
        }
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&tar.into_inner().unwrap()).unwrap();
    file
}

fn plan(files: &[(&str, &str)], block: &str) -> Result<(String, BTreeMap<String, String>), ContextError> {
    plan_of(files, block, Wrapping::Foreign)
}

fn plan_of(files: &[(&str, &str)], block: &str, wrapping: Wrapping) -> Result<(String, BTreeMap<String, String>), ContextError> {
    let file = packed(files);
    let mut build: Build = serde_json::from_str(block).unwrap();
    build.context = Some("https://example.org/a.tgz".to_owned());
    let block = Block::read(&build).unwrap().unwrap();
    let plan = Plan::make(Archive::open(file.path())?, &block, None, wrapping)?;
    let mut sent = Vec::new();
    plan.write(&mut sent).unwrap();
    let mut tar = tar::Archive::new(&sent[..]);
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let link = entry.link_name().unwrap().map(|target| format!("-> {}", target.display()));
        (entry.path().unwrap().display().to_string(), link.unwrap_or(text))
    });
    Ok((plan.dockerfile, entries.collect()))
}

fn names(sent: &BTreeMap<String, String>) -> Vec<&str> {
    sent.keys().map(String::as_str).collect()
}

#[test]
fn one_folder_at_the_top_is_left_out_where_the_dockerfile_is_in_it() {
    let (dockerfile, sent) = plan(&[("top/Dockerfile", "FROM a"), ("top/x", "1")], "{}").unwrap();
    assert_eq!((dockerfile.as_str(), names(&sent)), ("Dockerfile", vec!["Dockerfile", "x"]));
    let (_, sent) = plan(&[("top/Dockerfile", "FROM a"), (".DS_Store", "1")], "{}").unwrap();
    assert_eq!(names(&sent), ["Dockerfile"]);
    let (_, sent) = plan(&[("Dockerfile", "FROM a"), ("top/x", "1")], "{}").unwrap();
    assert_eq!(names(&sent), ["Dockerfile", "top/x"]);
}

#[test]
fn a_folder_that_its_user_packed_stays_in_the_names() {
    let files = [("app/main.py", "1"), ("app/lib/x.py", "2")];
    let text = r#"{"dockerfile":"FROM a"}"#;
    for wrapping in [Wrapping::Own, Wrapping::Foreign, Wrapping::Never] {
        let (_, sent) = plan_of(&files, text, wrapping).unwrap();
        assert!(sent.contains_key("app/main.py"), "{wrapping:?}: {:?}", names(&sent));
    }
    let (_, sent) = plan_of(&[("app/Dockerfile", "FROM b"), ("app/main.py", "1")], text, Wrapping::Own).unwrap();
    assert!(sent.contains_key("app/Dockerfile"));
    // The author does not name the folder of a forge's archive. In another archive, the Dockerfile in the folder decides.
    let (_, sent) = plan_of(&files, text, Wrapping::Forge).unwrap();
    assert!(sent.contains_key("main.py"), "{:?}", names(&sent));
    let (_, sent) = plan_of(&[("app/Dockerfile", "FROM b"), ("app/main.py", "1")], text, Wrapping::Foreign).unwrap();
    assert!(sent.contains_key("main.py"), "{:?}", names(&sent));
    // A folder that the block names is found at the top or in the one folder at the top.
    let deep = [("top/app/main.py", "1")];
    for (folder, name) in [("app", "main.py"), ("top/app", "main.py"), ("top", "app/main.py")] {
        let block = format!(r#"{{"dockerfile":"FROM a","buildContext":"{folder}"}}"#);
        let (_, sent) = plan_of(&deep, &block, Wrapping::Own).unwrap();
        assert!(sent.contains_key(name), "{folder}: {:?}", names(&sent));
    }
}

#[test]
fn a_dockerfile_may_have_a_small_name_another_name_and_a_dockerignore_of_its_own() {
    let (dockerfile, _) = plan(&[("dockerfile", "FROM a"), ("x", "1")], "{}").unwrap();
    assert_eq!(dockerfile, "dockerfile");
    let files = [("Dockerfile", "FROM a"), ("Dockerfile.dockerignore", "x"), (".dockerignore", "y"), ("x", "1"), ("y", "2")];
    let (_, sent) = plan(&files, "{}").unwrap();
    assert_eq!(names(&sent), [".dockerignore", "Dockerfile", "Dockerfile.dockerignore", "y"]);
    assert_eq!(sent[".dockerignore"], "x");
    let (dockerfile, sent) = plan(&[("other", "FROM a"), ("Dockerfile", "== other"), ("x", "== other")], "{}").unwrap();
    assert_eq!((sent[&dockerfile].as_str(), sent["x"].as_str()), ("FROM a", "-> other"));
}

#[test]
fn a_folder_and_a_dockerfile_are_found_where_docker_would_look() {
    let files = [("Dockerfile", "root"), ("docker/Dev", "dev"), ("sub/Dockerfile", "sub"), ("sub/Own", "own"), ("sub/x", "1")];
    let read = |block: &str| plan(&files, block).unwrap();
    let (dockerfile, sent) = read(r#"{"buildContext":"sub"}"#);
    assert_eq!((sent[&dockerfile].as_str(), names(&sent)), ("sub", vec!["Dockerfile", "Own", "x"]));
    let (dockerfile, sent) = read(r#"{"buildContext":"sub","filename":"Own"}"#);
    assert_eq!(sent[&dockerfile], "own");
    let (dockerfile, sent) = read(r#"{"buildContext":"sub","filename":"docker/Dev"}"#);
    assert_eq!((sent[&dockerfile].as_str(), dockerfile.as_str()), ("dev", DOCKERFILE));
    assert_eq!(sent[IGNORE], format!("\n{DOCKERFILE}\n{IGNORE}\n"));
    let (dockerfile, sent) = read(r#"{"dockerfile":"FROM text"}"#);
    assert_eq!((sent[&dockerfile].as_str(), sent["Dockerfile"].as_str()), ("FROM text", "root"));
    assert!(matches!(plan(&files, r#"{"buildContext":"none"}"#), Err(ContextError::NoFolder(_))));
    assert!(matches!(plan(&files, r#"{"filename":"sub"}"#), Err(ContextError::NoDockerfile(_))));
    assert!(matches!(plan(&[("x", "1")], "{}"), Err(ContextError::NoDockerfile(_))));
    let huge = "#".repeat(DOCKERFILE_BYTES_MAX + 1);
    assert!(matches!(plan(&[("Dockerfile", &huge)], "{}"), Err(ContextError::Block(InvalidBuild::DockerfileTooLarge))));
}

#[test]
fn what_dockerignore_names_stays_here_but_the_dockerfile_goes() {
    let files =
        [(".dockerignore", "*\n!kept"), ("Dockerfile", "FROM a"), ("kept", "1"), ("secret", "2"), ("out", "-> /etc/passwd")];
    let (_, sent) = plan(&files, "{}").unwrap();
    assert_eq!(names(&sent), [".dockerignore", "Dockerfile", "kept"]);
}

#[test]
fn links_stay_in_the_context_or_are_refused() {
    let dockerfile = ("Dockerfile", "FROM a");
    let (_, sent) = plan(&[dockerfile, ("a/b/l", "-> ../../x"), ("x", "1")], "{}").unwrap();
    assert_eq!(sent["a/b/l"], "-> ../../x");
    for target in ["/etc/passwd", "../x", "a/../../x", "..\\x"] {
        let files = [dockerfile, ("l", &*format!("-> {target}"))];
        assert!(matches!(plan(&files, "{}"), Err(ContextError::Link(..))), "{target}");
    }
    let files = [("sub/Dockerfile", "FROM a"), ("sub/l", "-> ../x"), ("x", "1")];
    assert!(matches!(plan(&files, r#"{"buildContext":"sub"}"#), Err(ContextError::Link(..))));
    // A file below a link would be written through the link.
    let files = [dockerfile, ("l", "-> x"), ("l/y", "1"), ("x/z", "1")];
    assert!(matches!(plan(&files, "{}"), Err(ContextError::Archive(ArchiveError::Duplicate(_)))));
    assert!(matches!(plan(&[dockerfile, ("x", "1"), ("x", "2")], "{}"), Err(ContextError::Archive(ArchiveError::Duplicate(_)))));
}

#[test]
fn long_names_are_sent_and_a_context_may_be_only_text() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let (_, sent) = plan(&[("Dockerfile", "FROM a"), (&long, "deep")], "{}").unwrap();
    assert_eq!(sent[&long], "deep");
    let mut sent = Vec::new();
    Plan::of_text("FROM a").write(&mut sent).unwrap();
    let mut tar = tar::Archive::new(&sent[..]);
    assert_eq!(tar.entries().unwrap().count(), 1);
}
