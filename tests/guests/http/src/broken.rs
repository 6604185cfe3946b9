//! Answers that go wrong, and guests that do: each in one way, before the head or after it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use guest_support::Query;
use wasip2::http::types::{DnsErrorPayload, ErrorCode, Fields};
use wasip2::io::streams::StreamError;

use crate::message::{Body, Reply, name, wait, why};
use crate::streams::Pattern;

/// The head is sent, and nothing else.
pub(crate) fn trap_after_head(reply: Reply) {
    let _body = reply.head(200, &[]);
    std::process::abort()
}

/// So many `bytes` of the body are sent, and nothing else.
pub(crate) fn trap_mid_body(reply: Reply, query: &Query) {
    let body = reply.head(200, &[("content-type", "text/plain")]);
    let bytes = query.number("bytes", 1000);
    if let Some(piece) = Pattern::new(bytes).next(usize::MAX) {
        let _ = send(&body, piece);
    }
    std::process::abort()
}

/// The answer is whole; its guest fails after so many `ms`.
pub(crate) fn trap_after_finish(reply: Reply, query: &Query) {
    reply.text(200, "answered\n");
    wait(Duration::from_millis(query.number("ms", 0)));
    std::process::abort()
}

/// A body that is neither finished nor dropped.
pub(crate) fn no_finish(reply: Reply, query: &Query) {
    std::mem::forget(begun(reply, query));
}

/// A body that is dropped without being finished.
pub(crate) fn drop_body(reply: Reply, query: &Query) {
    drop(begun(reply, query));
}

fn begun(reply: Reply, query: &Query) -> Body {
    let body = reply.head(query.number("code", 200), &[("content-type", "text/plain")]);
    let _ = write(&body, b"without an end\n", query);
    body
}

/// A body of another length than the one stated: up to there, and what is more.
pub(crate) fn sized(reply: Reply, stated: usize, bytes: &[u8], query: &Query) {
    let length = stated.to_string();
    let body = reply.head(200, &[("content-type", "text/plain"), ("content-length", &length)]);
    let (due, beyond) = bytes.split_at(stated.min(bytes.len()));
    for piece in [due, beyond] {
        if let Err(error) = write(&body, piece, query) {
            println!("writing: {}", why(&error));
        }
    }
    if let Err(code) = body.finish(None) {
        println!("finishing: {}", name(&code));
    }
}

/// Writes; with `flushed` in the query so that it is sent before the guest goes on.
fn write(body: &Body, bytes: &[u8], query: &Query) -> Result<(), StreamError> {
    if query.text("flushed").is_some() { send(body, bytes) } else { body.write(bytes) }
}

/// Writes, and lets the host pass it on: a host may hold the head back until the guest first waits.
fn send(body: &Body, bytes: &[u8]) -> Result<(), StreamError> {
    body.write_through(bytes)?;
    wait(Duration::from_millis(20));
    Ok(())
}

/// An error instead of an answer: the one that `name` says.
pub(crate) fn error_code(reply: Reply, query: &Query) {
    reply.error(match query.text("name").as_deref() {
        Some("DNS-error") => {
            ErrorCode::DnsError(DnsErrorPayload { rcode: Some("secret inside text".into()), info_code: None })
        }
        Some("connection-refused") => ErrorCode::ConnectionRefused,
        Some("HTTP-request-denied") => ErrorCode::HttpRequestDenied,
        Some("HTTP-response-timeout") => ErrorCode::HttpResponseTimeout,
        Some("HTTP-request-body-size") => ErrorCode::HttpRequestBodySize(Some(1)),
        Some("loop-detected") => ErrorCode::LoopDetected,
        _ => ErrorCode::InternalError(Some("secret inside text".into())),
    });
}

/// Computes, and never ends.
pub(crate) fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Part of an answer is sent, with its whole length stated if there is one (`length`); then the guest does what `then`
/// says.
pub(crate) fn after_head(reply: Reply, query: &Query) {
    let length = query.text("length");
    let stated: Vec<_> = length.iter().map(|length| ("content-length", length.as_str())).collect();
    let body = reply.head(200, &stated);
    let _ = send(&body, b"half of it\n");
    match query.text("then").as_deref() {
        Some("trap") => std::process::abort(),
        Some("panic") => panic!("secret inside text"),
        Some("exit") => std::process::exit(0),
        Some("fail") => std::process::exit(1),
        Some("loop") => spin(),
        Some("sleep") => wait(Duration::from_secs(1 << 30)),
        Some("recurse") => _ = black_box(deeper(u64::MAX)),
        Some("hoard") => hoard(),
        Some("keep") => std::mem::forget(body),
        Some("keep-handles") => loop {
            std::mem::forget(Fields::new());
        },
        // Dropped, and not finished.
        _ => {}
    }
}

/// Recurses `depth` deep, or until there is no stack left.
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 8]);
    if depth == 0 { 0 } else { deeper(depth - 1).wrapping_add(frame[0]) }
}

/// Takes memory until there is none left.
fn hoard() {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        held.push(black_box(Vec::with_capacity(1 << 20)));
    }
}

/// The head and a line are sent; then the guest computes, and never ends.
pub(crate) fn loop_after_head(reply: Reply) {
    let body = reply.head(200, &[("content-type", "text/plain")]);
    let _ = send(&body, b"about to loop\n");
    spin()
}

/// After the head the guest computes for so many `ms`, then rests for as many `rest-ms`, so many `times`; a line each.
pub(crate) fn compute_after_head(reply: Reply, query: &Query) {
    let body = reply.head(200, &[("content-type", "text/plain")]);
    for time in 1..=query.number("times", 1u32) {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(query.number("ms", 1)) {
            (0..10_000u32).for_each(|turn| _ = black_box(turn));
        }
        let _ = body.write_through(format!("computed {time}\n").as_bytes());
        wait(Duration::from_millis(query.number("rest-ms", 0)));
    }
    let _ = body.finish(None);
}
