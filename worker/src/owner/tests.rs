use std::process::{Command, Stdio};

use super::*;

fn own(lock: &Path) -> Owner {
    Owner::own(lock).unwrap()
}

fn locked(folder: &Path) -> (PathBuf, File) {
    let path = folder.join("lock");
    let file = File::create(&path).unwrap();
    file.lock().unwrap();
    (path, file)
}

fn life(owner: &Owner, lasts: Lasts) -> Life {
    owner.life(lasts, Here::look().as_ref())
}

/// A process that has ended, as an object's owner.
fn ended(owner: &Owner) -> Owner {
    let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
    let process = Process { pid: i32::try_from(child.id()).unwrap(), started: 1, ..owner.process.clone() };
    child.kill().unwrap();
    child.wait().unwrap();
    Owner { process, ..owner.clone() }
}

#[test]
fn an_owner_survives_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _lock) = locked(folder.path());
    let owner = own(&path);
    assert_eq!(Owner::parse(&owner.to_string()).as_ref(), Some(&owner));
    let long = folder.path().join("x".repeat(200)).join("odd \"name\"");
    std::fs::create_dir_all(&long).unwrap();
    let (path, _lock) = locked(&long);
    let owner = own(&path);
    assert_eq!((owner.path.as_deref(), Owner::parse(&owner.to_string()).as_ref()), (None, Some(&owner)));
    assert_eq!(Owner::parse("0,1,2"), None);
}

#[test]
fn a_lock_that_is_seen_decides() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lock) = locked(folder.path());
    let owner = own(&path);
    for lasts in [Lasts::WithItsProcess, Lasts::WithItsDataDirectory] {
        assert_eq!(life(&owner, lasts), Life::Alive);
        assert_eq!(life(&ended(&owner), lasts), Life::Alive, "the next process of the data directory has it");
    }
    drop(lock);
    assert_eq!(life(&owner, Lasts::WithItsProcess), Life::Dead);
    assert!(File::open(&path).unwrap().try_lock().is_ok(), "a check leaves nothing locked");
}

#[test]
fn a_lock_that_is_not_seen_proves_no_death() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _lock) = locked(folder.path());
    let owner = own(&path);
    let elsewhere = Owner { mounts: owner.mounts + 1, path: Some("/nowhere/lock".into()), ..owner.clone() };
    assert_eq!(life(&elsewhere, Lasts::WithItsProcess), Life::Alive, "its process is seen");
    assert_eq!(life(&ended(&elsewhere), Lasts::WithItsDataDirectory), Life::Unknown);
    assert_eq!(life(&ended(&elsewhere), Lasts::WithItsProcess), Life::Dead);
    let contained = Owner { process: Process { namespace: "1-1".into(), ..owner.process.clone() }, ..elsewhere };
    assert_eq!(life(&contained, Lasts::WithItsProcess), Life::Unknown);
    let of_another_machine = Owner { boot: "0".into(), ..ended(&owner) };
    assert_eq!(life(&of_another_machine, Lasts::WithItsProcess), Life::Unknown);
    // Another file of that name, in another view of the disk.
    let other = tempfile::tempdir().unwrap();
    let free = other.path().join("lock");
    File::create(&free).unwrap();
    let hidden = Owner { mounts: owner.mounts + 1, path: Some(free), ..contained };
    assert_eq!(life(&hidden, Lasts::WithItsDataDirectory), Life::Unknown);
}

#[test]
fn without_its_data_directory_a_worker_is_judged_by_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _lock) = locked(folder.path());
    let owner = own(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(life(&owner, Lasts::WithItsDataDirectory), Life::Alive);
    assert_eq!(life(&ended(&owner), Lasts::WithItsDataDirectory), Life::Dead);
}

#[test]
fn only_root_reaches_what_others_made_and_only_on_its_own_machine() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _lock) = locked(folder.path());
    let here = Here::look().unwrap();
    let of = |uid, boot: &str| Owner { uid, boot: boot.to_owned(), ..own(&path) };
    let (root, user) = (Here { uid: 0, ..here.clone() }, Here { uid: 1000, ..here.clone() });
    assert!(of(1000, &here.boot).is_in_reach(Some(&root)) && of(1000, "other").is_in_reach(Some(&user)));
    assert!(!of(1000, "other").is_in_reach(Some(&root)) && !of(0, &here.boot).is_in_reach(Some(&user)));
    assert!(!of(0, &here.boot).is_in_reach(None));
}
