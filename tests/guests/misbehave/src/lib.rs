//! `cargo plugin guest-misbehave`, then `curl -i http://127.0.0.1:8080/trap`: a 500, and the host lives.
//!
//! One kind of misbehaviour a path, for the tests of limits, of isolation and of what a guest may say.
//! Paths that answer do so with text, or with what the query asks for.

mod probes;

use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use bindings::jackfield::plugin::types::{Header, ResponseHead};
use bindings::wasi::logging::logging::{Level, log};
use guest_support::Query;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::Misbehave;

    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package guest:misbehave;
            world plugin {
                include jackfield:plugin/handler-plugin@0.1.0;
                import wasi:logging/logging@0.1.0-draft;
                import wasi:clocks/monotonic-clock@0.2.1;
                import wasi:random/random@0.2.1;
                import wasi:random/insecure@0.2.1;
            }
            package wasi:io@0.2.1 {
                interface poll {
                    resource pollable;
                    poll: func(in: list<borrow<pollable>>) -> list<u32>;
                }
            }
            package wasi:clocks@0.2.1 {
                interface monotonic-clock {
                    use wasi:io/poll@0.2.1.{pollable};
                    type instant = u64;
                    now: func() -> instant;
                    subscribe-instant: func(when: instant) -> pollable;
                }
            }
            package wasi:random@0.2.1 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                    get-random-u64: func() -> u64;
                }
                interface insecure {
                    get-insecure-random-bytes: func(len: u64) -> list<u8>;
                    get-insecure-random-u64: func() -> u64;
                }
            }
        ",
        generate_all,
    });
    #[cfg(target_family = "wasm")]
    export!(Misbehave);
}

/// The plug.
pub struct Misbehave;

