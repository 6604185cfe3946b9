//! A server under measurement: a child process, its address, its CPU time and its memory.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use tempfile::TempDir;

use crate::cargo::{cannot_start, command_line};

/// How long a server may take until it listens; the host compiles its component in that time.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// The lines kept of what a server said before it listened, for the case that it never does.
const LAST_WORDS: usize = 20;

/// As much as a pipe holds: a server that logs is never held up for long.
const OUTPUT_BUFFER_BYTES: usize = 64 * 1024;

/// Ended when dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// The site file's, and what the server keeps beside it.
    folder: Option<TempDir>,
}

impl Server {
    /// The host with the text of a site file, in a folder of its own. What it logs is read and thrown away, as a
    /// log collector would take it.
    pub(crate) fn jackfield(program: &Path, site: &str) -> Result<Self> {
        Self::jackfield_telling(program, site, |_line| ())
    }

    /// The same, with each line that it logs after it listens.
    pub(crate) fn jackfield_logging_to(
        program: &Path,
        site: &str,
        lines: mpsc::Sender<String>,
    ) -> Result<Self> {
        // Whoever listens no longer has seen enough.
        Self::jackfield_telling(program, site, move |line| _ = lines.send(line))
    }

    fn jackfield_telling(
        program: &Path,
        site: &str,
        tell: impl FnMut(String) + Send + 'static,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the bench's site file")?;
        let file = folder.path().join("site.toml");
        fs::write(&file, site).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(file).args(["--log-format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = Self::start(command, |child| child.stderr.take(), address_in_log, tell)?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// The bare server, which answers every request with `body`.
    pub(crate) fn bare_hyper(program: &Path, body: &str) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["bare-hyper", "--body", body]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start(command, |child| child.stdout.take(), |line| line.trim().parse().ok(), |_line| ())
    }

    /// `wasmtime serve` with a component, each instance for at most so many calls.
    pub(crate) fn wasmtime(program: &Path, component: &Path, calls_an_instance: u32) -> Result<Self> {
        let calls = calls_an_instance.to_string();
        Self::wasmtime_with(program, component, &["--max-instance-reuse-count", &calls])
    }

    /// The same with these further arguments, and otherwise as it is by itself.
    pub(crate) fn wasmtime_with(program: &Path, component: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(arguments).arg(component);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self::start(command, |child| child.stderr.take(), address_in_url, |_line| ())
    }

    /// A server that listens at `address` in a while, with its folder.
    pub(crate) fn of(mut command: Command, address: SocketAddr, folder: TempDir) -> Result<Self> {
        let child =
            command.spawn().with_context(|| cannot_start("starting a server to measure", &command))?;
        Ok(Self { child, address, folder: Some(folder) })
    }

    /// Starts `command` and waits for the line of its `output` in which `address_in` finds an address.
    fn start<O: Read + Send + 'static>(
        mut command: Command,
        output: impl FnOnce(&mut Child) -> Option<O>,
        address_in: fn(&str) -> Option<SocketAddr>,
        tell: impl FnMut(String) + Send + 'static,
    ) -> Result<Self> {
        let what = "starting a server to measure";
        let mut child = command.spawn().with_context(|| cannot_start(what, &command))?;
        let output = output(&mut child);
        // Made before anything can fail, so that whatever fails ends the child.
        let mut server = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), folder: None };
        let output = output.ok_or_else(|| anyhow!("{what} failed: its output cannot be read"))?;

        let (found, address) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::with_capacity(OUTPUT_BUFFER_BYTES, output);
            let _nobody_waits = found.send(read_address(&mut output, address_in));
            output.lines().map_while(Result::ok).for_each(tell);
        });
        server.address = address
            .recv_timeout(START_DEADLINE)
            .unwrap_or_else(|_| Err(format!("it does not listen after {} s", START_DEADLINE.as_secs())))
            .map_err(|words| anyhow!("{what} failed\n  command: {}\n{words}", command_line(&command)))?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time of all threads so far, those that have ended too, in user and in kernel mode. In steps of
    /// one clock tick, 10 ms on Linux.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let ticks = cpu_ticks(&stat).with_context(|| format!("no CPU times in {path}: {stat}"))?;
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
        // It has nothing to finish; and one that has ended by itself was reported where it was missed.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The first address that a line gives; or, if the output ends without one, the last lines of it.
fn read_address(
    output: &mut impl BufRead,
    address_in: fn(&str) -> Option<SocketAddr>,
) -> Result<SocketAddr, String> {
    let mut last_words = VecDeque::new();
    for line in output.lines().map_while(Result::ok) {
        if let Some(address) = address_in(&line) {
            return Ok(address);
        }
        if last_words.len() == LAST_WORDS {
            last_words.pop_front();
        }
        last_words.push_back(line);
    }
    Err(format!("it ended without listening; its last words:\n{}", Vec::from(last_words).join("\n")))
}

/// The address in the host's log entry `listening`.
fn address_in_log(line: &str) -> Option<SocketAddr> {
    let entry: Value = serde_json::from_str(line).ok()?;
    if entry["message"] != "listening" {
        return None;
    }
    entry["address"].as_str()?.parse().ok()
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

/// The sum of utime and stime, fields 14 and 15 of proc_pid_stat(5). Counted from behind the program's name,
/// which stands in parentheses as field 2 and may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, from_the_third) = stat.rsplit_once(')')?;
    let mut fields = from_the_third.split_ascii_whitespace().skip(14 - 3);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::{address_in_log, address_in_url, cpu_ticks, read_address, resident_bytes};

    #[test]
    fn cpu_time_is_read_behind_any_program_name() {
        for name in ["jackfield", "a (b) c", ") 1 2 3"] {
            let stat = format!("42 ({name}) S 1 42 42 0 -1 4194560 900 0 0 0 1200 34 0 0 20 0 4 0 100 0");
            assert_eq!(cpu_ticks(&stat), Some(1234), "{name}");
        }
        assert_eq!(cpu_ticks("42 (short) S 1"), None);
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

    #[test]
    fn the_address_is_read_from_the_log() {
        let log = "{\"message\":\"compiled\",\"address\":\"127.0.0.1:1\"}\nno json\n\
                   {\"level\":\"info\",\"message\":\"listening\",\"address\":\"127.0.0.1:4321\"}\n";
        let address = read_address(&mut log.as_bytes(), address_in_log);
        assert_eq!(address, Ok("127.0.0.1:4321".parse().unwrap()));
    }

    #[test]
    fn a_server_that_ends_before_it_listens_leaves_its_last_words() {
        let words = read_address(&mut "one\nport 1 is taken\n".as_bytes(), address_in_log).unwrap_err();
        assert!(words.ends_with("one\nport 1 is taken"), "{words}");
    }
}
