//! The life of the process: what keeps it from starting, and how it ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jackfield_tests::{PATIENCE, Process, Site, jackfield, site_folder};
use rustix::process::Signal;
use tempfile::TempDir;

/// A folder with a plugin that sleeps when it is told to, and these keys of `[host]`.
fn site(host: &str) -> TempDir {
    let site = Site::shop().plugin("page", "guest_misbehave.wasm").limits("wall = '5min'").route("/{*rest}");
    site_folder(&format!("{host}\n{site}"))
}

/// With probes, and no time in which it goes on serving when it is told to stop.
const PROBED: &str = "probes = \"127.0.0.1:0\"\n[host.timeouts]\nlinger = \"0s\"\n";

const LINGERING: &str = "probes = \"127.0.0.1:0\"\n[host.timeouts]\n";

const LONG_SLEEP: &str = "/sleep?ms=200000";

/// Sends a GET and reads until the connection is closed.
fn get_over(mut stream: impl Read + Write, path: &str) -> std::io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    get_over(stream, path)
}

fn get_unix(socket: &Path, path: &str) -> std::io::Result<String> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    get_over(stream, path)
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn probes(process: &Process) -> SocketAddr {
    process.wait_for_line("probes address=").split("address=").nth(1).unwrap().parse().unwrap()
}

/// Sends a request that sleeps, and comes back when the plugin has it.
fn begin(process: &Process, path: &'static str) -> JoinHandle<std::io::Result<String>> {
    let (address, probes) = (process.address(), probes(process));
    let request = std::thread::spawn(move || get(address, path));
    wait_until("the request is with the plugin", || {
        let metrics = get(probes, "/metrics").unwrap();
        metrics.contains("jackfield_calls_in_flight{tenant=\"shop\",plugin=\"page\"} 1")
    });
    request
}

/// Expects `serve` to end with exit code 1 and one error, which is this.
#[track_caller]
fn expect_refusal(folder: &Path, message: &str) {
    let mut process = Process::start(folder, ["serve"]);
    let line = process.wait_for_line(message);
    assert!(line.starts_with("error: "), "{line}");
    assert_eq!(process.wait().code(), Some(1));
    let errors = process.lines().iter().filter(|line| line.starts_with("error")).count();
    assert_eq!(errors, 1, "{:#?}", process.lines());
}

