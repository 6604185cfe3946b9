//! Where the CPU time of a request goes, as a flame graph.
//!
//! Owns no figure: perf(1) looks at the host while it serves, and inferno draws what perf saw.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use super::server::Server;
use super::transfer::Fetcher;
use super::{build_servers, release};
use crate::cargo::{cannot_start, command_line, step, target_folder};
use crate::counts::{GUESTS, Row, site};
use crate::guests;

/// Requests under way at once, which the site has slots for.
const CONNECTIONS: usize = 4;

/// Samples a second. No multiple of the host's ticks, which would be met again and again.
const SAMPLES: &str = "997";

/// What is run, and how it is had.
const PROGRAMS: [(&str, &str); 3] = [
    ("perf", "Debian: linux-perf"),
    ("inferno-collapse-perf", "cargo install inferno"),
    ("inferno-flamegraph", "cargo install inferno"),
];

/// Draw where the CPU time of a request goes, as a flame graph.
///
/// Loads the release build, looks at it with perf, and draws with inferno (`cargo install inferno`) into target/flame.
/// Linux only.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// The requests to look at
    row: Row,
    /// Seconds to look
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for (program, how) in PROGRAMS {
        let is_there =
            Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        ensure!(is_there.is_ok(), "`{program}` is not on the PATH ({how})");
    }
    guests::build(&GUESTS)?;
    build_servers()?;
    let folder = target_folder().join("flame");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let file = |ending: &str| folder.join(format!("{}.{ending}", arguments.row.name()));
    let (recorded, graph) = (file("perf"), file("svg"));
    let server = Server::jackfield(release("jackfield"), &site())?;
    under_load(server.address(), arguments.row, || record(server.id(), arguments.seconds, &recorded))?;

    let mut script = Command::new("perf");
    // With inlined functions, perf 6.1 takes minutes for what it saw in seconds.
    script.args(["script", "--no-inline", "--input"]).arg(&recorded).stderr(Stdio::null());
    pipe([script, Command::new("inferno-collapse-perf"), Command::new("inferno-flamegraph")], &graph)?;
    println!("{}", graph.display());
    Ok(())
}

/// perf(1) by the CPU's clock, which a virtual machine has too.
fn record(process: u32, seconds: u32, recorded: &Path) -> Result<()> {
    let mut perf = Command::new("perf");
    perf.args([
        "record",
        "--quiet",
        "--event",
        "cpu-clock",
        "--freq",
        SAMPLES,
        "--call-graph",
        "dwarf,16384",
    ]);
    perf.args(["--pid", &process.to_string(), "--output"]).arg(recorded);
    perf.args(["--", "sleep", &seconds.to_string()]);
    step("looking at the host", &mut perf, "is /proc/sys/kernel/perf_event_paranoid 2 or less?")
}

/// Does `look` while requests of a row are asked again and again.
fn under_load(address: SocketAddr, row: Row, look: impl FnOnce() -> Result<()>) -> Result<()> {
    let has_seen = AtomicBool::new(false);
    let path = format!("/{}", row.name());
    let ask = || -> Result<()> {
        let mut fetcher = Fetcher::open(address)?;
        while !has_seen.load(Ordering::Relaxed) {
            fetcher.fetch(&path)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let load: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        let looked = look();
        has_seen.store(true, Ordering::Relaxed);
        for thread in load {
            thread.join().map_err(|_| anyhow!("a thread of the load panicked"))??;
        }
        looked
    })
}

/// Runs commands, each of which reads what the one before says; the last one says it into a file.
fn pipe<const COMMANDS: usize>(commands: [Command; COMMANDS], file: &PathBuf) -> Result<()> {
    let what = "drawing the flame graph";
    let mut running = Vec::new();
    let mut input = Stdio::null();
    for (place, mut command) in commands.into_iter().enumerate() {
        let is_last = place + 1 == COMMANDS;
        let output = if is_last {
            File::create(file).with_context(|| format!("cannot write {}", file.display()))?.into()
        } else {
            Stdio::piped()
        };
        let mut child =
            command.stdin(input).stdout(output).spawn().with_context(|| cannot_start(what, &command))?;
        input = child.stdout.take().map_or_else(Stdio::null, Stdio::from);
        running.push((command_line(&command), child));
    }
    for (line, mut child) in running {
        let status = child.wait()?;
        ensure!(status.success(), "{what} failed ({status})\n  command: {line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::pipe;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn each_command_reads_what_the_one_before_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("graph.svg");
        pipe([sh("echo stack"), sh("tr a-z A-Z"), sh("sed s/ACK/ICK/")], &file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "STICK\n");
        let error = pipe([sh("echo stack"), sh("cat; exit 3"), sh("cat")], &file).unwrap_err().to_string();
        assert!(error.contains("drawing the flame graph failed (exit status: 3)"), "{error}");
    }
}
