//! Circles between files: each file of a room stands above those that it names. A name that a file passes on (`pub use`)
//! counts as that of the file that has it: a front door that does nothing else is in no circle. Tests beside the code do
//! not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The path of a module, or of a name in one, from the crate's root.
type ModulePath = Vec<String>;

/// The files of each room that are in a circle, with those of them that each names.
pub(super) fn circles(
    sources: &[(PathBuf, String)],
) -> BTreeMap<String, BTreeMap<PathBuf, BTreeSet<PathBuf>>> {
    let modules = modules(sources);
    let mut named: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for (at, module) in &modules {
        for path in &module.paths {
            if let Some(of) = resolve(&modules, at, path, 0)
                && of.file != module.file
                && super::room_of(of.file) == super::room_of(module.file)
            {
                named.entry(module.file).or_default().insert(of.file);
            }
        }
    }
    let mut circles: BTreeMap<String, BTreeMap<PathBuf, BTreeSet<PathBuf>>> = BTreeMap::new();
    for (file, others) in &named {
        let in_circle: BTreeSet<PathBuf> = others
            .iter()
            .filter(|other| reachable(&named, other).contains(file))
            .map(|other| other.to_path_buf())
            .collect();
        if !in_circle.is_empty() {
            circles.entry(super::room_of(file)).or_default().insert(file.to_path_buf(), in_circle);
        }
    }
    circles
}

/// A module, which is a file or stands in one.
struct Module<'a> {
    file: &'a Path,
    /// All paths that stand in it.
    paths: Vec<ModulePath>,
    /// The names that it imports, or passes on, with the paths that they stand for.
    imports: BTreeMap<String, ModulePath>,
}

fn modules(sources: &[(PathBuf, String)]) -> BTreeMap<ModulePath, Module<'_>> {
    let mut modules = BTreeMap::new();
    for (file, text) in sources {
        let mut path: ModulePath =
            file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if path.last().is_some_and(|last| last == "mod") {
            path.pop();
        }
        if !path.iter().any(|part| part == "tests") {
            add_module(&mut modules, file, path, &without_comments(text));
        }
    }
    modules
}

/// Adds a module and those inside of it, but not its tests.
fn add_module<'a>(
    modules: &mut BTreeMap<ModulePath, Module<'a>>,
    file: &'a Path,
    path: ModulePath,
    text: &str,
) {
    let mut own = String::new();
    let mut rest = text;
    while let Some((before, name, inside, behind)) = inner_module(rest) {
        own.push_str(before);
        if !before.trim_end().ends_with("#[cfg(test)]") {
            add_module(modules, file, [path.clone(), vec![name.to_owned()]].concat(), inside);
        }
        rest = behind;
    }
    own.push_str(rest);
    let mut module = Module { file, paths: Vec::new(), imports: BTreeMap::new() };
    let mut rest = own.as_str();
    let mut before = "";
    while let Some(begin) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        let word = word(&rest[begin..]);
        if before == "use" || rest[begin + word.len()..].starts_with("::") {
            let statement =
                own[..own.len() - rest.len() + begin].rsplit([';', '{', '}']).next().unwrap_or_default();
            let is_passed_on = before == "use" && statement.trim_start().starts_with("pub");
            let mut tree = Vec::new();
            rest = read_tree(&rest[begin..], &[], &mut tree);
            for (name, path) in tree {
                if !is_passed_on {
                    module.paths.push(path.clone());
                }
                if before == "use" {
                    module.imports.insert(name, path);
                }
            }
        } else {
            rest = &rest[begin + word.len()..];
        }
        before = word;
    }
    modules.insert(path, module);
}

/// The first `mod name { … }` of a text: the text before, its name, the text inside and the text behind.
fn inner_module(text: &str) -> Option<(&str, &str, &str, &str)> {
    let mut from = 0;
    loop {
        let begin = from + text[from..].find("mod ")?;
        let name = word(&text[begin + 4..]);
        let behind_name = begin + 4 + name.len();
        from = behind_name;
        if text[behind_name..].starts_with(" {") && !name.is_empty() {
            // As formatted, what a module ends with stands under what it begins with.
            let line = text[..begin].rfind('\n').map_or(0, |end| end + 1);
            let indent = text[line..].len() - text[line..].trim_start_matches(' ').len();
            let end = format!("\n{}}}", " ".repeat(indent));
            let close = text[behind_name..].find(&end).map_or(text.len(), |at| behind_name + at);
            let behind = text.get(close + end.len()..).unwrap_or_default();
            return Some((text[..line].trim_end(), name, &text[behind_name + 2..close], behind));
        }
    }
}

