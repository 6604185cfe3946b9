//! The house: which room may know which, that the files of a room are in no circle, and that the documents name what is
//! there. A new arrow is a decision, made here and in docs/ARCHITECTURE.md.

mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room and those that it may import. A room stands below all that import it, so there is no circle.
const ARROWS: [(&str, &[&str]); 19] = [
    ("stamp", &[]),
    ("cpu", &[]),
    ("limits", &[]),
    ("tenant", &["cpu", "limits"]),
    ("confine", &[]),
    ("observe", &["limits", "tenant"]),
    ("store", &["tenant"]),
    ("capability", &["store", "tenant"]),
    ("sandbox", &["capability", "confine", "cpu", "limits", "observe"]),
    ("snapshot", &["cpu", "limits", "observe", "sandbox", "tenant"]),
    ("request", &["capability", "cpu", "limits", "observe", "sandbox", "snapshot", "tenant"]),
    ("listen", &["observe", "request", "stamp"]),
    ("document", &["capability", "limits", "sandbox", "snapshot", "tenant"]),
    ("config", &["capability", "confine", "document", "limits", "listen", "observe", "snapshot", "tenant"]),
    (
        "deploy",
        &[
            "capability",
            "config",
            "cpu",
            "document",
            "limits",
            "observe",
            "sandbox",
            "snapshot",
            "stamp",
            "store",
            "tenant",
        ],
    ),
    (
        "admin",
        &["deploy", "document", "listen", "observe", "request", "sandbox", "snapshot", "store", "tenant"],
    ),
    (
        "host",
        &[
            "admin", "config", "confine", "cpu", "deploy", "limits", "listen", "observe", "request",
            "sandbox", "store", "tenant",
        ],
    ),
    ("reference", &["capability", "config", "limits", "listen", "request", "sandbox", "store", "tenant"]),
    (
        "command",
        &[
            "admin", "config", "confine", "cpu", "deploy", "document", "host", "limits", "listen", "observe",
            "sandbox", "snapshot", "tenant",
        ],
    ),
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
fn no_files_of_a_room_are_in_a_circle() {
    let circles = circles::circles(&sources());
    assert!(circles.is_empty(), "each of these files names the others, which lead back to it:\n{circles:#?}");
}

#[test]
fn the_arrows_of_the_map_are_those_that_hold() {
    let (_, map) = documents().into_iter().find(|(name, _)| name == "docs/ARCHITECTURE.md").expect("a map");
    let (_, table) = map.split_once("| room | may import |").expect("the map has the table of arrows");
    let drawn: BTreeMap<String, BTreeSet<String>> = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let mut rooms = code_spans(line).map(str::to_owned);
            Some((rooms.next()?, rooms.collect()))
        })
        .collect();
    let held: BTreeMap<String, BTreeSet<String>> = ARROWS
        .iter()
        .map(|(room, allowed)| ((*room).to_owned(), allowed.iter().map(|&room| room.to_owned()).collect()))
        .collect();
    assert_eq!(drawn, held, "docs/ARCHITECTURE.md is on the left");
}

