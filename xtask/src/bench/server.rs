//! A server under measurement: a child process with those that it starts, its address, its CPU time and its memory.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cargo::{cannot_start, command_line};
use crate::listening::{address_in_log, read_address};

/// How long a server may take until it listens; the host compiles its component in that time.
pub(super) const START_DEADLINE: Duration = Duration::from_secs(20);

/// As much as a pipe holds: a server that logs is never held up for long.
const OUTPUT_BUFFER_BYTES: usize = 64 * 1024;

/// A program to start as a server.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    /// The one core that it may use, by number; none: all that this process may use.
    core: Option<usize>,
}

impl<P: AsRef<Path>> From<P> for Program {
    fn from(path: P) -> Self {
        Self { path: path.as_ref().to_owned(), core: None }
    }
}

impl Program {
    /// On this core alone, with all threads and processes that it starts. taskset(1) sets that before the program begins:
    /// a server that counts the cores counts one.
    pub(crate) fn on(path: &Path, core: Option<usize>) -> Self {
        Self { path: path.to_owned(), core }
    }

    /// Without arguments.
    pub(crate) fn command(&self) -> Command {
        let Some(core) = self.core else { return Command::new(&self.path) };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &core.to_string()]).arg(&self.path);
        command
    }
}

/// Ended when dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// Its configuration's, and what it keeps beside that.
    folders: Vec<TempDir>,
}

impl Server {
    /// The host with the text of a site file, in a folder of its own. What it logs is read and thrown away, as a
    /// log collector would take it.
    pub(crate) fn jackfield(program: impl Into<Program>, site: &str) -> Result<Self> {
        Self::jackfield_telling(program, site, |_line| ())
    }

    /// The same, with each line that it logs after it listens.
    pub(crate) fn jackfield_logging_to(
        program: impl Into<Program>,
        site: &str,
        lines: mpsc::Sender<String>,
    ) -> Result<Self> {
        // Whoever listens no longer has seen enough.
        Self::jackfield_telling(program, site, move |line| _ = lines.send(line))
    }

