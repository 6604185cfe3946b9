//! Running a program for a bounded time, and ending it with everything it started.
//!
//! Owns the process group and the clock; what the end means is for the commands.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

/// What a program has to clean up after it was asked to end.
const GRACE: Duration = Duration::from_secs(5);

/// How a command with a deadline came to its end.
#[derive(Debug)]
pub(crate) enum End {
    Exited(ExitStatus),
    Deadline,
    Interrupted,
}

/// Runs a command in a process group of its own, so that what it starts in turn can be ended with it.
pub(crate) fn run_until(command: &mut Command, deadline: Duration) -> Result<End> {
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
        // Also when the program is gone: what it started may not be.
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
    fn a_hanging_program_is_ended_with_everything_it_started() {
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
