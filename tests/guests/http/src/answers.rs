//! Answers that come whole: what a head may say, what the request said, and when an answer comes.

use std::time::Duration;

use guest_support::Query;
use serde_json::json;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingResponse, Scheme};

use crate::message::{Reply, pairs, refusal, wait};

/// A line of text, its length stated.
pub(crate) fn hello(reply: Reply) {
    reply.text(200, "hello over wasi:http\n");
}

/// The same line, its length not stated.
pub(crate) fn hello_unsized(reply: Reply) {
    reply.head(200, &[("content-type", "text/plain; charset=utf-8")]).write_last(b"hello over wasi:http\n");
}

/// The status `code`, or that it could not be set.
pub(crate) fn status(reply: Reply, query: &Query) {
    let response = OutgoingResponse::new(Fields::new());
    match response.set_status_code(query.number("code", 200)) {
        Ok(()) => reply.response(response).write_last(b"status\n"),
        Err(()) => reply.text(200, "refused\n"),
    }
}

/// The status `code`, a stated `length`, and no body: a guest that takes the host at its word traps if the body cannot be
/// finished so. With `late` it goes on for a while after its head.
pub(crate) fn without_body(reply: Reply, query: &Query) {
    let length = query.text("length").unwrap_or_default();
    let body = reply.head(query.number("code", 200), &[("content-length", &length)]);
    if query.text("late").is_some() {
        wait(Duration::from_millis(20));
    }
    body.finish(None).expect("a body that is not sent has no length to be held to");
}

/// So many (`n`) fields with values of so many `bytes`, or how many could be added before one was refused.
pub(crate) fn big_headers(reply: Reply, query: &Query) {
    let fields = Fields::new();
    let value = vec![b'x'; query.number("bytes", 1)];
    for number in 0..query.number("n", 1u32) {
        if let Err(error) = fields.append(&format!("x-filler-{number}"), &value) {
            return reply.text(200, &format!("refused after {number}: {}\n", refusal(error)));
        }
    }
    reply.response(OutgoingResponse::new(fields)).write_last(b"big-headers\n");
}

/// What the request says of itself, as JSON.
pub(crate) fn info(reply: Reply, request: &IncomingRequest) {
    let method = match request.method() {
        Method::Other(method) => format!("other {method}"),
        method => format!("{method:?}").trim_start_matches("Method::").to_uppercase(),
    };
    let scheme = request.scheme().map(|scheme| match scheme {
        Scheme::Http => "http".to_owned(),
        Scheme::Https => "https".to_owned(),
        Scheme::Other(scheme) => format!("other {scheme}"),
    });
    reply.json(&json!({
        "method": method,
        "path-with-query": request.path_with_query(),
        "scheme": scheme,
        "authority": request.authority(),
        "headers": pairs(&request.headers()),
    }));
}

/// Prints to both standard streams.
pub(crate) fn log(reply: Reply) {
    println!("to standard output over wasi:http");
    eprintln!("to standard error over wasi:http");
    reply.text(200, "logged\n");
}

/// Answers after so many `ms`.
pub(crate) fn sleep(reply: Reply, query: &Query) {
    wait(Duration::from_millis(query.number("ms", 1)));
    reply.text(200, "slept\n");
}

/// Ends its answer, and works on for so many `ms` (200): a line in the log says that it could.
pub(crate) fn outlive(reply: Reply, query: &Query) {
    reply.text(200, "answered\n");
    wait(Duration::from_millis(query.number("ms", 200)));
    println!("outlived its answer");
}
