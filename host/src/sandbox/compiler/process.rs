//! A child process from the outside: fed, read, bounded in time and output, and always reaped.
//!
//! One thread does all of it, by `poll`. Knows nothing of components. A child that is to end early is killed. However
//! a child ends, it is waited for before `run` returns, so that none is left behind.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The most bytes that are read, or written, at once.
const PIECE_BYTES: usize = 64 << 10;

/// The number of last bytes of standard error that are kept: its end says why a process died.
const KEPT_COMPLAINT_BYTES: usize = 4096;

/// The bounds of a child.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChildBounds {
    /// The longest time by the wall clock.
    pub(super) time: Duration,
    /// The most bytes on standard output.
    pub(super) output_bytes: usize,
}

/// A child that has ended.
#[derive(Debug)]
pub(super) struct ChildExit {
    pub(super) how: ExitCause,
    /// The bytes that the child wrote to standard output.
    pub(super) output: Vec<u8>,
    /// The end of the child's standard error.
    pub(super) complaint: String,
}

/// The way in which a child ended.
#[derive(Debug)]
pub(super) enum ExitCause {
    /// The child ended by itself, or by a signal from elsewhere.
    Exited(ExitStatus),
    /// The child was killed when its time was over.
    TimeIsOver,
    /// The child was killed when it wrote more than it may.
    WroteTooMuch,
    /// The child was killed because nobody wants its output any more.
    Stopped,
}

/// The signal that tells every child at once to stop.
#[derive(Debug)]
pub(super) struct StopSignal {
    /// The writing end of the pipe. Every child's watcher sees the hang-up when it is dropped.
    held: Mutex<Option<PipeWriter>>,
    heard: PipeReader,
}

impl StopSignal {
    pub(super) fn new() -> io::Result<Self> {
        let (heard, held) = io::pipe()?;
        Ok(Self { held: Mutex::new(Some(held)), heard })
    }

    /// Ends every child that runs, and lets none begin.
    pub(super) fn stop(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Runs a child to its end.
///
/// # Errors
/// If the child cannot be started, or the system refuses to tell its state.
pub(super) fn run(
    command: &mut Command,
    input: &[u8],
    bounds: ChildBounds,
    stop: &StopSignal,
) -> io::Result<ChildExit> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Reaped(command.spawn()?);
    let mut pipes = Pipes::of(&mut child.0, input, bounds.output_bytes)?;
    let end = pipes.serve(bounds.time, &stop.heard);
    let Pipes { output, complaint, .. } = pipes;
    // The child has closed its pipes and is ending, or is to end: a signal that comes too late changes nothing.
    let status = child.end()?;
    let how = match end? {
        End::Closed => ExitCause::Exited(status),
        End::TimeIsOver => ExitCause::TimeIsOver,
        End::WroteTooMuch => ExitCause::WroteTooMuch,
        End::Stopped => ExitCause::Stopped,
    };
    Ok(ChildExit { how, output, complaint: String::from_utf8_lossy(&complaint).into_owned() })
}

/// A child process that is killed and waited for, at the latest when this is dropped.
struct Reaped(Child);

impl Reaped {
    fn end(&mut self) -> io::Result<ExitStatus> {
        // The kill is refused only if the child has been waited for already.
        let _ = self.0.kill();
        self.0.wait()
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The reason why the pipes are served no longer.
enum End {
    Closed,
    TimeIsOver,
    WroteTooMuch,
    Stopped,
}

/// The host's ends of a child's pipes. A closed end is `None`.
struct Pipes<'a> {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    unsent: &'a [u8],
    output: Vec<u8>,
    most_output_bytes: usize,
    complaint: Vec<u8>,
}

impl<'a> Pipes<'a> {
    fn of(child: &mut Child, unsent: &'a [u8], most_output_bytes: usize) -> io::Result<Self> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        for pipe in [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ] {
            pipe.map_or(Ok(()), |pipe| rustix::io::ioctl_fionbio(pipe, true))?;
        }
        Ok(Self {
            stdin,
            stdout,
            stderr,
            unsent,
            output: Vec::new(),
            most_output_bytes,
            complaint: Vec::new(),
        })
    }

    /// Serves the pipes until the child closes both that it writes to, or is to end.
    fn serve(&mut self, time: Duration, stop: &PipeReader) -> io::Result<End> {
        let began = Instant::now();
        while self.stdout.is_some() || self.stderr.is_some() {
            let left = time.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(End::TimeIsOver);
            }
            if self.wait(left, stop.as_fd())? {
                return Ok(End::Stopped);
            }
            self.feed();
            self.hear();
            if self.output.len() > self.most_output_bytes {
                return Ok(End::WroteTooMuch);
            }
        }
        Ok(End::Closed)
    }

