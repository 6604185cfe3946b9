//! The command line: arguments in, answers out, one exit code.
//!
//! Turns arguments into calls of the rooms and prints what they say; decides nothing itself.

mod check;
mod confinement;
mod explain;
mod inspect;
mod new;
mod serve;
mod threads;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
/// The sockets that whoever started this process has handed over.
pub use listenfd::ListenFd as HandedOver;

use crate::deploy::Environment;
use crate::limits::IntakeLimits;
use crate::observe::{Format, Level, Log, acts_on_a_terminal};
use crate::sandbox::{
    CodeSettings, Compiler, CompilerProgram, CompilerSettings, PoolSettings, Sandbox, Task,
    compile_standard_input,
};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// It did what was asked.
    Done,
    /// What was asked was refused, or failed.
    Refused,
    /// What was asked makes no sense.
    WrongUsage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::WrongUsage => 2,
        })
    }
}

/// An HTTP host for WebAssembly plugins: many tenants, enforced limits, changes without a restart.
#[derive(Debug, Parser)]
#[command(name = "jackfield", version, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a site, or one component, until SIGTERM or SIGINT.
    ///
    /// The site file and its components are watched: a change is live as soon as it is checked and
    /// compiled, without a failed request; a broken one changes nothing. SIGHUP reloads now.
    Serve(Serve),
    /// Check a site file and its components as `serve` would, and start nothing.
    Check(Check),
    /// Tell what a component is: its plugs, its imports, and the grants that they take.
    Inspect(Inspect),
    /// Tell where a request would go, and why.
    Explain(Explain),
    /// Write a first plugin, ready to be built, served and changed.
    New(New),
    /// Compile a component from standard input to standard output, for a host that started this process.
    #[command(hide = true)]
    Compile(Compile),
}

#[derive(Debug, Args)]
struct Serve {
    /// One component to serve at every path, with every grant but origins, instead of a site.
    #[arg(value_name = "FILE.wasm", conflicts_with = "config")]
    component: Option<PathBuf>,
    /// The site file.
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    config: PathBuf,
    /// Where the one component is served, instead of 127.0.0.1:8080; a site file says it itself.
    #[arg(long, value_name = "ADDRESS", requires = "component")]
    listen: Option<SocketAddr>,
    /// How log lines are written to standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// The least important lines that are written.
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,
}

#[derive(Debug, Args)]
struct Check {
    /// The site file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Inspect {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Print what it is as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Explain {
    /// The site file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The request's method.
    method: String,
    /// The request's URL, host included: http://shop.example.com/api/books
    url: String,
    /// A header of the request; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE")]
    headers: Vec<String>,
    /// Print the explanation as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct New {
    /// Its name: words of a-z and 0-9 with `-` between them.
    name: new::ProjectName,
    /// The language, and how it talks to the host.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// The folder that it is written into, instead of one of its name.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Compile {
    /// Bytes of address space that a memory has in the host's pool.
    reservation: u64,
    /// Those behind it that are never mapped.
    guard: u64,
    /// Milliseconds of CPU that compiling may take.
    time: u64,
    /// Bytes of address space that compiling may take.
    memory: u64,
    /// The host's process.
    #[arg(value_name = "HOST")]
    parent: u32,
    /// Keep what the system would let this process do.
    #[arg(long)]
    unconfined: bool,
    /// What a memory begins with is copied into it, not mapped.
    #[arg(long)]
    copied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// A lean handler: whole requests and answers, the least work a call.
    Rust,
    /// A wasi:http handler, with the crate `wstd`.
    RustWstd,
    /// A wasi:http handler, with the web's own API.
    Js,
    /// A wasi:http handler, with componentize-py.
    Python,
    /// A wasi:http handler, with `net/http`.
    Go,
    /// A wasi:http handler, with no library.
    C,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people; in colour on a terminal.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    /// Everything.
    Debug,
    /// Requests and changes.
    Info,
    /// What is odd.
    Warn,
    /// What failed.
    Error,
}

