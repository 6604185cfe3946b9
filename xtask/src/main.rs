//! What people run in this repository: `cargo xtask demo`, `test`, `examples`, `bench`, `compare` and `lint`.
//!
//! Owns the command line; each command is a file of its own. Only Rust from rustup and a C compiler are
//! needed beforehand: whatever else a command needs it adds itself, and says so; `examples` alone asks for more.

mod bench;
mod cargo;
mod compare;
mod deadline;
mod demo;
mod examples;
mod guests;
mod host;
mod lint;
mod test;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What people run in this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Test(test::Arguments),
    Examples(examples::Arguments),
    Bench(bench::Arguments),
    Compare(compare::Arguments),
    /// Check formatting, clippy, documentation, licences and sources.
    ///
    /// Every check runs, also after one has failed. Adds rustfmt and clippy through rustup if they are missing,
    /// and cargo-deny under target/tools.
    Lint,
    /// The server that `bench` compares with
    #[command(hide = true)]
    BareHyper(bench::bare_hyper::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Examples(arguments) => examples::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Lint => lint::run(),
        Command::BareHyper(arguments) => bench::bare_hyper::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
