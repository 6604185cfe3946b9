//! `cargo xtask test`: all guests, then every test of the workspace.
//!
//! Tests run against a deadline: one that hangs is ended with everything it started, instead of holding up
//! whoever waits for the result. Building is not counted against it.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::cargo::{announce, cannot_start, cargo, command_line, seconds, step};
use crate::{guests, host};

/// For running the tests, not for building them.
const TESTS_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// What a test run has to clean up after it was asked to end.
const GRACE: Duration = Duration::from_secs(5);

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
        cargo(["test", "--workspace", "--no-run"]).args(for_cargo),
        "the compiler's messages above say what to mend",
    )?;

    let mut tests = cargo(["test", "--workspace"]);
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

/// How a command with a deadline came to its end.
#[derive(Debug)]
enum End {
    Exited(ExitStatus),
    Deadline,
    Interrupted,
}

/// Runs a command in a process group of its own, so that what it starts in turn can be ended with it.
fn run_until(command: &mut Command, deadline: Duration) -> Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Asked for before the child is there: from here on an interrupt no longer ends this process alone.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let child = command.process_group(0).spawn()?;
        let group = group_of(&child)?;
        let mut exit = tokio::task::spawn_blocking(move || wait(child));
        let end = tokio::select! {
            status = &mut exit => return Ok(End::Exited(status??)),
            () = sleep(deadline) => End::Deadline,
            _ = interrupt.recv() => End::Interrupted,
            _ = terminate.recv() => End::Interrupted,
        };
        end_group(group, Signal::TERM);
        let _gone_or_not = timeout(GRACE, &mut exit).await;
        // Also when cargo is gone: a test that it started may not be.
        end_group(group, Signal::KILL);
        Ok(end)
    })
}

fn wait(mut child: Child) -> io::Result<ExitStatus> {
    child.wait()
}

fn group_of(child: &Child) -> Result<Pid> {
    Pid::from_raw(i32::try_from(child.id())?).context("the child has no process id")
}

/// A group that has ended already is what was wanted: that error says nothing.
fn end_group(group: Pid, signal: Signal) {
    let _gone = kill_process_group(group, signal);
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{End, run_until};

    #[test]
    fn a_hanging_test_run_is_ended_with_everything_it_started() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & wait"]).stdout(writer);
        let end = run_until(&mut command, Duration::from_millis(200)).unwrap();
        assert!(matches!(end, End::Deadline), "{end:?}");

        // The pipe ends when the last process that could write to it has ended.
        drop(command);
        let ended = Instant::now();
        reader.read_to_end(&mut Vec::new()).unwrap();
        assert!(ended.elapsed() < Duration::from_secs(30), "what the run had started went on");
    }

    #[test]
    fn a_run_that_ends_in_time_keeps_its_status() {
        let end = run_until(Command::new("sh").args(["-c", "exit 7"]), Duration::from_secs(60)).unwrap();
        assert!(matches!(&end, End::Exited(status) if status.code() == Some(7)), "{end:?}");
    }
}
