//! Behaviours that look around: what reaches the guest, and what it cannot reach.

use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use guest_support::Query;

use crate::bindings::exports::jackfield::plugin::handler::Request;
use crate::bindings::jackfield::plugin::context as facts;
use crate::bindings::wasi::{clocks::monotonic_clock, io::poll::poll, random};

/// The request: method, path, query and header fields, one a line, the body's length, the body.
pub(crate) fn echo(request: &Request) -> Vec<u8> {
    let head = &request.head;
    let query = head.query.as_deref();
    let mut echoed = format!("method={}\npath={}\nquery={query:?}\n", head.method, head.path).into_bytes();
    for (name, value) in &head.headers {
        echoed.extend([b"header ", name.as_bytes(), b": ", value.as_slice(), b"\n"].concat());
    }
    echoed.extend(format!("body-bytes={}\n", request.body.len()).into_bytes());
    echoed.extend(&request.body);
    echoed
}

/// Every function of `context`, one a line; `capture` with the query's `name`.
pub(crate) fn context(query: &Query) -> String {
    let name = query.text("name").unwrap_or_default();
    format!(
        "request-id={}\nclient-address={:?}\nscheme={}\nauthority={}\nroute={}\ncaptures={:?}\ncapture={:?}\n",
        facts::request_id(),
        facts::client_address(),
        facts::scheme(),
        facts::authority(),
        facts::route(),
        facts::captures(),
        facts::capture(&name),
    )
}

/// So many random bytes, in hexadecimal; of more than 64 only the number.
pub(crate) fn random(bytes: u64) -> String {
    let got = random::random::get_random_bytes(bytes);
    let shown = got.iter().take(64).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("bytes={} {shown}\n", got.len())
}

/// Holds so many handles of the host's at once.
pub(crate) fn handles(wanted: usize) -> usize {
    (0..wanted).map(|_| monotonic_clock::subscribe_instant(0)).collect::<Vec<_>>().len()
}

/// Takes a handle of the host's, and never gives it back.
pub(crate) fn keep_handle() {
    std::mem::forget(monotonic_clock::subscribe_instant(0));
}

/// Sleeps on so many handles at once, until the first of them is ready: a millisecond from now.
pub(crate) fn sleep_on_many(wanted: u64) -> usize {
    let soon = monotonic_clock::now() + 1_000_000;
    let held: Vec<_> = (0..wanted).map(|_| monotonic_clock::subscribe_instant(soon)).collect();
    poll(&held.iter().collect::<Vec<_>>()).len()
}

/// Polls a list that has one handle so many times over.
pub(crate) fn poll_list(entries: usize) -> usize {
    let ready = monotonic_clock::subscribe_instant(0);
    poll(&vec![&ready; entries]).len()
}

/// Asks so many `times` for random bytes, by the function that `by` names; for so many `bytes`, where it takes a number.
pub(crate) fn random_in_all(query: &Query) -> u32 {
    let bytes = query.number("bytes", 1);
    let by = query.text("by").unwrap_or_default();
    let times = query.number("times", 1);
    for _ in 0..times {
        match by.as_str() {
            "word" => _ = random::random::get_random_u64(),
            "insecure" => _ = random::insecure::get_insecure_random_bytes(bytes),
            "insecure-word" => _ = random::insecure::get_insecure_random_u64(),
            _ => _ = random::random::get_random_bytes(bytes),
        }
    }
    times
}

/// Eight readings of the monotonic clock in nanoseconds, one a line, with some work in between.
pub(crate) fn clock() -> String {
    (0..8).fold(String::new(), |text, _| {
        (0..20_000u32).for_each(|turn| _ = std::hint::black_box(turn));
        format!("{text}{}\n", monotonic_clock::now())
    })
}

/// The environment and the arguments, one a line.
pub(crate) fn environment() -> String {
    let mut found = String::new();
    for (name, value) in std::env::vars() {
        let _ = writeln!(found, "variable {name}={value}");
    }
    for argument in std::env::args() {
        let _ = writeln!(found, "argument {argument}");
    }
    found + "end\n"
}

/// Attempts on the file system, each with what came of it.
pub(crate) fn file_system() -> String {
    outcomes([
        ("read", fs::read("/etc/passwd").map(|_| ())),
        ("read-relative", fs::read("Cargo.toml").map(|_| ())),
        ("write", fs::write("/tmp/from-a-guest", "x")),
        ("list", fs::read_dir("/").map(|_| ())),
        ("create", fs::create_dir("/from-a-guest")),
    ])
}

/// Attempts on the network, each with what came of it. Nobody listens on port 1.
pub(crate) fn sockets() -> String {
    outcomes([
        ("connect", TcpStream::connect("127.0.0.1:1").and_then(|mut stream| stream.write_all(b"x"))),
        ("listen", TcpListener::bind("127.0.0.1:0").map(|_| ())),
        (
            "udp",
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", "127.0.0.1:1")).map(|_| ()),
        ),
        ("resolve", ("localhost", 1).to_socket_addrs().map(|_| ())),
    ])
}

fn outcomes<const N: usize>(attempts: [(&str, std::io::Result<()>); N]) -> String {
    attempts.into_iter().fold(String::new(), |text, (name, outcome)| match outcome {
        Ok(()) => format!("{text}{name}: done\n"),
        Err(error) => format!("{text}{name}: refused: {error}\n"),
    })
}
