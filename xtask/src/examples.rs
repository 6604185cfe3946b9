//! `cargo xtask examples`: the examples in other languages, each built as its README says, and the components of
//! tests/strangers, each written as the users of a framework of others write theirs.
//!
//! Owns what each needs beforehand, which one command builds it, and when that need not be done again. Leaves
//! to the suite's `languages` what the components do, and `examples/rust` to its `new`.

mod sources;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, fs};

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;

use crate::cargo::{announce, cannot_start, command_line, seconds, target_folder, workspace_root};
use crate::deadline::{End, run_until};
use crate::toolchain::ensure_wasm_target;
use sources::Sources;

/// For one language, what has to be fetched for it included.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Build the examples in other languages, each in a copy, into target/examples/LANG.wasm.
///
/// With them those of tests/strangers: what users of the frameworks axum and Hono, and of Spin's SDK, write.
/// What has not changed since it was built is not built again. A language whose tools are missing, or cannot be
/// fetched, is skipped, which is said; if it was named, that is an error. Tools are fetched from npm, PyPI and
/// crates.io.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which; without any, those whose components are not checked in under tests/components
    #[arg(value_name = "LANG")]
    languages: Vec<Language>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    RustWstd,
    Js,
    JsLean,
    Python,
    Go,
    C,
    WstdAxum,
    Hono,
    Spin,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Something that has to be on the machine: what it is called, and a command that succeeds if it is there.
struct Tool {
    name: &'static str,
    probe: &'static [&'static str],
}

const CARGO: Tool = Tool { name: "cargo, from https://rustup.rs", probe: &["cargo", "--version"] };
const MAKE: Tool = Tool { name: "make", probe: &["make", "--version"] };
const NODE: Tool = Tool {
    name: "Node.js 20 or later",
    probe: &["node", "-e", "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)"],
};
const NPM: Tool = Tool { name: "npm", probe: &["npm", "--version"] };
const PYTHON: Tool = Tool {
    name: "Python 3.10 or later with venv (Debian: python3-venv)",
    probe: &["python3", "-c", "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 10))"],
};

/// How an example is built.
struct Recipe {
    tools: &'static [Tool],
    /// Fetches what the build takes from elsewhere, and builds nothing of this repository: so the network is to
    /// blame if it fails, and the example if `build` does.
    fetch: &'static [&'static str],
    /// The one command of the README.
    build: &'static [&'static str],
    made: &'static str,
}

impl Language {
    fn recipe(self) -> Recipe {
        match self {
            Self::RustWstd => Recipe {
                tools: &[CARGO],
                fetch: &["cargo", "fetch"],
                build: &["cargo", "build", "--release", "--target", "wasm32-wasip2"],
                made: "target/wasm32-wasip2/release/hello.wasm",
            },
            Self::WstdAxum | Self::Spin => {
                Recipe { made: "target/wasm32-wasip2/release/stranger.wasm", ..Self::RustWstd.recipe() }
            }
            Self::Hono => Recipe { made: "stranger.wasm", ..Self::Js.recipe() },
            Self::Js | Self::JsLean => Recipe {
                tools: &[NODE, NPM],
                fetch: &["npm", "install", "--no-audit", "--no-fund"],
                build: &["npm", "run", "build"],
                made: "hello.wasm",
            },
            Self::Python => Recipe {
                tools: &[MAKE, PYTHON],
                fetch: &["make", ".tools/done"],
                build: &["make"],
                made: "hello.wasm",
            },
            Self::Go => Recipe {
                tools: &[MAKE, PYTHON, NODE, NPM],
                fetch: &["make", ".tools/bin/go", "node_modules"],
                build: &["make"],
                made: "hello.wasm",
            },
            Self::C => Recipe {
                tools: &[MAKE, PYTHON, CARGO],
                fetch: &["make", ".tools/python", ".tools/bin/wit-bindgen", ".tools/bin/wasm-tools"],
                build: &["make"],
                made: "hello.wasm",
            },
        }
    }

