//! What the interface forbids, and how it says so.

use std::mem::forget;

use guest_support::Query;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingRequest, OutgoingResponse};

use crate::message::{Reply, refusal};

/// An answer with the field that `name` and `value` ask for, or that it was refused.
pub(crate) fn header(reply: Reply, query: &Query) {
    let fields = Fields::new();
    match fields.append(&query.text("name").unwrap_or_default(), &query.bytes("value")) {
        Ok(()) => reply.response(OutgoingResponse::new(fields)).write_last(b"header\n"),
        Err(error) => reply.text(200, &format!("refused: {}\n", refusal(error))),
    }
}

/// What comes of changing the request's own fields, and a copy of them.
pub(crate) fn immutable(reply: Reply, request: &IncomingRequest) {
    let fields = request.headers();
    let copy = fields.clone();
    let said = [
        ("append", fields.append("x-more", b"1")),
        ("set", fields.set("x-more", &[b"1".to_vec()])),
        ("delete", fields.delete("x-request-id")),
        ("append to a copy", copy.append("x-more", b"1")),
    ]
    .map(|(what, outcome)| format!("{what}: {}\n", outcome.map_or_else(refusal, |()| "ok")));
    reply.text(200, &said.concat());
}

/// What may be taken once only, taken twice.
pub(crate) fn once(reply: Reply, request: &IncomingRequest) {
    let body = request.consume();
    let stream = body.as_ref().map(|body| (body.stream().is_ok(), body.stream().is_ok()));
    let response = OutgoingResponse::new(Fields::new());
    let outgoing = response.body();
    let writes = outgoing.as_ref().map(|body| (body.write().is_ok(), body.write().is_ok()));
    let text = format!(
        "consume: {}, {}\nstream: {stream:?}\nbody: {}, {}\nwrite: {writes:?}\n",
        body.is_ok(),
        request.consume().is_ok(),
        outgoing.is_ok(),
        response.body().is_ok(),
    );
    reply.text(200, &text);
}

/// Holds so many (`n`) resources at once.
pub(crate) fn handles(reply: Reply, query: &Query) {
    let held: Vec<_> = (0..query.number("n", 1usize)).map(|_| Fields::new()).collect();
    reply.text(200, &format!("handles={}\n", held.len()));
}

/// Answers, and keeps what the query says beyond its call.
pub(crate) fn keep(reply: Reply, request: IncomingRequest, query: &Query) {
    match query.text("what").as_deref() {
        Some("request") => forget(request),
        Some("body") => forget((request.consume(), request)),
        Some("fields") => forget(Fields::new()),
        Some("response") => forget(OutgoingResponse::new(Fields::new())),
        Some("timer") => forget(wasip2::clocks::monotonic_clock::subscribe_duration(0)),
        Some("stdout") => forget(wasip2::cli::stdout::get_stdout()),
        Some("stdout-pollable") => {
            let stdout = wasip2::cli::stdout::get_stdout();
            forget((stdout.subscribe(), stdout));
        }
        _ => return reply.text(400, "what is to be kept?\n"),
    }
    reply.text(200, "kept\n");
}

/// Holds so many (`n`) fields with a value of so many `bytes`.
pub(crate) fn hoard(reply: Reply, query: &Query) {
    let entry = ("x-filler".to_owned(), vec![b'x'; query.number("bytes", 1)]);
    let make = |_| Fields::from_list(std::slice::from_ref(&entry)).expect("they are allowed");
    let held: Vec<_> = (0..query.number("n", 1usize)).map(make).collect();
    reply.text(200, &format!("held={}\n", held.len()));
}

/// Makes so many (`n`) copies of the request's fields, one after the other, and keeps none.
pub(crate) fn copies(reply: Reply, request: &IncomingRequest, query: &Query) {
    let fields = request.headers();
    let wanted = query.number("n", 1u32);
    (0..wanted).for_each(|_| drop(fields.clone()));
    reply.text(200, &format!("copies={wanted}\n"));
}

/// Holds so many (`n`) requests to nowhere whose method has so many `bytes`.
pub(crate) fn methods(reply: Reply, query: &Query) {
    let method = Method::Other("X".repeat(query.number("bytes", 1)));
    let make = |_| {
        let request = OutgoingRequest::new(Fields::new());
        request.set_method(&method).map(|()| request)
    };
    let held: Result<Vec<_>, ()> = (0..query.number("n", 1usize)).map(make).collect();
    reply.text(200, &format!("methods={:?}\n", held.map(|held| held.len())));
}