/// Reads `a::b::{c, d as e}` as paths with the names that they have here; what is behind it.
fn read_tree<'a>(mut text: &'a str, before: &[String], tree: &mut Vec<(String, ModulePath)>) -> &'a str {
    let mut path = before.to_vec();
    loop {
        text = text.trim_start();
        if let Some(group) = text.strip_prefix('{') {
            text = group.trim_start();
            while !text.starts_with('}') && !text.is_empty() {
                let left = text.len();
                text = read_tree(text, &path, tree).trim_start();
                text = text.strip_prefix(',').unwrap_or(text).trim_start();
                if text.len() == left {
                    break;
                }
            }
            return text.strip_prefix('}').unwrap_or(text);
        }
        if let Some(behind) = text.strip_prefix('*') {
            tree.push(("*".to_owned(), path));
            return behind;
        }
        let part = word(text);
        text = &text[part.len()..];
        // `self` in a group is the module that the group is of.
        if part != "self" || path.is_empty() {
            path.push(part.to_owned());
        }
        match text.strip_prefix("::") {
            Some(behind) if !part.is_empty() => text = behind,
            _ => break,
        }
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if let Some(alias) = text.strip_prefix(" as ") {
        word(alias).clone_into(&mut name);
        text = &alias[name.len()..];
    }
    tree.push((name, path));
    text
}

/// The module that has what a path names, which stands in the module `at`; none if it is of another crate.
fn resolve<'a, 'b>(
    modules: &'b BTreeMap<ModulePath, Module<'a>>,
    at: &[String],
    path: &[String],
    depth: usize,
) -> Option<&'b Module<'a>> {
    let mut here = at.to_vec();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => here.clear(),
        "super" | "self" => {}
        child if modules.contains_key(&[at, &[child.to_owned()]].concat()) => {}
        _ => return None,
    }
    while let Some((first, behind)) = rest.split_first() {
        match first.as_str() {
            "super" => drop(here.pop()),
            "self" | "crate" => {}
            name => {
                let child = [here.as_slice(), &[name.to_owned()]].concat();
                if !modules.contains_key(&child) {
                    break;
                }
                here = child;
            }
        }
        rest = behind;
    }
    let module = modules.get(&here)?;
    let passed_on = rest.first().and_then(|name| module.imports.get(name)).filter(|_| depth < 8);
    passed_on.and_then(|path| resolve(modules, &here, path, depth + 1)).or(Some(module))
}

fn reachable<'a>(named: &BTreeMap<&'a Path, BTreeSet<&'a Path>>, from: &'a Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for other in named.get(file).into_iter().flatten() {
            if reached.insert(other) {
                next.push(other);
            }
        }
    }
    reached
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// The text without comments, and without the paths in `pub(in …)`, which import nothing.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.find("//").map_or(line, |begin| &line[..begin]));
    lines.collect::<Vec<_>>().join("\n").replace("pub(in crate::", "pub(in ")
}

#[test]
fn a_circle_is_found_however_its_files_name_each_other() {
    let in_circle = |sources: &[(&str, &str)]| -> Vec<String> {
        let sources: Vec<_> =
            sources.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect();
        let files = circles(&sources).into_values().flatten();
        files.map(|(file, _)| file.to_string_lossy().into_owned()).collect()
    };
    let door = ("r/mod.rs", "mod a;\nmod b;\npub use a::A;\npub(crate) use b::{B, C as D};");
    let both = ["r/a.rs", "r/b.rs"];
    for (a, b) in [
        ("use super::b::B;", "use super::a::A;"),
        ("use crate::r::{x, b::{self, C}};", "fn f() { super::a::f() }"),
        ("use super::{\n    D,\n};", "use super::A as Other;"),
        ("pub mod inner {\n    use super::super::B;\n}", "use super::a::inner::X;"),
    ] {
        assert_eq!(in_circle(&[door, ("r/a.rs", a), ("r/b.rs", b)]), both, "{a} {b}");
    }
    for (a, b) in [
        ("use super::b::B;", "// use super::a::A;\nuse std::a::A;\npub(in crate::r) fn f() {}"),
        ("use super::D;", "#[cfg(test)]\nmod tests {\n    use super::super::A;\n}"),
    ] {
        assert_eq!(in_circle(&[door, ("r/a.rs", a), ("r/b.rs", b)]), [""; 0], "{a} {b}");
    }
    let uses_its_own = "mod a;\nuse a::A;\npub struct B(A);";
    assert_eq!(in_circle(&[("r/mod.rs", uses_its_own), ("r/a.rs", "use super::B;")]), ["r/a.rs", "r/mod.rs"]);
}
