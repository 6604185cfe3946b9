//! The host under valgrind: how it is started, asked, and told to count.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tempfile::TempDir;

use super::dump::Counts;
use crate::cargo::{cannot_start, command_line};
use crate::http1::Head;
use crate::listening::{address_in_log, read_address};

/// The host compiles its components in that time; under valgrind it is slow.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// An answer that takes longer fails the run.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Until it is looked again whether the host is idle.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// What the plugins answer.
const HELLO: &[u8] = b"hello from version-1\n";

/// The address space of the process. valgrind has no room for the reservations that the host makes by itself.
const ADDRESS_SPACE_BYTES: u64 = 60 << 30;

/// A library in whose process a thread that sleeps does so 100,000 times as long. Code is a hundred times slower in
/// callgrind, and clocks are not: at the host's ticks of 1 ms every call would look long, and some would move to threads for
/// such. A thread that sleeps is the ticker alone; all others wait for events.
const LONG_SLEEP: &str = r"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    struct timespec now = {0, 0}, longer;
    if (flags & TIMER_ABSTIME) syscall(SYS_clock_gettime, clock, &now);
    long long nanoseconds = (until->tv_sec - now.tv_sec) * 1000000000LL + (until->tv_nsec - now.tv_nsec);
    longer.tv_sec = nanoseconds / 10000;
    longer.tv_nsec = 0;
    return syscall(SYS_clock_nanosleep, clock, 0, &longer, 0);
}
";

/// A host in valgrind's callgrind. Ended when dropped.
pub(super) struct Host {
    child: Child,
    connection: TcpStream,
    /// The site file, the host's own files, and valgrind's pipes.
    own: TempDir,
    /// Where callgrind puts its dumps: a number is added to it.
    dumps: PathBuf,
    taken: u32,
}