    fn jackfield_telling(
        program: impl Into<Program>,
        site: &str,
        tell: impl FnMut(String) + Send + 'static,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the bench's site file")?;
        let file = folder.path().join("site.toml");
        fs::write(&file, site).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self::jackfield_of(program, &file, START_DEADLINE, tell)?.keeping(folder))
    }

    /// The host with a site file of a folder that stays, which may take this long until it listens.
    pub(crate) fn jackfield_with(
        program: impl Into<Program>,
        file: &Path,
        patience: Duration,
    ) -> Result<Self> {
        Self::jackfield_of(program, file, patience, |_line| ())
    }

    fn jackfield_of(
        program: impl Into<Program>,
        file: &Path,
        patience: Duration,
        tell: impl FnMut(String) + Send + 'static,
    ) -> Result<Self> {
        let mut command = program.into().command();
        command.arg("serve").arg("--config").arg(file).args(["--log-format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self::start(command, |child| child.stderr.take(), address_in_log, tell, patience)
    }

    /// The bare server, which answers every request with `body`.
    pub(crate) fn bare_hyper(program: impl Into<Program>, body: &str) -> Result<Self> {
        let mut command = program.into().command();
        command.args(["bare-hyper", "--body", body]);
        Self::announcing(command)
    }

    /// A server that says its address on the first line of its standard output, and ends when its standard input does.
    pub(crate) fn announcing(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start(
            command,
            |child| child.stdout.take(),
            |line| line.trim().parse().ok(),
            |_line| (),
            START_DEADLINE,
        )
    }

    /// `wasmtime serve` with a component and these further arguments, and otherwise as it is by itself.
    pub(crate) fn wasmtime(
        program: impl Into<Program>,
        component: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut command = program.into().command();
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(arguments).arg(component);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self::start(command, |child| child.stderr.take(), address_in_url, |_line| (), START_DEADLINE)
    }

    /// A server that listens at `address` in a while, with its folder. It says why it ends on standard error.
    pub(crate) fn listening_at(mut command: Command, address: SocketAddr, folder: TempDir) -> Result<Self> {
        let what = "starting a server to measure";
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().with_context(|| cannot_start(what, &command))?;
        let mut server = Self { child, address, folders: vec![folder] };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || began.elapsed() > START_DEADLINE {
                let why =
                    ended.map_or("it does not listen".to_owned(), |status| format!("it ended ({status})"));
                bail!(
                    "{what} failed: {why}; the address is {address}\n  command: {}",
                    command_line(&command)
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Starts `command` and waits for the line of its `output` in which `address_in` finds an address.
    fn start<O: Read + Send + 'static>(
        mut command: Command,
        output: impl FnOnce(&mut Child) -> Option<O>,
        address_in: fn(&str) -> Option<SocketAddr>,
        tell: impl FnMut(String) + Send + 'static,
        patience: Duration,
    ) -> Result<Self> {
        let what = "starting a server to measure";
        let mut child = command.spawn().with_context(|| cannot_start(what, &command))?;
        let output = output(&mut child);
        // Made before anything can fail, so that whatever fails ends the child.
        let mut server = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), folders: Vec::new() };
        let output = output.ok_or_else(|| anyhow!("{what} failed: its output cannot be read"))?;

        let (found, address) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::with_capacity(OUTPUT_BUFFER_BYTES, output);
            let _nobody_waits = found.send(read_address(&mut output, address_in));
            output.lines().map_while(Result::ok).for_each(tell);
        });
        server.address = address
            .recv_timeout(patience)
            .unwrap_or_else(|_| Err(format!("it does not listen after {} s", patience.as_secs())))
            .map_err(|words| anyhow!("{what} failed\n  command: {}\n{words}", command_line(&command)))?;
        Ok(server)
    }

    /// Keeps a folder that it reads until it has ended.
    pub(crate) fn keeping(mut self, folder: TempDir) -> Self {
        self.folders.push(folder);
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time so far, in user and in kernel mode: of all threads, and of all processes that it started, those that have
    /// ended too. In steps of one clock tick, 10 ms on Linux.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let processes = Process::all()?;
        let tree = tree(self.child.id(), &processes);
        if tree.is_empty() {
            bail!("the server (process {}) has ended", self.child.id());
        }
        let ticks: u64 = tree.iter().map(|process| process.ticks).sum();
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Files, sockets and others that it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.child.id());
        Ok(fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?.count())
    }

    /// Memory of the process that is in RAM, what it shares with others too.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        resident_bytes(&status).with_context(|| format!("no resident memory in {path}: {status}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let processes = Process::all().unwrap_or_default();
        // It has nothing to finish; and one that has ended by itself was reported where it was missed.
        let _ended = self.child.kill();
        let _status = self.child.wait();
        for process in tree(self.child.id(), &processes) {
            if process.id != self.child.id()
                && let Some(id) = i32::try_from(process.id).ok().and_then(Pid::from_raw)
            {
                let _ended = kill_process(id, Signal::KILL);
            }
        }
    }
}

/// The address in `Serving HTTP on http://127.0.0.1:8080/`.
fn address_in_url(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once("http://")?;
    after.trim_end().trim_end_matches('/').parse().ok()
}

/// `VmRSS` of proc_pid_status(5), whose kB are KiB.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What proc_pid_stat(5) says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    id: u32,
    parent: u32,
    /// CPU time of its threads, and of its children that ended and were waited for.
    ticks: u64,
}

