//! `cargo xtask test`: all guests, then every test of the workspace.
//!
//! Tests run against a deadline: one that hangs is ended with everything it started, instead of holding up
//! whoever waits for the result. Building is not counted against it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo::{announce, cannot_start, command_line, seconds, step};
use crate::deadline::{End, run_until};
use crate::toolchain::host_cargo;
use crate::{guests, host};

/// For running the tests, not for building them.
const TESTS_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Build all guests, then run every test of the workspace.
///
/// Adds Rust's target wasm32-wasip2 if it is missing. Guests are the packages under plugins/ and
/// tests/guests/. The tests are ended after 15 minutes; `cargo test --workspace` runs them without a
/// deadline, once the guests are built.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `cargo test --workspace`: `-- limits` for tests with that in their name, `-- limits --
    /// --nocapture` to see what they print
    #[arg(last = true, value_name = "ARGUMENTS")]
    passed_on: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    guests::build(&guests::all()?)?;
    // `cargo test` builds a program only for tests of its own package; the suite starts the real one.
    host::build()?;

    let mut passed_on = arguments.passed_on.split(|argument| argument == "--");
    let for_cargo = passed_on.next().unwrap_or_default().iter().map(String::as_str);
    step(
        "building the tests",
        host_cargo(["test", "--workspace", "--features", "xtask/bench", "--no-run"])?.args(for_cargo),
        "the compiler's messages above say what to mend",
    )?;

    let mut tests = host_cargo(["test", "--workspace", "--features", "xtask/bench"])?;
    tests.args(&arguments.passed_on).stdin(Stdio::null());
    run_tests(&mut tests)
}

fn run_tests(tests: &mut Command) -> Result<()> {
    let what = "running the tests";
    announce(what, tests);
    let started = Instant::now();
    let status = match run_until(tests, TESTS_DEADLINE).with_context(|| cannot_start(what, tests))? {
        End::Exited(status) => status,
        End::Deadline => bail!(
            "{what} failed: not done within {} minutes, so everything was ended\n  command: {}\n  \
             the last test named above without a result is the one that hangs",
            TESTS_DEADLINE.as_secs() / 60,
            command_line(tests)
        ),
        End::Interrupted => bail!("{what} failed: interrupted"),
    };
    if !status.success() {
        bail!(
            "{what} failed ({status}) after {}\n  command: {}\n  one test alone: cargo xtask test -- NAME",
            seconds(started),
            command_line(tests)
        );
    }
    eprintln!("==> all tests passed in {}", seconds(started));
    Ok(())
}
