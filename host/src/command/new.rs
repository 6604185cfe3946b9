//! `jackfield new`: writes a first plugin in the given language, a site, or a tenant.
//!
//! Owns the parts of a project that depend on its name, how a project is written, and the steps that its author is
//! told. Leaves the files to `project`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use thiserror::Error;

use super::answer::{Exit, refuse, say};
use super::arguments::{Language, New};
use super::project::{Naming, Project, Refused, SITE, Steps, TENANT};
use super::project_name::ProjectName;

/// The name of every project below `examples/`, and of nothing else in the `named` files of the project.
const EXAMPLE: &str = "hello";

impl ProjectName {
    /// Returns `text` with this name wherever the example's name stands as a word of its own.
    fn put_into(&self, text: &str) -> String {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        let mut named = String::with_capacity(text.len());
        let mut pieces = text.split(EXAMPLE).peekable();
        while let Some(piece) = pieces.next() {
            named.push_str(piece);
            if let Some(next) = pieces.peek() {
                let stands_alone = !piece.ends_with(is_part) && !next.starts_with(is_part);
                named.push_str(if stands_alone { &self.0 } else { EXAMPLE });
            }
        }
        named
    }

    /// Returns `text` with this name, also in the name of the built file.
    fn put_into_all(&self, text: &str, naming: Naming) -> String {
        match naming {
            Naming::Project => self.put_into(text),
            Naming::Library => {
                let file = format!("{}.wasm", self.0.replace('-', "_"));
                self.put_into(&text.replace("release/hello.wasm", &format!("release/{file}")))
            }
        }
    }
}

impl Language {
    /// Refuses a name that this language's tool does not accept.
    fn check(self, name: &ProjectName) -> Result<(), NewError> {
        let Refused { names, why } = self.project().refused;
        if !names.contains(&name.0.as_str()) {
            return Ok(());
        }
        let lang = self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        Err(NewError::Refused { name: name.0.clone(), lang, why })
    }
}

/// The reason why a project was not written.
#[derive(Debug, Error)]
enum NewError {
    #[error("{} is not empty; choose another name, or a folder with --path", .0.display())]
    Occupied(PathBuf),
    #[error("a project cannot be called `{name}` with --lang {lang}: {why}; `my-{name}` can be had")]
    Refused { name: String, lang: String, why: &'static str },
    #[error("cannot write {}: {reason}", file.display())]
    Write { file: PathBuf, reason: io::Error },
}

pub(super) fn run(new: &New) -> Exit {
    let folder = new.path.clone().unwrap_or_else(|| PathBuf::from(&new.name.0));
    let project = match new {
        New { site: true, .. } => SITE,
        New { tenant: true, .. } => TENANT,
        New { lang, .. } => lang.project(),
    };
    // A tenant's plugin is in Rust, the default of `lang`.
    let accepted = if new.site { Ok(()) } else { new.lang.check(&new.name) };
    let files = match accepted.and_then(|()| write(&project, &new.name, &folder)) {
        Ok(files) => files,
        Err(error) => return refuse(error),
    };
    let written = format!("{}: {}, {files} files.", folder.display(), project.what);
    match project.steps {
        Steps::Build { command, made } => {
            say(format_args!("{written} Build and serve it:\n"));
            say(format_args!("  cd {} && {command}", quoted(&folder)));
            say(format_args!("  jackfield serve {}", new.name.put_into_all(made, project.naming)));
        }
        Steps::Copy { packages } => {
            // The first commands are typed elsewhere.
            let folder = quoted(&std::path::absolute(&folder).unwrap_or(folder));
            say(format_args!("{written} Build its plugins in a clone of Jackfield, and copy them:\n"));
            for package in packages {
                let made = format!("target/wasm32-wasip2/plugin/{}.wasm", package.replace('-', "_"));
                say(format_args!("  cargo plugin {package} && cp {made} {folder}"));
            }
            say(format_args!("\nThen serve it:\n\n  cd {folder} && jackfield serve"));
        }
        Steps::Deploy { command } => {
            say(format_args!("{written} Build and publish it:\n"));
            say(format_args!("  cd {} && {command}", quoted(&folder)));
            say("  jackfield login --host URL --tenant NAME\n  jackfield deploy");
        }
    }
    Exit::Done
}

/// Writes all files of a project, and returns their number.
fn write(project: &Project, name: &ProjectName, folder: &Path) -> Result<usize, NewError> {
    let failed = |file: &Path, reason| NewError::Write { file: file.into(), reason };
    let is_occupied = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed(folder, error)),
    };
    if is_occupied {
        return Err(NewError::Occupied(folder.into()));
    }
    let named = project.named.iter().map(|(path, text)| (*path, name.put_into_all(text, project.naming)));
    let plain = project.plain.iter().map(|(path, text)| (*path, (*text).to_owned()));
    let mut files: usize = 0;
    for (path, text) in named.chain(plain) {
        let file = folder.join(name.put_into(path));
        write_file(&file, &text).map_err(|reason| failed(&file, reason))?;
        files = files.saturating_add(1);
    }
    Ok(files)
}