impl Process {
    fn all() -> Result<Vec<Self>> {
        let entries = fs::read_dir("/proc").context("cannot read /proc")?;
        let stats = entries.flatten().filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        });
        // Others end while this looks.
        Ok(stats
            .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
            .filter_map(|stat| Self::read(&stat))
            .collect())
    }

    /// Fields 1, 4, and 14 to 17: utime, stime, cutime, cstime. Counted from behind the program's name, which stands in
    /// parentheses as field 2 and may hold anything.
    fn read(stat: &str) -> Option<Self> {
        let (from_the_first, from_the_third) = stat.rsplit_once(')')?;
        let id = from_the_first.split_ascii_whitespace().next()?.parse().ok()?;
        let mut fields = from_the_third.split_ascii_whitespace().skip(4 - 3);
        let parent = fields.next()?.parse().ok()?;
        let mut times = fields.skip(14 - 5).map(str::parse::<u64>);
        let mut next = || times.next()?.ok();
        Some(Self { id, parent, ticks: next()? + next()? + next()? + next()? })
    }
}

/// The process `root` and all below it.
fn tree(root: u32, processes: &[Process]) -> Vec<&Process> {
    let mut tree: Vec<&Process> = processes.iter().filter(|process| process.id == root).collect();
    let mut looked_at = 0;
    while let Some(parent) = tree.get(looked_at).map(|process| process.id) {
        tree.extend(processes.iter().filter(|process| process.parent == parent));
        looked_at += 1;
    }
    tree
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};
    use std::{fs, thread};

    use super::{Process, Server, address_in_url, resident_bytes, tree};

    #[test]
    fn cpu_time_is_read_behind_any_program_name() {
        for name in ["jackfield", "a (b) c", ") 1 2 3"] {
            let stat = format!("42 ({name}) S 7 42 42 0 -1 4194560 900 0 0 0 1200 34 5 1000 20 0 4 0 100 0");
            assert_eq!(Process::read(&stat), Some(Process { id: 42, parent: 7, ticks: 2239 }), "{name}");
        }
        assert_eq!(Process::read("42 (short) S 1"), None);
    }

    #[test]
    fn a_tree_has_all_that_descends_from_its_root_and_no_other() {
        let process = |id, parent| Process { id, parent, ticks: 1 };
        let all = [process(1, 0), process(9, 5), process(5, 1), process(6, 5), process(7, 1), process(8, 6)];
        let mut ids: Vec<u32> = tree(5, &all).iter().map(|process| process.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [5, 6, 8, 9]);
        assert!(tree(4, &all).is_empty());
    }

    #[test]
    fn the_time_of_a_child_that_computes_counts() {
        let (mut command, address) = (Command::new("sh"), "127.0.0.1:0".parse().unwrap());
        command.args(["-c", "sh -c 'while :; do :; done' & wait"]);
        let server = Server { child: command.spawn().unwrap(), address, folders: Vec::new() };
        let began = Instant::now();
        while server.cpu_time().unwrap() < Duration::from_millis(100) {
            assert!(began.elapsed() < Duration::from_secs(60), "the child's time does not count");
            thread::sleep(Duration::from_millis(10));
        }
        let id = server.child.id();
        let below: Vec<u32> = tree(id, &Process::all().unwrap())
            .iter()
            .map(|process| process.id)
            .filter(|it| *it != id)
            .collect();
        drop(server);
        // Whoever has taken it over may not have waited for it yet: then it is a zombie, and no longer runs.
        let runs = |id: &u32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.contains(") R ") || stat.contains(") S ")
        };
        let began = Instant::now();
        while below.iter().any(runs) {
            assert!(began.elapsed() < Duration::from_secs(60), "{below:?} outlived the server");
            thread::sleep(Duration::from_millis(10));
        }
        assert!(!below.is_empty());
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident_bytes("VmHWM:\t  9000 kB\nVmRSS:\t    12 kB\nThreads:\t3\n"), Some(12 * 1024));
        assert_eq!(resident_bytes("Name:\tzombie\n"), None);
    }

    #[test]
    fn the_address_is_read_from_a_url() {
        let line = "Serving HTTP on http://127.0.0.1:4321/";
        assert_eq!(address_in_url(line), Some("127.0.0.1:4321".parse().unwrap()));
        assert_eq!(address_in_url("Serving nothing"), None);
    }
}