    /// Whether it is written as others write theirs, to be tested, and is no example of ours.
    fn is_of_strangers(self) -> bool {
        matches!(self, Self::WstdAxum | Self::Hono | Self::Spin)
    }

    fn example(self) -> PathBuf {
        let folder = if self.is_of_strangers() { "tests/strangers" } else { "examples" };
        workspace_root().join(folder).join(self.to_string())
    }

    /// Where the suite looks for the component.
    fn component(self) -> PathBuf {
        folder().join(format!("{self}.wasm"))
    }

    /// What the component beside it was built from.
    fn stamp(self) -> PathBuf {
        self.component().with_extension("digest")
    }

    /// The component that is kept in the repository, of a language that makes small ones.
    fn checked_in(self) -> PathBuf {
        workspace_root().join("tests/components").join(format!("{self}.wasm"))
    }

    fn digest(self, sources: &Sources) -> String {
        let recipe = self.recipe();
        sources.digest(&[recipe.fetch, recipe.build].concat())
    }
}

fn folder() -> PathBuf {
    target_folder().join("examples")
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let by_name = !arguments.languages.is_empty();
    let mut languages = arguments.languages.clone();
    if !by_name {
        languages
            .extend(Language::value_variants().iter().filter(|language| !language.checked_in().exists()));
    }
    let (mut said, mut failures) = (Vec::new(), Vec::new());
    for language in languages {
        match build(language) {
            Ok(done) => said.push(format!("{language}: {done}, {}", describe(language)?)),
            Err(Failure::Unavailable(why)) if !by_name => said.push(format!("SKIPPED {language}: {why}")),
            Err(Failure::Unavailable(why)) => failures.push(format!("{language}: {why}")),
            Err(Failure::Broken(why)) => failures.push(format!("{language}: {why:#}")),
            Err(Failure::Interrupted) => bail!("building {language} failed: interrupted"),
        }
    }
    for line in said {
        eprintln!("==> {line}");
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{} of the examples cannot be built\n{}", failures.len(), failures.join("\n"))
}

/// Why there is no component.
enum Failure {
    /// What it takes is not there: what would have to be.
    Unavailable(String),
    /// The example's own build, or this program, failed.
    Broken(anyhow::Error),
    Interrupted,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

/// Builds a language's example, unless it has not changed since; what was done, in words.
fn build(language: Language) -> Result<String, Failure> {
    let recipe = language.recipe();
    let sources = Sources::read(&language.example())?;
    let (digest, stamp) = (language.digest(&sources), language.stamp());
    if language.component().is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == digest) {
        return Ok("not changed since it was built".into());
    }
    check_tools(language, &recipe)?;

    let (started, copy) = (Instant::now(), folder().join(language.to_string()));
    remove(&copy, fs::remove_dir_all)?;
    remove(&stamp, fs::remove_file)?;
    sources.copy_to(&copy)?;
    let step = |what: &str, arguments: &[&str]| {
        let left = DEADLINE.saturating_sub(started.elapsed());
        step(&format!("{what} {language}"), arguments, &copy, left)
    };
    match step("fetching what it takes to build", recipe.fetch) {
        Err(Failure::Broken(why)) => {
            return Err(Failure::Unavailable(format!("{why:#}\n  is the network there?")));
        }
        done => done?,
    }
    step("building", recipe.build)?;

    let made = copy.join(recipe.made);
    fs::rename(&made, language.component())
        .with_context(|| format!("building {language} made no {}", made.display()))?;
    fs::write(&stamp, digest).with_context(|| format!("cannot write {}", stamp.display()))?;
    // Hundreds of megabytes of tools, in some languages. A copy that fails to build stays, to be looked at.
    remove(&copy, fs::remove_dir_all)?;
    Ok(format!("built in {}", seconds(started)))
}

fn check_tools(language: Language, recipe: &Recipe) -> Result<(), Failure> {
    let missing = missing(recipe.tools);
    if !missing.is_empty() {
        return Err(Failure::Unavailable(format!("install {}", missing.join(" and "))));
    }
    if matches!(language, Language::RustWstd | Language::WstdAxum | Language::Spin) {
        ensure_wasm_target().map_err(|why| Failure::Unavailable(format!("{why:#}")))?;
    }
    Ok(())
}

fn missing(tools: &[Tool]) -> Vec<&'static str> {
    let is_missing = |tool: &&Tool| {
        let mut probe = command(tool.probe);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        !matches!(run_until(&mut probe, Duration::from_secs(30)), Ok(End::Exited(status)) if status.success())
    };
    tools.iter().filter(is_missing).map(|tool| tool.name).collect()
}