/// Writes a file that does not exist yet, and its folders.
fn write_file(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

/// A path in a shell's quotes, if it needs them.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./+@".contains(letter);
    if text.chars().all(is_plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::str::FromStr;

    use super::super::project_name::RESERVED;
    use super::*;

    /// All projects, by the name of their folder below `examples/`.
    fn projects() -> impl Iterator<Item = (String, Project)> {
        let name = |language: &Language| language.to_possible_value().unwrap().get_name().to_owned();
        let plugins =
            Language::value_variants().iter().map(move |language| (name(language), language.project()));
        plugins.chain([("site".to_owned(), SITE), ("tenant".to_owned(), TENANT)])
    }

    /// The files below an example, except those that its `.gitignore` names and those that a build leaves.
    fn files_of(example: &Path) -> BTreeSet<String> {
        let ignored = fs::read_to_string(example.join(".gitignore")).unwrap_or_default();
        let ignored: Vec<_> = ignored.lines().map(|line| line.trim_matches('/')).collect();
        let (mut found, mut folders) = (BTreeSet::new(), vec![example.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let path = entry.strip_prefix(example).unwrap().to_str().unwrap();
                let is_ignored = |rule: &&str| {
                    path == *rule
                        || rule.strip_prefix('*').is_some_and(|end| !end.is_empty() && path.ends_with(end))
                };
                if [".jackfield", "Cargo.lock"].contains(&path) || ignored.iter().any(is_ignored) {
                    continue;
                }
                if entry.is_dir() {
                    folders.push(entry);
                } else {
                    found.insert(path.to_owned());
                }
            }
        }
        found
    }

    #[test]
    fn every_file_of_every_example_is_written() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        for (example, project) in projects() {
            let embedded =
                project.named.iter().chain(project.plain).map(|(path, _)| (*path).to_owned()).collect();
            let mut expected = files_of(&examples.join(&example));
            if example == "tenant" {
                // Its plugin is that example.
                expected.append(&mut files_of(&examples.join("rust")));
            }
            assert_eq!(expected, embedded, "{example}");
        }
    }

    #[test]
    fn a_file_that_has_the_name_is_known_to_have_it() {
        let name = ProjectName::from_str("my-plugin").unwrap();
        for (example, project) in projects() {
            for (path, text) in project.named {
                assert_ne!(name.put_into(text), *text, "{example}: {path} does not have the name");
            }
            for (path, text) in project.plain {
                assert!(!text.contains("hello.wasm"), "{example}: {path} has the name");
            }
        }
    }

    #[test]
    fn a_name_that_the_languages_tool_refuses_is_refused_with_one_that_can_be_had() {
        use Language::{C, Go, Js, Python, Rust, RustWstd};
        for (name, refused) in [
            ("build", &[RustWstd][..]),
            ("deps", &[RustWstd]),
            ("examples", &[RustWstd]),
            ("incremental", &[RustWstd]),
            ("vendor", &[Go]),
            ("go", &[Go]),
            ("plugin", &[Go]),
            ("net", &[Go]),
            // Names of Rust's dependencies, and of Go's first package.
            ("wstd", &[]),
            ("serde", &[]),
            ("main", &[]),
            ("std", &[Rust, RustWstd, Js, Python, Go, C]),
            ("test", &[Rust, RustWstd, Js, Python, Go, C]),
            ("target", &[]),
            ("my-build", &[]),
            ("handler", &[]),
        ] {
            let taken = |language: &Language| {
                ProjectName::from_str(name).is_ok_and(|name| language.check(&name).is_ok())
            };
            for language in Language::value_variants() {
                assert_eq!(taken(language), !refused.contains(language), "{name} in {language:?}");
            }
        }
        // The suggestion for any refused name is accepted.
        let refused = Language::value_variants().iter().flat_map(|language| language.project().refused.names);
        for name in refused.chain(&RESERVED) {
            let offered = ProjectName::from_str(&format!("my-{name}")).unwrap();
            assert!(Language::value_variants().iter().all(|language| language.check(&offered).is_ok()));
        }
    }

    #[test]
    fn a_name_replaces_the_examples_where_it_stands_alone() {
        let name = ProjectName::from_str("my-plugin").unwrap();
        for (text, expected) in [
            ("name = \"hello\"", "name = \"my-plugin\""),
            ("# hello\nbuild/hello.wasm hello", "# my-plugin\nbuild/my-plugin.wasm my-plugin"),
            ("Hello, hello-world othello hello_2 hellos", "Hello, hello-world othello hello_2 hellos"),
            ("", ""),
        ] {
            assert_eq!(name.put_into(text), expected);
        }
        let library = name.put_into_all("serve target/release/hello.wasm # hello", Naming::Library);
        assert_eq!(library, "serve target/release/my_plugin.wasm # my-plugin");
    }

    #[test]
    fn a_folder_is_quoted_only_if_a_shell_needs_it() {
        assert_eq!(quoted(Path::new("a/b-c_d.e")), "a/b-c_d.e");
        assert_eq!(quoted(Path::new("it's mine")), r"'it'\''s mine'");
    }
}
