//! The real program as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Runs `jackfield` with these arguments in `folder`, to its end.
///
/// # Panics
/// If it was not built or does not start.
pub fn jackfield<S: AsRef<std::ffi::OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Output {
    let output = Command::new(program()).args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    output.expect("jackfield starts")
}

/// The program's file.
///
/// # Panics
/// If it was not built.
pub fn program() -> PathBuf {
    let path = crate::target_folder().join("debug").join("jackfield");
    assert!(path.exists(), "{} is not there: `cargo xtask test` builds it", path.display());
    path
}

/// A `jackfield` that runs beside the test; ended with it.
pub struct Process {
    child: Child,
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    /// What reads its standard error; none if nobody does.
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `jackfield` with these arguments in `folder`.
    ///
    /// # Panics
    /// If it was not built or does not start.
    pub fn start<S: AsRef<std::ffi::OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Self {
        Self::heard(Command::new(program()).args(arguments).stdin(Stdio::null()), folder)
    }

    /// Starts `jackfield` with these arguments in `folder` by another program, which is given the program's path and them
    /// after its own arguments. The process is that other one, unless it becomes `jackfield`.
    ///
    /// # Panics
    /// If that does not start.
    pub fn start_by<S: AsRef<std::ffi::OsStr>>(
        folder: &Path,
        by: impl IntoIterator<Item = S>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut by = by.into_iter();
        let mut command = Command::new(by.next().expect("a program is named"));
        Self::heard(command.args(by).arg(program()).args(arguments).stdin(Stdio::null()), folder)
    }

    fn heard(command: &mut Command, folder: &Path) -> Self {
        let mut process = Self::spawn(command, folder);
        let stderr = BufReader::new(process.child.stderr.take().expect("its standard error is piped"));
        let heard = process.lines.clone();
        process.reader = Some(std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.0.lock().expect("no reader panics").push(line);
                heard.1.notify_all();
            }
        }));
        process
    }

    /// Starts `jackfield serve` in `folder`, and hands a listening socket over to it as systemd would.
    ///
    /// # Panics
    /// If it was not built or does not start.
    pub fn start_with_socket(folder: &Path, socket: &std::net::TcpListener) -> Self {
        // The process id that is to be told is known only there, and so is the descriptor's number.
        let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve 3<&0 0</dev/null";
        let mut command = Command::new("sh");
        let socket = socket.try_clone().expect("a socket can be had twice");
        command.args(["-c", script]).arg(program()).stdin(std::os::fd::OwnedFd::from(socket));
        Self::heard(&mut command, folder)
    }

    /// The same, with a standard error that nobody reads.
    ///
    /// # Panics
    /// If it was not built or does not start.
    pub fn start_unread<S: AsRef<std::ffi::OsStr>>(
        folder: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::spawn(Command::new(program()).args(arguments).stdin(Stdio::null()), folder)
    }

    fn spawn(command: &mut Command, folder: &Path) -> Self {
        let command = command.current_dir(folder).stdout(Stdio::null());
        let child = command.stderr(Stdio::piped()).spawn().expect("jackfield starts");
        Self { child, lines: Arc::default(), reader: None }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to standard error.
    ///
    /// # Panics
    /// If the thread that reads it has.
    pub fn lines(&self) -> Vec<String> {
        self.lines.0.lock().expect("no reader panics").clone()
    }

    /// Everything that it wrote to standard error, to the end of it: it has ended, and whoever it has started.
    ///
    /// # Panics
    /// If somebody goes on writing there.
    pub fn last_lines(&self) -> Vec<String> {
        let began = Instant::now();
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) {
            assert!(
                began.elapsed() < PATIENCE,
                "its standard error has no end:\n{}",
                self.lines().join("\n")
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        self.lines()
    }

    /// Waits for a line on standard error that contains `text`, and gives it.
    ///
    /// # Panics
    /// If none comes in time.
    pub fn wait_for_line(&self, text: &str) -> String {
        let began = Instant::now();
        let mut lines = self.lines.0.lock().expect("no reader panics");
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = PATIENCE.checked_sub(began.elapsed()).unwrap_or_default();
            assert!(!left.is_zero(), "waited in vain for `{text}` in:\n{}", lines.join("\n"));
            lines = self.lines.1.wait_timeout(lines, left).expect("no reader panics").0;
        }
    }

    /// Where it listens, as soon as it says so.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn address(&self) -> SocketAddr {
        let line = self.wait_for_line("listening address=");
        let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
        address
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("no TCP address in: {line}"))
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("it has an id"), signal).expect("it runs");
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// If the system does not tell.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be waited for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end:\n{}", self.lines().join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // By its own id, and only if it has not ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