/// Runs a command of an example's build, in its copy.
fn step(what: &str, arguments: &[&str], copy: &Path, deadline: Duration) -> Result<(), Failure> {
    let mut command = command(arguments);
    // Where a person keeps build output is not where the README looks for it.
    command.current_dir(copy).env_remove("CARGO_TARGET_DIR");
    announce(what, &command);
    let how = match run_until(&mut command, deadline).with_context(|| cannot_start(what, &command))? {
        End::Exited(status) if status.success() => return Ok(()),
        End::Exited(status) => status.to_string(),
        End::Deadline => format!("not done within {} minutes, so it was ended", DEADLINE.as_secs() / 60),
        End::Interrupted => return Err(Failure::Interrupted),
    };
    let command = command_line(&command);
    Err(anyhow!("{what} failed: {how}\n  command: {command}\n  folder: {}", copy.display()).into())
}

fn command(arguments: &[&str]) -> Command {
    let (program, arguments) = arguments.split_first().expect("a command has a program");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The size of a component, and how the checked-in one compares.
fn describe(language: Language) -> Result<String> {
    let (component, kept) = (language.component(), language.checked_in());
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let bytes = read(&component)?;
    let place = |path: &Path| path.strip_prefix(workspace_root()).unwrap_or(path).display().to_string();
    let size = format!("{}, {} KB", place(&component), bytes.len().div_ceil(1000));
    if !kept.exists() {
        return Ok(size);
    }
    let name = place(&kept);
    if read(&kept)? == bytes {
        return Ok(format!("{size}; {name} is the same"));
    }
    // Some tools never make the same bytes twice.
    if read(&kept.with_extension("digest")).ok() == Some(read(&language.stamp())?) {
        return Ok(format!("{size}; {name} is another build of the same sources"));
    }
    let (new, stamp) = (place(&component), place(&language.stamp()));
    Ok(format!("{size}; {name} is of OTHER SOURCES: cp {new} {stamp} tests/components"))
}

fn remove(path: &Path, how: fn(PathBuf) -> std::io::Result<()>) -> Result<()> {
    match how(path.to_owned()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::ValueEnum;

    use super::{Language, Sources, Tool, missing};

    #[test]
    fn each_readme_has_the_command_that_is_run_and_the_file_that_it_makes() {
        for language in Language::value_variants().iter().filter(|language| !language.is_of_strangers()) {
            let readme = fs::read_to_string(language.example().join("README.md")).unwrap();
            let recipe = language.recipe();
            let command = recipe.build.join(" ");
            assert!(readme.lines().any(|line| line.trim() == command), "{language}: no `{command}`");
            let serve = format!("jackfield serve {}", recipe.made);
            assert!(readme.lines().any(|line| line.trim() == serve), "{language}: no `{serve}`");
        }
    }

    #[test]
    fn the_components_that_are_checked_in_are_of_the_sources_as_they_are() {
        for language in [Language::C, Language::JsLean] {
            let kept = fs::read_to_string(language.checked_in().with_extension("digest")).unwrap();
            let sources = Sources::read(&language.example()).unwrap();
            assert_eq!(
                language.digest(&sources),
                kept,
                "`cargo xtask examples {language}` builds it, and says more"
            );
        }
    }

    #[test]
    fn a_tool_that_is_missing_or_too_old_is_named() {
        let tools = [
            Tool { name: "something", probe: &["true"] },
            Tool { name: "something later", probe: &["false"] },
            Tool { name: "no-such-program", probe: &["no-such-program-here", "--version"] },
        ];
        assert_eq!(missing(&tools), ["something later", "no-such-program"]);
    }
}