impl Guest for Misbehave {
    fn handle(request: Request) -> Result<Response, String> {
        let query = Query::parse(request.head.query.as_deref());
        let answer = match request.head.path.as_str() {
            "/ok" => text("ok\n"),
            "/loop" => forever(),
            "/fill" => {
                text(&format!("filled={}\n", fill(query.number("mib", 64), query.number("times", u32::MAX))))
            }
            "/loop-after-log" => {
                println!("about to loop");
                forever()
            }
            "/random-loop" => loop {
                black_box(probes::random(64 << 10));
            },
            "/trap" => std::process::abort(),
            "/panic" => panic!("secret inside text"),
            "/exit" => std::process::exit(query.number("code", 3)),
            "/error" => return Err("secret inside text".to_owned()),
            "/deep" => text(&format!("{}\n", deeper(query.number("depth", u64::MAX)))),
            "/memory" => {
                reserve_mib(usize::MAX);
                std::process::abort()
            }
            "/memory-report" => {
                let wanted = query.number("mib", 1);
                text(&format!("reserved={} wanted={wanted}\n", reserve_mib(wanted)))
            }
            "/spin" => {
                spin(Duration::from_millis(query.number("ms", 1)));
                text("spun\n")
            }
            "/turns" => {
                turn(query.number("n", 1));
                text("turned\n")
            }
            "/visits" => {
                static VISITS: AtomicU32 = AtomicU32::new(0);
                text(&format!("visits={}\n", VISITS.fetch_add(1, Ordering::Relaxed) + 1))
            }
            "/handles" => text(&format!("handles={}\n", probes::handles(query.number("n", 1)))),
            "/keep-handle" => {
                probes::keep_handle();
                text("kept\n")
            }
            "/sleep-on-many" => text(&format!("woken={}\n", probes::sleep_on_many(query.number("n", 1)))),
            "/poll-list" => text(&format!("ready={}\n", probes::poll_list(query.number("n", 1)))),
            "/sleep" => {
                std::thread::sleep(Duration::from_millis(query.number("ms", 1)));
                text("slept\n")
            }
            "/status" => answer(query.number("code", 200), Vec::new(), b"status\n".to_vec()),
            "/header" => {
                let header = (query.text("name").unwrap_or_default(), query.bytes("value"));
                answer(200, vec![header], b"header\n".to_vec())
            }
            "/many-headers" => {
                let headers =
                    (0..query.number("n", 1u32)).map(|n| field(&format!("x-filler-{n}"), "1")).collect();
                answer(200, headers, b"many-headers\n".to_vec())
            }
            "/content-length" => {
                let header = ("content-length".to_owned(), query.bytes("value"));
                answer(200, vec![header], b"hello\n".to_vec())
            }
            "/body" => {
                let fields = query.text("type").map(|value| field("content-type", &value));
                answer(200, fields.into_iter().collect(), vec![b'x'; query.number("bytes", 1)])
            }
            "/body-on-204" => answer(204, Vec::new(), b"not wanted\n".to_vec()),
            "/log" => {
                let line = "x".repeat(query.number("bytes", 1));
                (0..query.number("lines", 1u32)).for_each(|_| println!("{line}"));
                text("logged\n")
            }
            "/half-line" => {
                print!("{}", "x".repeat(query.number("bytes", 1)));
                let _ = std::io::stdout().flush();
                std::process::abort()
            }
            "/log-endless" => loop {
                println!("a line that nobody wants to read");
            },
            "/log-escape" => {
                // Colours, a forged line, a bell, an 8-bit control, and text turned to run right to left.
                println!("\x1b[31mred\x1b[0m first\nsecond\rthird\x07\u{9b}2J\u{202e}txt.exe\u{2066}\0end");
                text("logged\n")
            }
            "/stderr" => {
                eprintln!("to standard error");
                text("logged\n")
            }
            "/logging" => {
                for (level, name) in [
                    (Level::Trace, "trace"),
                    (Level::Debug, "debug"),
                    (Level::Info, "info"),
                    (Level::Warn, "warn"),
                    (Level::Error, "error"),
                    (Level::Critical, "critical"),
                ] {
                    log(level, "guest", &format!("a line of level {name}"));
                }
                text("logged\n")
            }
            "/logging-context" => {
                let context = "c".repeat(query.number("bytes", 1));
                (0..query.number("lines", 1u32)).for_each(|_| log(Level::Info, &context, "a line"));
                text("logged\n")
            }
            path if path.starts_with("/echo") => text_bytes(probes::echo(&request)),
            path if path.starts_with("/context") => text(&probes::context(&query)),
            "/random" => text(&probes::random(query.number("bytes", 16))),
            "/random-in-all" => text(&format!("times={}\n", probes::random_in_all(&query))),
            "/clock" => text(&probes::clock()),
            "/env" => text(&probes::environment()),
            "/fs" => text(&probes::file_system()),
            "/socket" => text(&probes::sockets()),
            _ => answer(404, Vec::new(), b"no such behaviour\n".to_vec()),
        };
        Ok(answer)
    }
}

fn text(body: &str) -> Response {
    text_bytes(body.as_bytes().to_vec())
}

fn text_bytes(body: Vec<u8>) -> Response {
    answer(200, vec![field("content-type", "text/plain; charset=utf-8")], body)
}

fn answer(status: u16, headers: Vec<Header>, body: Vec<u8>) -> Response {
    Response { head: ResponseHead { status, headers }, body }
}

fn field(name: &str, value: &str) -> Header {
    (name.to_owned(), value.as_bytes().to_vec())
}

fn forever() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Fills so much memory so often, each time with one instruction.
fn fill(mib: usize, times: u32) -> usize {
    let mut memory = vec![0_u8; mib << 20];
    for _ in 0..times {
        black_box(&mut memory[..]).fill(black_box(7));
    }
    memory.len()
}

/// Computes for `time` by the clock, which is asked rarely: the work is to be the guest's, not the host's.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        turn(10_000);
    }
}

/// Compute: so many turns of a loop, whatever time they take.
fn turn(count: u64) {
    let mut turns = 0u64;
    for _ in 0..count {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Recurse until there is no stack left, or `depth` deep.
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 8]);
    if depth == 0 { 0 } else { deeper(depth - 1).wrapping_add(frame.iter().sum::<u64>() & 1) }
}

/// Ask for memory by the mebibyte, without touching it, until `wanted` are had or one is refused.
fn reserve_mib(wanted: usize) -> usize {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    while blocks.len() < wanted {
        let mut block = Vec::new();
        if blocks.try_reserve(1).is_err() || block.try_reserve_exact(1 << 20).is_err() {
            break;
        }
        blocks.push(black_box(block));
    }
    blocks.len()
}
