//! The projects that `jackfield new` can write.
//!
//! Owns the list of their files, and what differs from language to language. The files are those below `examples/`,
//! embedded without a change, so the files that are written are those that are tested. Leaves to `new` how they are
//! given a name and written.

use super::arguments::Language;

/// The name of the file that a project is built into.
#[derive(Debug, Clone, Copy)]
pub(super) enum Naming {
    /// The project's name.
    Project,
    /// The project's name as Rust names a library: `_` for each `-`.
    Library,
}

/// An embedded example.
pub(super) struct Project {
    /// The kind of project, in a few words.
    pub(super) what: &'static str,
    /// Path and text of each file in which `hello` is the project's name.
    pub(super) named: &'static [(&'static str, &'static str)],
    /// Path and text of each other file.
    pub(super) plain: &'static [(&'static str, &'static str)],
    /// The steps from the written files to a project that is served.
    pub(super) steps: Steps,
    /// The relation between the built file's name and the project's.
    pub(super) naming: Naming,
    /// Names that the language's tool refuses, beyond those that no project may have.
    pub(super) refused: Refused,
}

/// The steps from a project's files to a project that is served.
pub(super) enum Steps {
    /// The command builds a project, in its folder; `made` is the built file of one called `hello`, relative to it.
    Build { command: &'static str, made: &'static str },
    /// The components of these packages are built in a clone of Jackfield, and copied into the project's folder.
    Copy { packages: &'static [&'static str] },
    /// The command builds a project, in its folder; a host has to be known before it is published.
    Deploy { command: &'static str },
}

/// Names that the tool of a language refuses.
pub(super) struct Refused {
    pub(super) names: &'static [&'static str],
    /// The tool that refuses them, and the reason.
    pub(super) why: &'static str,
}

/// For a language whose tool refuses no name.
const NOTHING: Refused = Refused { names: &[], why: "" };

/// Embeds files of one or several examples.
macro_rules! files {
    ($($example:literal: $($path:literal),* $(,)?);+) => {
        &[$($(($path, include_str!(concat!("../../../examples/", $example, "/", $path))),)*)+]
    };
}

impl Language {
    pub(super) fn project(self) -> Project {
        match self {
            Self::Rust => RUST,
            Self::RustWstd => RUST_WSTD,
            Self::Js => JS,
            Self::Python => PYTHON,
            Self::Go => GO,
            Self::C => C,
        }
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
    steps: Steps::Build {
        command: "cargo build --release --target wasm32-wasip2",
        made: "target/wasm32-wasip2/release/hello.wasm",
    },
    naming: Naming::Library,
    refused: NOTHING,
};

const RUST_WSTD: Project = Project {
    what: "a wasi:http handler in Rust",
    named: files!("rust-wstd": "Cargo.toml", "README.md"),
    plain: files!("rust-wstd": ".gitignore", "src/main.rs"),
    steps: Steps::Build {
        command: "cargo build --release --target wasm32-wasip2",
        made: "target/wasm32-wasip2/release/hello.wasm",
    },
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
    steps: Steps::Build { command: "npm run build", made: "hello.wasm" },
    naming: Naming::Project,
    refused: NOTHING,
};

const PYTHON: Project = Project {
    what: "a wasi:http handler in Python",
    named: files!("python": ".gitignore", "Makefile", "README.md"),
    plain: files!("python": "handler.py", "requirements.txt", "wit/world.wit"),
    steps: Steps::Build { command: "make", made: "hello.wasm" },
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
    steps: Steps::Build { command: "make", made: "hello.wasm" },
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
    steps: Steps::Build { command: "make", made: "hello.wasm" },
    naming: Naming::Project,
    refused: NOTHING,
};

/// Pages and the API that their script calls, instead of a plugin.
pub(super) const SITE: Project = Project {
    what: "a site of files and an API",
    named: files!("site": "README.md", "site.toml"),
    plain: files!("site":
        ".gitignore",
        "public/favicon.svg",
        "public/index.html",
        "public/script.js",
        "public/style.css",
    ),
    steps: Steps::Copy { packages: &["static-files", "bookstore"] },
    naming: Naming::Project,
    refused: NOTHING,
};

/// A tenant file and a plugin, which is the example in Rust.
pub(super) const TENANT: Project = Project {
    what: "a tenant with a lean handler in Rust",
    named: files!("tenant": "README.md", "tenant.toml"; "rust": "Cargo.toml"),
    plain: RUST.plain,
    steps: Steps::Deploy { command: "cargo build --release --target wasm32-wasip2" },
    naming: Naming::Library,
    refused: NOTHING,
};