impl Host {
    /// Starts the program with the text of a site file. On one core: how many it has decides on the number of its threads.
    pub(super) fn start(program: &Path, site: &str, dumps: &Path) -> Result<Self> {
        let what = "starting the host under valgrind";
        let own = tempfile::tempdir().context("cannot make a folder for the site file")?;
        let file = own.path().join("site.toml");
        fs::write(&file, site).with_context(|| format!("cannot write {}", file.display()))?;
        let dumps = dumps.join("callgrind");
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let library = long_sleep(own.path())?;
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &first_core()?.to_string()]);
        command.args(["prlimit", &format!("--as={ADDRESS_SPACE_BYTES}")]);
        command.args(["valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-line=no"]);
        command.arg(option("callgrind-out-file", &dumps)).arg(option("vgdb-prefix", &pipes(&own)));
        command.arg(program).arg("serve").arg("--config").arg(file).args(["--log-format", "json"]);
        command.env("LD_PRELOAD", library);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());

        let mut child = command.spawn().with_context(|| cannot_start(what, &command))?;
        let (found, address) = mpsc::channel();
        if let Some(log) = child.stderr.take() {
            thread::spawn(move || {
                let mut log = BufReader::new(log);
                let _nobody_waits = found.send(read_address(&mut log, address_in_log));
                // Read to its end, as a log collector would.
                log.lines().map_while(Result::ok).for_each(drop);
            });
        }
        let connection = address
            .recv_timeout(START_DEADLINE)
            .unwrap_or_else(|_| Err(format!("it does not listen after {} s", START_DEADLINE.as_secs())))
            .map_err(|words| anyhow!("{what} failed\n  command: {}\n{words}", command_line(&command)))
            .and_then(connect);
        match connection {
            Ok(connection) => Ok(Self { child, connection, own, dumps, taken: 0 }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Requests of one row, each when the host has nothing left to do for the one before: otherwise it is a matter of
    /// speed whether a worker waits for it, or looks once more and finds it.
    pub(super) fn ask(&mut self, row: &str, requests: u32) -> Result<()> {
        let request = format!("GET /{row} HTTP/1.1\r\nhost: counts.example\r\naccept: */*\r\n\r\n");
        for _ in 0..requests {
            self.connection.write_all(request.as_bytes()).context("the host does not read")?;
            self.read_answer().with_context(|| format!("{row} was not answered rightly"))?;
            self.wait_until_idle()?;
        }
        Ok(())
    }

    fn read_answer(&mut self) -> Result<()> {
        let (mut received, mut piece) = (Vec::new(), [0; 4096]);
        let mut more = |received: &mut Vec<u8>| -> Result<()> {
            let bytes = loop {
                match self.connection.read(&mut piece) {
                    // By a signal that this process takes no notice of, such as that it goes on after a stop.
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    read => break read.context("the host does not answer")?,
                }
            };
            ensure!(bytes > 0, "the host closed the connection");
            received.extend_from_slice(&piece[..bytes]);
            Ok(())
        };
        let mut head = loop {
            match Head::read(&received)? {
                Some(head) => break head,
                None => more(&mut received)?,
            }
        };
        let (mut body, mut read) = (Vec::new(), head.bytes);
        loop {
            head.body.read(&received[read..], |piece| body.extend_from_slice(piece))?;
            read = received.len();
            if head.body.is_whole() {
                break;
            }
            more(&mut received)?;
        }
        ensure!(body == HELLO, "the body is `{}`", String::from_utf8_lossy(&body));
        Ok(())
    }

    fn wait_until_idle(&self) -> Result<()> {
        let began = Instant::now();
        let mut idle = 0;
        // Twice: a thread that was looked at already may be woken by one that sleeps before its turn comes.
        while idle < 2 {
            ensure!(began.elapsed() < ANSWER_DEADLINE, "the host is busy long after its answer");
            thread::sleep(LOOK_AGAIN);
            idle = if is_idle(self.child.id())? { idle + 1 } else { 0 };
        }
        Ok(())
    }

    /// From now on instructions are counted.
    pub(super) fn begin_to_count(&self) -> Result<()> {
        self.tell(&["instrumentation", "on"])
    }

    /// What was counted since the last time; callgrind's data is then in `file`.
    pub(super) fn take_counts(&mut self, file: &Path) -> Result<Counts> {
        self.tell(&["dump"])?;
        self.taken += 1;
        let dump = self.dumps.with_extension(self.taken.to_string());
        // Names of functions may be anything.
        let text =
            fs::read(&dump).with_context(|| format!("cannot read callgrind's data {}", dump.display()))?;
        fs::rename(&dump, file).with_context(|| format!("cannot rename {}", dump.display()))?;
        Counts::read(&String::from_utf8_lossy(&text)).with_context(|| format!("in {}", file.display()))
    }

    /// Has valgrind do something; it is done when this returns.
    fn tell(&self, monitor_command: &[&str]) -> Result<()> {
        let mut command = Command::new("vgdb");
        command.arg(format!("--pid={}", self.child.id()));
        command.arg(format!("--vgdb-prefix={}", pipes(&self.own).display())).args(monitor_command);
        let output = command.output().with_context(|| cannot_start("counting", &command))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("counting failed ({})\n  command: {}\n{said}", output.status, command_line(&command));
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Builds [`LONG_SLEEP`] in a folder.
fn long_sleep(folder: &Path) -> Result<PathBuf> {
    let (source, library) = (folder.join("long_sleep.c"), folder.join("long_sleep.so"));
    fs::write(&source, LONG_SLEEP).with_context(|| format!("cannot write {}", source.display()))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    let what = "building a library for the host's ticker to sleep by";
    let output = compiler.output().with_context(|| cannot_start(what, &compiler))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} failed\n  command: {}\n{said}", command_line(&compiler));
    Ok(library)
}

fn end(child: &mut Child) {
    // It has nothing to finish; and one that has ended by itself was missed before.
    let _ended = child.kill();
    let _status = child.wait();
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let connection = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    connection.set_read_timeout(Some(ANSWER_DEADLINE))?;
    connection.set_write_timeout(Some(ANSWER_DEADLINE))?;
    connection.set_nodelay(true)?;
    Ok(connection)
}

/// Whether no thread of the process runs or could run.
fn is_idle(process: u32) -> Result<bool> {
    let threads = format!("/proc/{process}/task");
    for thread in fs::read_dir(&threads).with_context(|| format!("cannot read {threads}"))? {
        // One that has ended meanwhile runs no more.
        let stat = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
        if is_runnable(&stat) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether proc_pid_stat(5) says `R`, running, or `D`, which is soon over. The state stands behind the name, which may hold
/// anything.
fn is_runnable(stat: &str) -> bool {
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with(['R', 'D']))
}

/// How the names of valgrind's pipes begin, by which vgdb finds them.
fn pipes(own: &TempDir) -> PathBuf {
    own.path().join("vgdb")
}

/// The first core that this process may use.
fn first_core() -> Result<usize> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    core_in(&status).context("no line `Cpus_allowed_list:` in /proc/self/status")
}

fn core_in(status: &str) -> Option<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().split([',', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{core_in, is_runnable};

    #[test]
    fn a_thread_that_waits_is_told_from_one_that_runs() {
        for (stat, runs) in [
            ("7 (jackfield) S 1 7", false),
            ("8 (tokio-rt) R 1 7", true),
            ("9 (a) R b) S 1 7", false),
            ("9 (epoch) D 1 7", true),
            ("", false),
        ] {
            assert_eq!(is_runnable(stat), runs, "{stat}");
        }
    }

    #[test]
    fn a_core_is_chosen_that_may_be_used() {
        for (list, core) in [("0-1", 0), ("3", 3), ("5,7-9", 5)] {
            assert_eq!(core_in(&format!("Threads:\t1\nCpus_allowed_list:\t{list}\n")), Some(core));
        }
        assert_eq!(core_in("Threads:\t1\n"), None);
    }
}
