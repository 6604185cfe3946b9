//! `jackfield new`: writes a first plugin in the given language.
//!
//! Owns the list of languages, and the parts of a project that depend on its name. The files are those below
//! `examples/`, embedded without a change, so the files that are written are those that are tested.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use thiserror::Error;

use super::answer::{Exit, refuse, say};
use super::arguments::{Language, New};
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

/// The name of the file that a project is built into.
#[derive(Debug, Clone, Copy)]
enum Naming {
    /// The project's name.
    Project,
    /// The project's name as Rust names a library: `_` for each `-`.
    Library,
}

/// An embedded example.
struct Project {
    /// The kind of project, in a few words.
    what: &'static str,
    /// Path and text of each file in which `hello` is the project's name.
    named: &'static [(&'static str, &'static str)],
    /// Path and text of each other file.
    plain: &'static [(&'static str, &'static str)],
    /// The command that builds the project, in its folder.
    build: &'static str,
    /// The built file of a project called `hello`, relative to its folder.
    made: &'static str,
    /// The relation between the built file's name and the project's.
    naming: Naming,
    /// Names that the language's tool refuses, beyond those that no project may have.
    refused: Refused,
}

/// Names that the tool of a language refuses.
struct Refused {
    names: &'static [&'static str],
    /// The tool that refuses them, and the reason.
    why: &'static str,
}

/// For a language whose tool refuses no name.
const NOTHING: Refused = Refused { names: &[], why: "" };

/// Embeds the files of one example.
macro_rules! files {
    ($example:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../examples/", $example, "/", $path)))),*]
    };
}

impl Language {
    fn project(self) -> Project {
        match self {
            Self::Rust => RUST,
            Self::RustWstd => RUST_WSTD,
            Self::Js => JS,
            Self::Python => PYTHON,
            Self::Go => GO,
            Self::C => C,
        }
    }

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

const RUST: Project = Project {
    what: "a lean handler in Rust",
    named: files!("rust": "Cargo.toml", "README.md"),
    plain: files!("rust":
        ".gitignore",
        "src/lib.rs",
        "wit/context.wit",
        "wit/handler.wit",
        "wit/limiter.wit",
        "wit/request-filter.wit",
        "wit/response-filter.wit",
        "wit/types.wit",
        "wit/worlds.wit",
        "wit/deps/config-0.2.0-draft-2024-09-27/config.wit",
        "wit/deps/config-0.2.0-rc.1/config.wit",
        "wit/deps/keyvalue-0.2.0-draft/keyvalue.wit",
        "wit/deps/keyvalue-0.2.0-draft2/keyvalue.wit",
        "wit/deps/logging-0.1.0-draft/logging.wit",
    ),
    build: "cargo build --release --target wasm32-wasip2",
    made: "target/wasm32-wasip2/release/hello.wasm",
    naming: Naming::Library,
    refused: NOTHING,
};

const RUST_WSTD: Project = Project {
    what: "a wasi:http handler in Rust",
    named: files!("rust-wstd": "Cargo.toml", "README.md"),
    plain: files!("rust-wstd": ".gitignore", "src/main.rs"),
    build: "cargo build --release --target wasm32-wasip2",
    made: "target/wasm32-wasip2/release/hello.wasm",
    naming: Naming::Project,
    // A library may have such a name: its file has another prefix or suffix.
    refused: Refused {
        names: &["build", "deps", "examples", "incremental"],
        why: "cargo builds no program by the name of a folder in `target`",
    },
};

const JS: Project = Project {
    what: "a wasi:http handler in JavaScript",
    named: files!("js": ".gitignore", "README.md", "package.json"),
    plain: files!("js": "handler.js", "wit/world.wit"),
    build: "npm run build",
    made: "hello.wasm",
    naming: Naming::Project,
    refused: NOTHING,
};

const PYTHON: Project = Project {
    what: "a wasi:http handler in Python",
    named: files!("python": ".gitignore", "Makefile", "README.md"),
    plain: files!("python": "handler.py", "requirements.txt", "wit/world.wit"),
    build: "make",
    made: "hello.wasm",
    naming: Naming::Project,
    refused: NOTHING,
};

const GO: Project = Project {
    what: "a wasi:http handler in Go",
    named: files!("go": ".gitignore", "Makefile", "README.md", "go.mod", "main.go"),
    plain: files!("go":
        "componentize.mjs",
        "package.json",
        "wasihttp/client.go",
        "wasihttp/imports.go",
        "wasihttp/memory.go",
        "wasihttp/server.go",
        "wasihttp/values.go",
        "wit/world.wit",
    ),
    build: "make",
    made: "hello.wasm",
    naming: Naming::Project,
    refused: Refused { names: &OF_GO, why: "Go has packages of its own by that name" },
};

/// The names that Go 1.27 does not accept for a module: words with a meaning to its command, and its own packages,
/// which it would find twice.
#[rustfmt::skip]
const OF_GO: [&str; 49] = [
    "all", "arena", "bufio", "builtin", "bytes", "cmd", "cmp", "context", "crypto", "embed", "encoding", "errors",
    "expvar", "flag", "fmt", "go", "hash", "html", "image", "io", "iter", "log", "maps", "math", "mime", "net", "os",
    "path", "plugin", "reflect", "regexp", "runtime", "simd", "slices", "sort", "strconv", "strings", "structs", "sync",
    "syscall", "testing", "time", "tool", "unicode", "unique", "uuid", "vendor", "weak", "work",
];

const C: Project = Project {
    what: "a wasi:http handler in C",
    named: files!("c": ".gitignore", "Makefile", "README.md"),
    plain: files!("c":
        "handler.c",
        "http.c",
        "http.h",
        "json.c",
        "json.h",
        "wit/world.wit",
    ),
    build: "make",
    made: "hello.wasm",
    naming: Naming::Project,
    refused: NOTHING,
};

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
    let project = new.lang.project();
    let written = new.lang.check(&new.name).and_then(|()| write(&project, &new.name, &folder));
    let files = match written {
        Ok(files) => files,
        Err(error) => return refuse(error),
    };
    let made = new.name.put_into_all(project.made, project.naming);
    say(format_args!("{}: {}, {files} files. Build and serve it:\n", folder.display(), project.what));
    say(format_args!("  cd {} && {}", quoted(&folder), project.build));
    say(format_args!("  jackfield serve {made}"));
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

    fn example(language: Language) -> PathBuf {
        let name = language.to_possible_value().unwrap().get_name().to_owned();
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
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
        for language in Language::value_variants() {
            let project = language.project();
            let embedded =
                project.named.iter().chain(project.plain).map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(files_of(&example(*language)), embedded, "{language:?}");
        }
    }

    #[test]
    fn a_file_that_has_the_name_is_known_to_have_it() {
        let name = ProjectName::from_str("my-plugin").unwrap();
        for language in Language::value_variants() {
            let project = language.project();
            for (path, text) in project.named {
                assert_ne!(name.put_into(text), *text, "{language:?}: {path} does not have the name");
            }
            for (path, text) in project.plain {
                assert!(!text.contains("hello.wasm"), "{language:?}: {path} has the name");
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
