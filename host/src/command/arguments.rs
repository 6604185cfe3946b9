//! The command line's arguments, and the words of its help.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::answer::Colours;
use super::project_name::ProjectName;
use super::remote::RemoteCommand;

/// An HTTP host for WebAssembly plugins: many tenants, enforced limits, changes without a restart.
#[derive(Debug, Parser)]
#[command(name = "jackfield", version, max_term_width = 80)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
    /// Write a first plugin, a site or a tenant, ready to be built, served and changed.
    New(New),
    #[command(flatten)]
    Remote(RemoteCommand),
    /// Compile a component from standard input to standard output, for a host that started this process.
    #[command(hide = true)]
    Compile(Compile),
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// One component to serve at every path, with every grant but origins, instead of a site.
    #[arg(value_name = "FILE.wasm", conflicts_with = "config")]
    pub(super) component: Option<PathBuf>,
    /// The site file.
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    pub(super) config: PathBuf,
    /// Where the one component is served, instead of 127.0.0.1:8080; a site file says it itself.
    #[arg(long, value_name = "ADDRESS", requires = "component")]
    pub(super) listen: Option<SocketAddr>,
    /// How log lines are written to standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// The least important lines that are written.
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub(super) log_level: LogLevel,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The site file.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Print the findings as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    pub(super) file: PathBuf,
    /// Print what it is as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The site file.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The request's method.
    pub(super) method: String,
    /// The request's URL, host included: http://shop.example.com/api/books
    pub(super) url: String,
    /// A header of the request; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE")]
    pub(super) headers: Vec<String>,
    /// Print the explanation as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// Its name: words of a-z and 0-9 with `-` between them.
    pub(super) name: ProjectName,
    /// The language, and how it talks to the host.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    pub(super) lang: Language,
    /// A site of files and an API, instead of a plugin.
    #[arg(long, conflicts_with = "lang")]
    pub(super) site: bool,
    /// A tenant file and its plugin in Rust, to be published on a host that others run.
    #[arg(long, conflicts_with_all = ["lang", "site"])]
    pub(super) tenant: bool,
    /// The folder that it is written into, instead of one of its name.
    #[arg(long, value_name = "DIR")]
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Compile {
    /// Bytes of address space that a memory has in the host's pool.
    pub(super) reservation: u64,
    /// Those behind it that are never mapped.
    pub(super) guard: u64,
    /// Milliseconds of CPU that compiling may take.
    pub(super) time: u64,
    /// Bytes of address space that compiling may take.
    pub(super) memory: u64,
    /// The host's process.
    #[arg(value_name = "HOST")]
    pub(super) parent: u32,
    /// Keep what the system would let this process do.
    #[arg(long)]
    pub(super) unconfined: bool,
    /// What a memory begins with is copied into it, not mapped.
    #[arg(long)]
    pub(super) copied: bool,
    /// A new instance reads each page of a small memory.
    #[arg(long)]
    pub(super) read: bool,
    /// Instances can be put back to their start, where that can be done.
    #[arg(long)]
    pub(super) restored: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
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
pub(super) enum LogFormat {
    /// For people; in colour on a terminal.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LogLevel {
    /// Everything.
    Debug,
    /// Requests and changes.
    Info,
    /// What is odd.
    Warn,
    /// What failed.
    Error,
}

/// Reads the arguments; what cannot be read, or asks for help, is the answer to print.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    colours: Colours,
) -> Result<Arguments, clap::Error> {
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