fn edit(folder: &Path, from: &str, to: &str) {
    let file = folder.join("site.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_serves_says_where_and_that_it_is_ready() {
    let folder = site(PROBED);
    let process = Process::start(folder.path(), ["serve"]);
    let answer = get(process.address(), "/ok").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    for probe in ["/livez", "/readyz"] {
        let answer = get(probes(&process), probe).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_told_in_one_line() {
    let folder = site("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    edit(folder.path(), "127.0.0.1:0", &address.to_string());
    expect_refusal(folder.path(), &format!("cannot listen on {address}: "));

    let folder = site(&format!("probes = \"{address}\""));
    expect_refusal(folder.path(), &format!("cannot listen on {address}: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_missing_or_faulty_is_told_with_its_place() {
    let folder = site("");
    edit(folder.path(), "plugin = \"page\"", "plugin = \"pge\"");
    expect_refusal(folder.path(), "unknown plugin `pge`");
    std::fs::remove_file(folder.path().join("site.toml")).unwrap();
    expect_refusal(folder.path(), "there is no site file `site.toml`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_cannot_run_is_told_with_the_reason() {
    let folder = site("");
    let component = folder.path().join("guest_misbehave.wasm");
    std::fs::write(&component, "garbage").unwrap();
    expect_refusal(folder.path(), "guest_misbehave.wasm is not a component that can run here");
    std::fs::remove_file(&component).unwrap();
    expect_refusal(folder.path(), "plugin `page`: cannot read its component");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_has_one_host() {
    let folder = site("");
    let first = Process::start(folder.path(), ["serve"]);
    let address = first.address();
    expect_refusal(folder.path(), "is in use by another process");
    assert!(get(address, "/ok").unwrap().ends_with("ok\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_ends_with_two_and_says_what_is_right() {
    let folder = site("");
    for (arguments, said) in [
        (&["serve", "--colour"][..], "unexpected argument '--colour'"),
        (&["serve", "site.toml"], "jackfield serve --config site.toml"),
        (&["serve", "a.wasm", "--config", "site.toml"], "cannot be used with"),
        (&["serve", "--listen", "127.0.0.1:0"], "<FILE.wasm>"),
        (&["sevre"], "'serve'"),
        (&[], "Usage: jackfield <COMMAND>"),
    ] {
        let output = jackfield(folder.path(), arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_takes_no_more_and_finishes_what_it_has() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = site(PROBED);
        let mut process = Process::start(folder.path(), ["serve"]);
        let (address, probes) = (process.address(), probes(&process));
        let slow = begin(&process, "/sleep?ms=1500");

        process.signal(signal);
        process.wait_for_line("stopping");
        wait_until("nothing is accepted any more", || TcpStream::connect(address).is_err());
        let readiness = get(probes, "/readyz").unwrap();
        assert!(readiness.starts_with("HTTP/1.1 503 "), "{readiness}");
        assert!(get(probes, "/livez").unwrap().starts_with("HTTP/1.1 200 "));
        assert!(!slow.is_finished(), "the plugin is to sleep longer than this test takes");

        let answer = slow.join().unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nslept\n"), "{answer}");
        assert_eq!(process.wait().code(), Some(0));
        process.wait_for_line("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_is_not_ready_and_yet_serves_whoever_still_comes() {
    let folder = site(&format!("{LINGERING}linger = \"5min\""));
    let mut process = Process::start(folder.path(), ["serve"]);
    let (address, probes) = (process.address(), probes(&process));
    assert!(get(probes, "/readyz").unwrap().starts_with("HTTP/1.1 200 "));
    process.signal(Signal::TERM);
    process.wait_for_line("stopping soon: not ready, and still serving ms=300000");
    assert!(get(probes, "/readyz").unwrap().starts_with("HTTP/1.1 503 "));
    for _ in 0..3 {
        let answer = get(address, "/ok").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }
    // Told again, it waits no longer, and finishes what it has.
    let slow = begin(&process, "/sleep?ms=300");
    process.signal(Signal::TERM);
    process.wait_for_line("stopping: no new connections");
    assert!(slow.join().unwrap().unwrap().ends_with("slept\n"));
    assert_eq!(process.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_to_linger_ends_by_itself() {
    let folder = site(&format!("{LINGERING}linger = \"300ms\""));
    let mut process = Process::start(folder.path(), ["serve"]);
    process.address();
    process.signal(Signal::TERM);
    process.wait_for_line("stopping soon");
    assert_eq!(process.wait().code(), Some(0));
    process.wait_for_line("stopping: no new connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_only_kept_alive_hold_up_no_stop() {
    let folder = site(&format!("{PROBED}grace = \"5min\""));
    let mut process = Process::start(folder.path(), ["serve"]);
    let mut idle = TcpStream::connect(process.address()).unwrap();
    write!(idle, "GET /ok HTTP/1.1\r\nhost: shop.example\r\n\r\n").unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let silent = TcpStream::connect(process.address()).unwrap();

    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    drop((idle, silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_time_bounds_the_end() {
    let folder = site(&format!("{PROBED}grace = \"1s\""));
    let mut process = Process::start(folder.path(), ["serve"]);
    let slow = begin(&process, LONG_SLEEP);
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    let told = process.wait_for_line("the grace time is over");
    assert!(told.contains("connections=1"), "{told}");
    // Cut, so that nobody takes it for an answer.
    assert!(slow.join().unwrap().is_ok_and(|answer| answer.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let folder = site(&format!("{PROBED}grace = \"5min\""));
    let mut process = Process::start(folder.path(), ["serve"]);
    let slow = begin(&process, LONG_SLEEP);
    process.signal(Signal::INT);
    process.wait_for_line("stopping");
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(1));
    let _ = slow.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_asks_for_a_reload_now() {
    let folder = site(PROBED);
    let process = Process::start(folder.path(), ["serve"]);
    let probes = probes(&process);
    let unchanged = |times: u32| format!("jackfield_reloads_total{{result=\"unchanged\"}} {times}\n");
    assert!(get(probes, "/metrics").unwrap().contains(&unchanged(0)));
    // Nothing has changed, so nobody but the signal asks.
    process.signal(Signal::HUP);
    wait_until("it has reloaded", || get(probes, "/metrics").unwrap().contains(&unchanged(1)));
    assert!(get(process.address(), "/ok").unwrap().ends_with("ok\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_served_and_taken_over_only_from_the_dead() {
    let folder = site("");
    edit(folder.path(), "127.0.0.1:0", "unix:run.sock");
    let socket = folder.path().join("run.sock");
    // What a process leaves behind that was killed.
    drop(UnixListener::bind(&socket).unwrap());
    let mut process = Process::start(folder.path(), ["serve"]);
    process.wait_for_line("listening address=unix:");
    let answer = get_unix(&socket, "/ok").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");

    expect_refusal(folder.path(), "run.sock: Address already in use");
    assert!(get_unix(&socket, "/ok").unwrap().ends_with("ok\n"));

    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_where_a_socket_is_to_be_is_never_removed() {
    let folder = site("");
    edit(folder.path(), "127.0.0.1:0", "unix:precious");
    let precious = folder.path().join("precious");
    std::fs::write(&precious, "years of work").unwrap();
    expect_refusal(folder.path(), "a file that is no socket is there");
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "years of work");

    edit(folder.path(), "unix:precious", "unix:nowhere/run.sock");
    expect_refusal(folder.path(), "the socket's folder must be there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nobody() {
    let folder = site("");
    edit(folder.path(), "127.0.0.1:0", "unix:run.sock");
    let socket = folder.path().join("run.sock");
    let mut process = Process::start_unread(folder.path(), ["serve"]);
    wait_until("it listens", || get_unix(&socket, "/ok").is_ok());
    // A pipe holds 64 KiB; each of these logs as much, and a line of access beside it.
    for _ in 0..200 {
        let answer = get_unix(&socket, "/log?lines=64&bytes=1000").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("logged\n"), "{answer}");
    }
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
}

/// A library that says, of the clock, that it is so many seconds later than it is.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    const char *later = getenv("CLOCK_LATER");
    if (clock == CLOCK_REALTIME && later) time->tv_sec += atoll(later);
    return result;
}
"#;

/// Builds it in `folder`, if there is a compiler of C.
fn clock_library(folder: &Path) -> Option<String> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, CLOCK).unwrap();
    let mut compiler = std::process::Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
    match compiler.output() {
        Ok(output) if output.status.success() => Some(library.display().to_string()),
        other => {
            let line = format!("SKIPPED: there is no C compiler to make another clock with: {other:?}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_before_1970_or_past_9999_is_told_and_any_other_is_served_by() {
    let folder = site("");
    let Some(library) = clock_library(folder.path()) else { return };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let launched = |clock: i64| {
        let (preload, later) = (format!("LD_PRELOAD={library}"), format!("CLOCK_LATER={}", clock - now));
        Process::start_by(folder.path(), &["env", &preload, &later], &["serve"])
    };
    for clock in [-86_400, 253_402_300_800 + 86_400] {
        let mut process = launched(clock);
        let line = process.wait_for_line("this machine's clock is wrong");
        assert!(line.starts_with("error: "), "{line}");
        assert_eq!(process.wait().code(), Some(1));
        assert!(!process.lines().iter().any(|line| line.contains("panicked")), "{:#?}", process.lines());
    }
    // A day after the epoch, as where no battery keeps the time, and in the twenty-third century.
    for (clock, date) in [(86_400, "1970"), (9_000_000_000, "2255")] {
        let mut process = launched(clock);
        let answer = get(process.address(), "/ok").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&format!(" {date} ")), "{answer}");
        process.signal(Signal::TERM);
        assert_eq!(process.wait().code(), Some(0));
        assert!(!process.lines().iter().any(|line| line.contains("panicked")), "{:#?}", process.lines());
    }
}