    /// Waits until a pipe is ready or the time is over. True if the child is to be stopped.
    fn wait(&self, left: Duration, stop: BorrowedFd<'_>) -> io::Result<bool> {
        let stop = PollFd::from_borrowed_fd(stop, PollFlags::IN);
        let mut waited_for = vec![stop];
        for pipe in [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd)] {
            waited_for.extend(pipe.map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
        }
        let stdin = self.stdin.as_ref().map(AsFd::as_fd);
        waited_for.extend(stdin.map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::OUT)));
        let timeout =
            Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::from(u32::MAX), tv_nsec: 0 });
        match poll(&mut waited_for, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(waited_for.first().is_some_and(|stop| !stop.revents().is_empty()))
    }

    /// Sends what the child takes at once, and closes its standard input behind the last byte.
    fn feed(&mut self) {
        let Some(stdin) = &mut self.stdin else { return };
        let piece = self.unsent.get(..PIECE_BYTES).unwrap_or(self.unsent);
        let sent = if piece.is_empty() { Ok(0) } else { stdin.write(piece) };
        match sent {
            Ok(sent) => self.unsent = self.unsent.get(sent..).unwrap_or_default(),
            Err(error) if is_for_later(&error) => return,
            // The child reads no more: its output, or its end, tells why.
            Err(_) => self.unsent = &[],
        }
        if self.unsent.is_empty() {
            self.stdin = None;
        }
    }

    fn hear(&mut self) {
        if let Some(stdout) = &mut self.stdout
            && !read_some(stdout, &mut self.output)
        {
            self.stdout = None;
        }
        if let Some(stderr) = &mut self.stderr {
            if !read_some(stderr, &mut self.complaint) {
                self.stderr = None;
            }
            let surplus = self.complaint.len().saturating_sub(KEPT_COMPLAINT_BYTES);
            self.complaint.drain(..surplus);
        }
    }
}

/// Reads the bytes that are there, at most one piece. True if more may come.
fn read_some(pipe: &mut impl Read, into: &mut Vec<u8>) -> bool {
    let mut piece = [0; PIECE_BYTES];
    match pipe.read(&mut piece) {
        Ok(0) => false,
        Ok(read) => {
            into.extend_from_slice(piece.get(..read).unwrap_or_default());
            true
        }
        Err(error) => is_for_later(&error),
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: ChildBounds = ChildBounds { time: Duration::from_secs(60), output_bytes: 1 << 20 };

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_child_is_fed_and_read_at_once_however_much_there_is() {
        let input = vec![b'x'; 700_000];
        let ended = run(&mut sh("cat; echo done >&2"), &input, PATIENT, &StopSignal::new().unwrap()).unwrap();
        assert!(matches!(ended.how, ExitCause::Exited(status) if status.success()), "{:?}", ended.how);
        assert!(ended.output == input);
        assert_eq!(ended.complaint, "done\n");
    }

    #[test]
    fn a_child_that_reads_nothing_is_no_hindrance() {
        let input = vec![b'x'; 700_000];
        let ended =
            run(&mut sh("exec 0<&-; echo out"), &input, PATIENT, &StopSignal::new().unwrap()).unwrap();
        assert_eq!(ended.output, b"out\n");
    }

    #[test]
    fn a_child_that_does_not_end_is_killed_when_its_time_is_over() {
        let bounds = ChildBounds { time: Duration::from_millis(50), ..PATIENT };
        let ended = run(&mut sh("exec sleep 600"), b"", bounds, &StopSignal::new().unwrap()).unwrap();
        assert!(matches!(ended.how, ExitCause::TimeIsOver), "{:?}", ended.how);
    }

    #[test]
    fn a_child_that_writes_without_end_is_killed() {
        let ended = run(&mut sh("exec yes"), b"", PATIENT, &StopSignal::new().unwrap()).unwrap();
        assert!(matches!(ended.how, ExitCause::WroteTooMuch), "{:?}", ended.how);
    }

    #[test]
    fn every_child_ends_when_it_is_wanted_no_longer_and_none_begins_after() {
        let stop = StopSignal::new().unwrap();
        std::thread::scope(|threads| {
            let children: Vec<_> = (0..2)
                .map(|_| threads.spawn(|| run(&mut sh("exec sleep 600"), b"", PATIENT, &stop).unwrap()))
                .collect();
            stop.stop();
            for child in children {
                assert!(matches!(child.join().unwrap().how, ExitCause::Stopped));
            }
        });
        let late = run(&mut sh("exec sleep 600"), b"", PATIENT, &stop).unwrap();
        assert!(matches!(late.how, ExitCause::Stopped), "{:?}", late.how);
    }

    #[test]
    fn how_a_child_died_is_known() {
        use std::os::unix::process::ExitStatusExt;
        let ended =
            run(&mut sh("echo ouch >&2; kill -SEGV $$"), b"", PATIENT, &StopSignal::new().unwrap()).unwrap();
        assert!(
            matches!(ended.how, ExitCause::Exited(status) if status.signal() == Some(11)),
            "{:?}",
            ended.how
        );
        assert_eq!(ended.complaint, "ouch\n");
    }
}
