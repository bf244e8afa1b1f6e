//! The rooms (groups of modules) of the worker's source: a room uses only rooms below it, and top-level modules do not form a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rooms, each with the rooms that it may use. A drawing in `lib.rs` shows the same.
const ROOMS: [(&str, &[&str]); 5] = [
    ("claim", &["run", "engine", "disk", "network"]),
    ("run", &["engine", "disk", "network"]),
    ("engine", &["disk", "network"]),
    ("disk", &[]),
    ("network", &[]),
];

/// The top-level modules that each top-level module names.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn a_room_uses_only_rooms_below_it() {
    let uses = uses();
    for (room, below) in ROOMS {
        let above: Vec<_> =
            ROOMS.iter().map(|(other, _)| *other).filter(|other| !below.contains(other) && *other != room).collect();
        let wrong: Vec<_> = above.iter().filter(|other| uses[room].contains(**other)).collect();
        assert!(wrong.is_empty(), "{room} uses {wrong:?}, which is not below it");
    }
}

#[test]
fn no_module_uses_itself_through_others() {
    let mut left = uses();
    // Removes modules that use none of the remaining modules, until only circles remain.
    while let Some(free) =
        left.iter().find(|(_, used)| !used.iter().any(|name| left.contains_key(name))).map(|(name, _)| name.clone())
    {
        left.remove(&free);
    }
    assert!(left.is_empty(), "modules in a circle, or above one: {left:?}");
}

fn uses() -> Uses {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut uses = Uses::new();
    for entry in walkdir::WalkDir::new(&source) {
        let path = entry.unwrap().into_path();
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("lib.rs") {
            continue;
        }
        let first = path.strip_prefix(&source).unwrap().iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs").to_owned();
        let named = named_in(&fs::read_to_string(&path).unwrap());
        uses.entry(module.clone()).or_default().extend(named.into_iter().filter(|name| *name != module));
    }
    uses
}

/// The names that follow `crate::` outside comments.
fn named_in(text: &str) -> Vec<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let after = code.flat_map(|line| line.split("crate::").skip(1));
    after.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}