/// Runs the command that `arguments` ask for, in this environment, with the sockets that were handed over.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    sockets: HandedOver,
) -> ExitCode {
    let environment: Vec<_> = environment.into_iter().collect();
    let colours = Colours::asked_for_by(&environment);
    let environment = Environment::from_iter(environment);
    let arguments = match parse(arguments, colours) {
        Ok(arguments) => arguments,
        Err(asked) => {
            let is_help = !asked.use_stderr();
            // A closed pipe is no reason to fail.
            let _ = asked.print();
            return if is_help { Exit::Done } else { Exit::WrongUsage }.into();
        }
    };
    let exit = match arguments.command {
        Command::Serve(serve) => serve::run(serve, environment, sockets, colours),
        Command::Check(check) => check::run(&check, &environment, colours),
        Command::Inspect(inspect) => inspect::run(&inspect),
        Command::Explain(explain) => explain::run(&explain, colours),
        Command::New(new) => new::run(&new),
        Command::Compile(compile) => {
            let Compile { reservation, guard, time, memory, parent, unconfined, copied } = compile;
            let code =
                CodeSettings { reservation_bytes: reservation, guard_bytes: guard, maps_images: !copied };
            let task = Task {
                code,
                time: Duration::from_millis(time),
                memory_bytes: memory,
                is_confined: !unconfined,
                parent,
            };
            match compile_standard_input(task) {
                Ok(()) => Exit::Done,
                Err(error) => refuse(error),
            }
        }
    };
    exit.into()
}

/// What `check` and `inspect` compile with: they keep nothing.
fn compiler(pool: PoolSettings, limits: IntakeLimits) -> Result<Compiler, String> {
    let sandbox = Sandbox::new(pool).map_err(|error| error.to_string())?;
    let program = CompilerProgram::this();
    let program = program.map_err(|error| format!("cannot tell which program this is: {error}"))?;
    let log = Log::new(Format::Text, Level::Warn, Box::new(std::io::stderr()));
    let log = log.map_err(|error| format!("cannot start the thread that writes the log: {error}"))?;
    let settings = CompilerSettings { program, limits, is_confined: true, cache: None, log };
    Compiler::new(sandbox, settings).map_err(|error| format!("cannot set up the compiler: {error}"))
}

/// One line (or a few) of an answer.
fn say(text: impl Display) {
    // Whoever closed the pipe wants no more of it.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Why there is none.
fn complain(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// An error that has no place in a file, in the form that those have.
fn refuse(reason: impl Display) -> Exit {
    // A reason may repeat names that a component chose.
    let harmless = |c: char| if c != '\n' && acts_on_a_terminal(c) { char::REPLACEMENT_CHARACTER } else { c };
    let reason: String = reason.to_string().chars().map(harmless).collect();
    complain(format_args!("error: {reason}"));
    Exit::Refused
}

/// An error and what it came from, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = error.source();
    }
    text
}

/// A JSON answer.
fn say_json(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(value) {
        say(text);
    }
}

/// Whether what people read may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    /// On a terminal.
    Auto,
    /// Nowhere.
    Never,
}

impl Colours {
    /// By the two variables by which people say that they want none: `NO_COLOR` with any text in it (no-color.org), and a
    /// terminal that calls itself dumb.
    fn asked_for_by(environment: &[(OsString, OsString)]) -> Self {
        let is_against = |(name, value): &(OsString, OsString)| {
            (name == "NO_COLOR" && !value.is_empty()) || (name == "TERM" && value == "dumb")
        };
        if environment.iter().any(is_against) { Self::Never } else { Self::Auto }
    }

    /// Whether they are on standard error.
    fn are_shown(self) -> bool {
        self == Self::Auto && std::io::stderr().is_terminal()
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>, colours: Colours) -> Result<Arguments, clap::Error> {
    let choice = match colours {
        Colours::Auto => ColorChoice::Auto,
        Colours::Never => ColorChoice::Never,
    };
    let matches = Arguments::command().color(choice).try_get_matches_from(arguments)?;
    Arguments::from_arg_matches(&matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_of_people_who_have_said_nothing_against_them() {
        for (name, value, expected) in [
            ("TERM", "xterm-256color", Colours::Auto),
            ("NO_COLOR", "", Colours::Auto),
            ("NO_COLOR", "1", Colours::Never),
            ("NO_COLOR", "0", Colours::Never),
            ("TERM", "dumb", Colours::Never),
        ] {
            let environment = [("HOME".into(), "/".into()), (name.into(), value.into())];
            assert_eq!(Colours::asked_for_by(&environment), expected, "{name}={value}");
        }
    }

    #[test]
    fn every_command_and_flag_says_what_it_does_in_eighty_columns() {
        let mut root = Arguments::command();
        root.build();
        let mut commands = vec![root];
        while let Some(mut command) = commands.pop() {
            let name = command.get_name().to_owned();
            assert!(command.get_about().is_some(), "{name} says nothing");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name} {argument} says nothing");
            }
            let help = command.render_long_help().to_string();
            assert!(help.lines().all(|line| line.len() <= 80), "{name}: a line is too long:\n{help}");
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
