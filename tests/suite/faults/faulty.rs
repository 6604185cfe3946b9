//! A host on a machine with a fault: `strace` answers its system calls, or those of a host that runs already.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use jackfield_tests::{PATIENCE, Process};
use rustix::process::{Pid, Signal, kill_process};

/// The longest that a start or an end is waited for: some compile everything anew.
const LONGEST: Duration = Duration::from_secs(60);

/// What a host did.
#[derive(Debug)]
pub(super) enum Came {
    /// It answered with this status.
    Answered(String),
    /// It took the request and gave no answer.
    NoAnswer(String),
    /// It ended by itself.
    Ended(Option<i32>),
    /// Neither.
    Hung,
}

/// What it did, and all that it said of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) came: Came,
    pub(super) said: String,
}

impl Outcome {
    pub(super) fn has_panicked(&self) -> bool {
        self.said.contains("panicked at")
    }

    /// The line that tells most: the first error or warning but those that every host of a test gives.
    pub(super) fn reason(&self) -> &str {
        let usual = ["running as root", "not confined"];
        let told = |line: &&str| {
            (line.contains("error: ") || line.contains(" WARN ") || line.contains("panicked"))
                && !usual.iter().any(|usual| line.contains(usual))
        };
        self.said.lines().find(told).unwrap_or_default()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.came {
            Came::Answered(status) => write!(f, "answers {status}")?,
            Came::NoAnswer(error) => write!(f, "no answer ({error})")?,
            Came::Ended(Some(code)) => write!(f, "exit {code}")?,
            Came::Ended(None) => f.write_str("ended by a signal")?,
            Came::Hung => f.write_str("HUNG")?,
        }
        if self.has_panicked() {
            f.write_str(", PANIC")?;
        }
        Ok(())
    }
}

/// Why no faults can be had here.
pub(super) fn why_no_strace() -> Option<String> {
    let tried = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "inject=getppid:error=EPERM", "true"])
        .stdin(Stdio::null())
        .output();
    match tried {
        Err(error) => Some(format!("`strace` cannot be started: {error}")),
        Ok(tried) if !tried.status.success() => {
            Some(format!("`strace` may not trace: {}", String::from_utf8_lossy(&tried.stderr).trim()))
        }
        Ok(_) => None,
    }
}

/// The arguments that have these calls answered so: `call:error=NAME`, each with `:when=` if it is not always. With a path,
/// only what is done to that.
fn injecting(faults: &[&str], path: Option<&Path>) -> Vec<String> {
    let calls: Vec<_> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
    let mut arguments = vec!["-f".into(), "-o".into(), "/dev/null".into(), "-e".into()];
    arguments.push(format!("trace={}", calls.join(",")));
    for fault in faults {
        arguments.extend(["-e".into(), format!("inject={fault}")]);
    }
    match path {
        Some(path) => arguments.extend(["-P".into(), path.display().to_string()]),
        // Other calls are not even looked at.
        None => arguments.push("--seccomp-bpf".into()),
    }
    arguments
}

/// Starts a host whose calls are answered so, asks it for `/` if it serves, and ends it.
pub(super) fn start(folder: &Path, faults: &[&str], path: Option<&Path>) -> Outcome {
    let by: Vec<_> =
        ["strace".to_owned(), "-qq".to_owned()].into_iter().chain(injecting(faults, path)).collect();
    start_by(folder, by)
}

/// The same by another program, which becomes the host, unless it is `strace`: that is its parent.
pub(super) fn start_by(folder: &Path, by: Vec<String>) -> Outcome {
    let is_traced = by.first().is_some_and(|program| program == "strace");
    let mut process = Process::start_by(folder, by, ["serve".into()]);
    let is_up = |process: &Process| process.lines().iter().any(|line| line.contains("listening address="));
    let ended = until(&mut process, is_up);
    let mut came = match ended {
        Some(status) => Came::Ended(status.code()),
        None if is_up(&process) => ask(process.address(), "/"),
        None => Came::Hung,
    };
    if ended.is_none() {
        let traced = if is_traced { child_of(process.id()) } else { None };
        let host = traced.unwrap_or(process.id());
        signal(host, Signal::TERM);
        if until(&mut process, |_| false).is_none() {
            came = Came::Hung;
            signal(host, Signal::KILL);
            process.wait();
        }
    }
    Outcome { came, said: process.last_lines().join("\n") }
}

/// Waits for something of a process, or its end: how it ended.
fn until(process: &mut Process, is_so: impl Fn(&Process) -> bool) -> Option<ExitStatus> {
    let began = Instant::now();
    while began.elapsed() < LONGEST {
        if let Some(status) = process.try_wait() {
            return Some(status);
        }
        if is_so(process) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// What a host answers to a request of this path.
pub(super) fn ask(address: SocketAddr, path: &str) -> Came {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split_whitespace().nth(1).unwrap_or_default().to_owned())
    };
    match asked() {
        Ok(status) if status.is_empty() => Came::NoAnswer("closed".into()),
        Ok(status) => Came::Answered(status),
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
        {
            Came::Hung
        }
        Err(error) => Came::NoAnswer(error.kind().to_string()),
    }
}

/// A fault of a host that runs, until this is dropped.
pub(super) struct Fault(Child);

impl Fault {
    /// Has the calls of all threads of a process answered so, from now on.
    ///
    /// # Panics
    /// If the process cannot be traced.
    pub(super) fn of(process: &Process, faults: &[&str]) -> Self {
        let mut command = Command::new("strace");
        // What is seccomp's is set when a process starts.
        command.args(injecting(faults, None).into_iter().filter(|argument| argument != "--seccomp-bpf"));
        command.args(["-p", &process.id().to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("strace starts");
        let mut stderr = child.stderr.take().expect("it is piped");
        let mut said = Vec::new();
        let mut piece = [0; 256];
        // `strace: Process 1 attached with 12 threads`
        while !String::from_utf8_lossy(&said).contains("attached") {
            let read = stderr.read(&mut piece).expect("its standard error can be read");
            assert!(read > 0, "{}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&piece[..read]);
        }
        // Whatever else it says is of no interest, but it is to be taken.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self(child)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // It lets the process go, which runs on.
        signal(self.0.id(), Signal::TERM);
        let _ = self.0.wait();
    }
}

pub(super) fn signal(id: u32, signal: Signal) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // It may have ended.
        let _ = kill_process(id, signal);
    }
}

/// The child of a process that has one.
fn child_of(id: u32) -> Option<u32> {
    let is_its_own = |path: &Path| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        // pid (name) state parent …
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok()?;
        (parent == id).then(|| path.file_name()?.to_str()?.parse().ok())?
    };
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    processes.filter_map(|path| is_its_own(&path)).next()
}
