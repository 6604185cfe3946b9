//! The house: which room may know which. A new arrow is a decision, made here and in docs/ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room and those that it may import. A room stands below all that import it, so there is no circle.
const ARROWS: [(&str, &[&str]); 13] = [
    ("tenant", &[]),
    ("confine", &[]),
    ("observe", &["tenant"]),
    ("store", &["tenant"]),
    ("capability", &["store", "tenant"]),
    ("sandbox", &["capability", "observe"]),
    ("snapshot", &["observe", "sandbox", "tenant"]),
    ("request", &["observe", "sandbox", "snapshot", "tenant"]),
    ("listen", &["observe", "request"]),
    ("config", &["capability", "confine", "observe", "snapshot", "tenant"]),
    ("deploy", &["capability", "config", "observe", "sandbox", "snapshot", "store", "tenant"]),
    ("host", &["config", "confine", "deploy", "listen", "observe", "request", "sandbox", "store", "tenant"]),
    ("command", &["config", "confine", "deploy", "host", "listen", "observe", "sandbox", "snapshot"]),
];

#[test]
fn the_rooms_import_only_what_they_may() {
    let rooms: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    for (file, text) in sources() {
        let Some((room, allowed)) = ARROWS.iter().find(|(room, _)| *room == room_of(&file)) else {
            assert!(
                ["lib.rs", "main.rs"].contains(&&*file.to_string_lossy()),
                "{} is in no room",
                file.display()
            );
            continue;
        };
        for named in text.split("crate::").skip(1) {
            let named: String = named.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            assert!(!named.is_empty(), "{}: name the room in each `use crate::`", file.display());
            let is_allowed = named == *room || !rooms.contains(&*named) || allowed.contains(&&*named);
            assert!(is_allowed, "{} imports {named}, which stands above {room} or beside it", file.display());
        }
    }
}

#[test]
fn wasmtime_is_named_in_the_sandbox_alone() {
    let named: Vec<_> = sources()
        .into_iter()
        .filter(|(file, text)| room_of(file) != "sandbox" && text.contains("wasmtime"))
        .map(|(file, _)| file)
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

/// The room that a file of `host/src` stands in: its first folder, or its own name.
fn room_of(file: &Path) -> String {
    let first = file.components().next().expect("a file has a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Every source file of the host, named from `host/src`, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the host's sources are beside the tests") {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source is text");
                sources.push((path.strip_prefix(&root).expect("it is below").to_owned(), text));
            }
        }
    }
    assert!(sources.len() > 50, "only {} sources were found", sources.len());
    sources
}