/// An instance is put back to its start only if the host knows how often it was called (`sandbox/restore/`).
#[test]
fn every_view_of_an_import_counts_its_call() {
    let text_of = |name: &str| {
        let found = sources().into_iter().find(|(file, _)| file == Path::new(name));
        found.unwrap_or_else(|| panic!("{name} is gone")).1
    };
    let (linker, state) = (text_of("sandbox/linker.rs"), text_of("sandbox/state.rs"));
    let count = |text: &str, part: &str| text.matches(part).count();
    let views = count(&linker, "|state|") + count(&linker, "(state: &mut CallState)");
    assert!(views > 8, "only {views} views were found");
    assert_eq!(count(&linker, "state.host_called()"), views, "in sandbox/linker.rs");
    let views = count(&state, "impl WasiView for") + count(&state, "impl WasiHttpView for");
    assert_eq!((views, count(&state, "self.host_called()")), (2, 2), "in sandbox/state.rs");
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

/// A document that names a test says that something was shown: by `module::of_the_suite`, or by the bare name of one
/// that is beside the code.
#[test]
fn every_test_that_a_document_names_is_there() {
    let suite = functions(&Path::new(env!("CARGO_MANIFEST_DIR")).join("suite"));
    let modules: BTreeSet<&str> = suite.iter().filter_map(|name| Some(name.split_once("::")?.0)).collect();
    let code = functions(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src"));
    let beside_the_code: BTreeSet<&str> = code.iter().filter_map(|name| name.rsplit("::").next()).collect();
    let mut named = 0;
    let mut missing = Vec::new();
    for (document, text) in documents() {
        for name in code_spans(&text).filter(|span| is_path_of_names(span)) {
            let words = name.rsplit("::").next().unwrap_or_default().split('_').count();
            let is_there = match name.split_once("::") {
                // A room may have the name of a module of the suite.
                Some((module, _)) if modules.contains(module) && words >= 3 => {
                    suite.contains(name) || code.contains(name)
                }
                None if words >= LEAST_WORDS_BESIDE_CODE => beside_the_code.contains(name),
                _ => continue,
            };
            named += 1;
            if !is_there {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(named > 50, "only {named} names of tests were found");
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

#[test]
fn every_source_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut missing = Vec::new();
    for (document, text) in documents() {
        let is_path = |span: &&str| {
            let is_plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "_-/.".contains(c));
            is_plain && (span.starts_with("host/src/") || (span.contains('/') && span.ends_with(".rs")))
        };
        let is_there =
            |span: &&str| ["", "host/src", "tests"].iter().any(|base| root.join(base).join(span).exists());
        let named = code_spans(&text).filter(is_path);
        missing.extend(named.filter(|span| !is_there(span)).map(|span| format!("{document}: {span}")));
    }
    assert!(missing.is_empty(), "no such file:\n{}", missing.join("\n"));
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut broken = Vec::new();
    let mut followed = 0;
    for (document, text) in documents() {
        for link in links(&text).filter(|link| !link.contains("://")) {
            followed += 1;
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let own = root.join(&document);
            let target = if path.is_empty() { own } else { own.with_file_name("").join(path) };
            let is_there = heading.is_empty()
                || std::fs::read_to_string(&target).is_ok_and(|text| headings(&text).contains(heading));
            if !target.exists() || !is_there {
                broken.push(format!("{document}: {link}"));
            }
        }
    }
    assert!(followed > 50, "only {followed} links were found");
    assert!(broken.is_empty(), "these lead nowhere:\n{}", broken.join("\n"));
}

/// Shorter words in code's letters are metrics and functions.
const LEAST_WORDS_BESIDE_CODE: usize = 6;

/// The README and the documents in `docs`, named from the root of the repository, with their text.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = std::fs::read_dir(root.join("docs")).expect("the documents are beside the tests");
    let mut files: Vec<_> = docs.map(|entry| entry.expect("a folder can be read").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.push(root.join("README.md"));
    let read = |file: PathBuf| {
        let name = file.strip_prefix(&root).expect("it is below").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(file).expect("a document is text"))
    };
    files.into_iter().map(read).collect()
}

/// The text between backticks; not in blocks of code.
fn code_spans(markdown: &str) -> impl Iterator<Item = &str> {
    outside_blocks(markdown).flat_map(|text| text.split('`').skip(1).step_by(2))
}

/// The targets of `[text](target)`; not in blocks of code.
fn links(markdown: &str) -> impl Iterator<Item = &str> {
    outside_blocks(markdown)
        .flat_map(|text| text.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
}

/// The names by which links lead to headings: small letters, with `-` for each space.
fn headings(markdown: &str) -> BTreeSet<String> {
    let lines = outside_blocks(markdown).flat_map(str::lines).filter(|line| line.starts_with('#'));
    let name = |line: &str| -> String {
        let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        title.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    lines.map(name).collect()
}

fn outside_blocks(markdown: &str) -> impl Iterator<Item = &str> {
    markdown.split("```").step_by(2)
}

fn is_path_of_names(span: &str) -> bool {
    span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
}

/// Every function of the sources in a folder, as `module::module::name`.
fn functions(root: &Path) -> BTreeSet<String> {
    let mut functions = BTreeSet::new();
    for (file, text) in rust_files(root) {
        let module = file.with_extension("").to_string_lossy().replace('/', "::");
        for function in text.split("fn ").skip(1) {
            let name = function.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
            functions.insert(format!("{module}::{}", name.unwrap_or_default()));
        }
    }
    functions
}

/// The room that a file of `host/src` stands in: its first folder, or its own name.
pub(crate) fn room_of(file: &Path) -> String {
    let first = file.components().next().expect("a file has a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Every source file of the host, named from `host/src`, with its text.
pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    let sources = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src"));
    assert!(sources.len() > 50, "only {} sources were found", sources.len());
    sources
}

/// Every source file in a folder and those below, named from it, with its text.
pub(crate) fn rust_files(root: &Path) -> Vec<(PathBuf, String)> {
    let mut folders = vec![root.to_owned()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the sources are beside the tests") {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source is text");
                sources.push((path.strip_prefix(root).expect("it is below").to_owned(), text));
            }
        }
    }
    sources
}
