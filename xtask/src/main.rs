//! What people run in this repository: `cargo xtask demo`, `test`, `examples`, `bench`, `compare`, `counts` and `lint`.
//!
//! Owns the command line; each command is a file of its own. Only Rust from rustup and a C compiler are
//! needed beforehand: whatever else a command needs it adds itself, and says so; `examples` alone asks for more.

#[cfg(feature = "bench")]
mod bench;
mod cargo;
#[cfg(feature = "bench")]
mod compare;
mod counts;
mod deadline;
mod demo;
mod examples;
mod guests;
mod host;
mod http1;
mod lint;
mod listening;
#[cfg(not(feature = "bench"))]
mod rebuild;
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
    #[cfg(feature = "bench")]
    Bench(bench::Arguments),
    #[cfg(feature = "bench")]
    Compare(compare::Arguments),
    /// Measure what the host costs beside a bare hyper server: CPU time a request, or of streams.
    #[cfg(not(feature = "bench"))]
    Bench(rebuild::Arguments),
    /// Run the hostile guests on this host and on `wasmtime serve`, and write docs/comparison.md.
    #[cfg(not(feature = "bench"))]
    Compare(rebuild::Arguments),
    Counts(counts::Arguments),
    /// Check formatting, clippy, documentation, licences and sources.
    ///
    /// Every check runs, also after one has failed. Adds rustfmt and clippy through rustup if they are missing,
    /// and cargo-deny under target/tools.
    Lint,
    /// The server that `bench` compares with
    #[cfg(feature = "bench")]
    #[command(hide = true)]
    BareHyper(bench::bare_hyper::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Examples(arguments) => examples::run(&arguments),
        #[cfg(feature = "bench")]
        Command::Bench(arguments) => bench::run(&arguments),
        #[cfg(feature = "bench")]
        Command::Compare(arguments) => compare::run(&arguments),
        #[cfg(not(feature = "bench"))]
        Command::Bench(arguments) => rebuild::run("bench", &arguments),
        #[cfg(not(feature = "bench"))]
        Command::Compare(arguments) => rebuild::run("compare", &arguments),
        Command::Counts(arguments) => counts::run(&arguments),
        Command::Lint => lint::run(),
        #[cfg(feature = "bench")]
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
