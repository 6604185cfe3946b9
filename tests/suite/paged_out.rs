//! A machine with swap: what the kernel took out of RAM is cleared like all else before another tenant's instance gets
//! its slot.
//!
//! Needs root and a file system that can hold a swap file; where either is missing the test says so, and is skipped.

mod area;
mod page_out;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use hostile_guests::{Form, Guest};
use jackfield_tests::{PATIENCE, Process, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use area::SwapArea;

/// Calls of one tenant at once: as many as the host takes.
const CALLS: usize = 8;

/// Tenants that come after the first. The pool hands out slots that nobody has used first, so several go by before
/// one finds what the first tenant has left.
const LATER_TENANTS: usize = 13;

/// Memory that one call of the first tenant fills.
const MARKED_BYTES: u64 = 32 * 65_536;

/// Takes 32 pages and 4096 elements, marks them all, and stays for twelve seconds: a busy disk takes some of them to
/// swap all out.
const MARKS: &str = r#"
    (table $table 1 8192 funcref)
    (elem declare func $mark)
    (func $mark)
    (func $attack (local $page i32) (local $pollable i32)
        (local.set $page (memory.grow (i32.const 32)))
        (memory.fill (i32.mul (local.get $page) (i32.const 65536)) (i32.const 0xa5) (i32.const 2097152))
        (drop (table.grow $table (ref.func $mark) (i32.const 4096)))
        (local.set $pollable (call $subscribe (i64.const 12000000000)))
        (call $block (local.get $pollable))
        (call $drop-pollable (local.get $pollable)))
"#;

/// Takes as much, fails if any of it is not as new, and stays until all calls of its tenant have slots of their own.
const LOOKS: &str = r#"
    (table $table 1 8192 funcref)
    (func $attack (local $at i32) (local $end i32)
        (local.set $at (i32.mul (memory.grow (i32.const 32)) (i32.const 65536)))
        (local.set $end (i32.add (local.get $at) (i32.const 2097152)))
        (loop $words
            (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
            (br_if $words (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
        (local.set $at (table.grow $table (ref.null func) (i32.const 4096)))
        (local.set $end (i32.add (local.get $at) (i32.const 4096)))
        (loop $elements
            (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then unreachable))
            (br_if $elements (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
        (local.set $at (call $subscribe (i64.const 250000000)))
        (call $block (local.get $at))
        (call $drop-pollable (local.get $at)))
"#;

/// A component of its own for each tenant: alike but for its last section, which nobody reads.
fn write_component(folder: &Path, tenant: usize, text: &str) {
    let mut component = Guest::component(text, Form::Lean).unwrap();
    let number = u8::try_from(tenant).expect("there are few tenants");
    // A custom section: its id, its length, and a name of one byte with one byte of content.
    component.extend_from_slice(&[0, 3, 1, b'n', number]);
    std::fs::write(folder.join(format!("tenant-{tenant}.wasm")), component).unwrap();
}

fn site() -> String {
    let tenants = (0..=LATER_TENANTS).fold(Site::default(), |site, number| {
        site.tenant(format!("t{number}"), [format!("t{number}")])
            .plugin("guest", format!("tenant-{number}.wasm"))
            .limits("cpu = '5s', wall = '60s', queue-wait = '30s'")
            .route("/")
    });
    format!("[host]\nlisten = [\"127.0.0.1:0\"]\nconcurrency = {CALLS}\n{tenants}")
}

/// The status lines of as many calls at once as the host takes.
async fn call_at_once(address: SocketAddr, tenant: usize) -> Vec<String> {
    let calls: Vec<_> = (0..CALLS).map(|_| tokio::spawn(call(address, tenant))).collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().unwrap());
    }
    statuses
}

async fn call(address: SocketAddr, tenant: usize) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: t{tenant}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// A figure of proc_pid_status(5), in bytes.
fn status_bytes(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the host runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.expect("the system tells it in kB") * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_tenant_that_was_swapped_out_is_left_for_the_next() {
    let _swap = match SwapArea::on() {
        Ok(area) => area,
        Err(why) => {
            // Not by a macro, whose text is kept for tests that fail.
            let line = format!("SKIPPED paged_out: whether swapped memory is cleared was not tried: {why}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    for tenant in 0..=LATER_TENANTS {
        write_component(folder.path(), tenant, if tenant == 0 { MARKS } else { LOOKS });
    }
    std::fs::write(folder.path().join("site.toml"), site()).unwrap();
    let process = Process::start(folder.path(), ["serve"]);
    let address = process.address();

    let before = status_bytes(process.id(), "RssAnon");
    let marking = tokio::spawn(call_at_once(address, 0));
    let began = Instant::now();
    while status_bytes(process.id(), "RssAnon") < before + MARKED_BYTES * CALLS as u64 {
        assert!(began.elapsed() < PATIENCE, "the first tenant's calls do not fill their memory");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    page_out::page_out(process.id()).unwrap();
    let swapped = status_bytes(process.id(), "VmSwap");
    if marking.is_finished() {
        let ended = marking.await;
        panic!("the calls ended before their memory was swapped out: {ended:?}\n{:#?}", process.lines());
    }
    assert!(swapped >= MARKED_BYTES * CALLS as u64, "only {swapped} bytes were swapped out");
    assert_eq!(marking.await.unwrap(), ["HTTP/1.1 200 OK"; CALLS]);

    for tenant in 1..=LATER_TENANTS {
        let statuses = call_at_once(address, tenant).await;
        let failed: Vec<_> =
            process.lines().into_iter().filter(|line| line.contains("request failed")).collect();
        assert_eq!(
            statuses, ["HTTP/1.1 200 OK"; CALLS],
            "tenant {tenant} found what is not its own: {failed:#?}"
        );
    }
}
