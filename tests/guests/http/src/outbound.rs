//! Requests to others: `url` says to whom. What comes of one is streamed back, or named.

use std::time::Duration;

use guest_support::Query;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingRequest, IncomingResponse, Method,
    OutgoingRequest, RequestOptions, Scheme,
};

use crate::message::{Body, PIECE_BYTES, Reply, Upload, name, pairs, refusal, why};

/// Asks by GET (or `method`), with the field that `name` and `value` ask for, within `connect-ms`,
/// `first-byte-ms` and `between-bytes-ms`; the answer is streamed back, status, type and location kept. With `or-fail` in
/// the query, why there is none is this guest's own error.
pub(crate) fn fetch(reply: Reply, query: &Query) {
    let answer = request(query).and_then(|request| {
        let body = request.body().expect("its body is taken once");
        let answer = send(request, query)?;
        Body::of(body).finish(None).map_err(Refused::Code)?;
        wait_for(answer)
    });
    match answer {
        Err(Refused::Code(code)) if query.text("or-fail").is_some() => reply.error(code),
        answer => pass_on(reply, answer),
    }
}

/// Asks so many (`n`) times, one after another, and reads each answer: what came of each, one a line.
pub(crate) fn fetch_many(reply: Reply, query: &Query) {
    let mut lines = String::new();
    for _ in 0..query.number("n", 1u32) {
        let outcome = request(query).and_then(|request| wait_for(send(request, query)?)).and_then(|answer| {
            let status = answer.status();
            let body = Upload::from(answer.consume().expect("the body is taken once"));
            body.count()
                .map(|bytes| format!("{status} {bytes}\n"))
                .map_err(|error| Refused::Told(why(&error)))
        });
        lines += &outcome.unwrap_or_else(|refused| format!("{}\n", refused.name()));
    }
    reply.text(200, &lines);
}

/// Asks, and does not wait for what comes.
pub(crate) fn fetch_ignore(reply: Reply, query: &Query) {
    match request(query).and_then(|request| send(request, query)) {
        Ok(answer) => drop(answer),
        Err(refused) => return reply.text(502, &format!("{}\n", refused.name())),
    }
    reply.text(200, "ignored\n");
}

/// Asks, reads the answer's body, and tells its trailers as JSON.
pub(crate) fn fetch_trailers(reply: Reply, query: &Query) {
    let trailers = request(query).and_then(|request| wait_for(send(request, query)?)).and_then(|answer| {
        let body = Upload::from(answer.consume().expect("the body is taken once"));
        body.count().map_err(|error| Refused::Told(why(&error)))?;
        body.trailers().map_err(Refused::Code)
    });
    match trailers {
        Ok(trailers) => reply.json(&trailers.as_ref().map(pairs).unwrap_or_default()),
        Err(refused) => reply.text(502, &format!("{}\n", refused.name())),
    }
}

/// Streams the request's body to the other, and its answer back.
pub(crate) fn post_upstream(reply: Reply, incoming: &IncomingRequest, query: &Query) {
    let answer = request(query).and_then(|request| {
        let _ = request.set_method(&Method::Post);
        let body = Body::of(request.body().expect("its body is taken once"));
        let answer = send(request, query)?;
        let upload = Upload::of(incoming);
        loop {
            match upload.read(PIECE_BYTES) {
                Ok(Some(piece)) => match body.write(&piece) {
                    Ok(()) => {}
                    // The other wants no more of it; its answer, or why there is none, is still to come.
                    Err(_) => return wait_for(answer),
                },
                Ok(None) => break,
                Err(error) => return Err(Refused::Told(why(&error))),
            }
        }
        let trailers = upload.trailers().map_err(Refused::Code)?;
        body.finish(trailers).map_err(Refused::Code)?;
        wait_for(answer)
    });
    pass_on(reply, answer);
}

/// Why there is no answer.
enum Refused {
    Code(ErrorCode),
    Told(String),
}

impl Refused {
    fn name(&self) -> String {
        match self {
            Self::Code(code) => name(code),
            Self::Told(text) => text.clone(),
        }
    }
}

/// The request that a query describes.
fn request(query: &Query) -> Result<OutgoingRequest, Refused> {
    let told = |what: &str| Refused::Told(format!("refused: {what}"));
    let fields = Fields::new();
    if let Some(field) = query.text("name") {
        fields.append(&field, &query.bytes("value")).map_err(|error| told(refusal(error)))?;
    }
    let url = query.text("url").unwrap_or_default();
    let (scheme, rest) = url.split_once("://").ok_or_else(|| told("url"))?;
    let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let method = match query.text("method").as_deref() {
        None | Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some(other) => Method::Other(other.to_owned()),
    };
    let request = OutgoingRequest::new(fields);
    request.set_method(&method).map_err(|()| told("method"))?;
    request.set_scheme(Some(&scheme)).map_err(|()| told("scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| told("authority"))?;
    request.set_path_with_query(Some(path).filter(|path| !path.is_empty())).map_err(|()| told("path"))?;
    Ok(request)
}

fn send(request: OutgoingRequest, query: &Query) -> Result<FutureIncomingResponse, Refused> {
    let time = |name: &str| {
        let ms: u64 = query.number(name, 0);
        (ms > 0).then(|| u64::try_from(Duration::from_millis(ms).as_nanos()).unwrap_or(u64::MAX))
    };
    let options = RequestOptions::new();
    for set in [
        options.set_connect_timeout(time("connect-ms")),
        options.set_first_byte_timeout(time("first-byte-ms")),
        options.set_between_bytes_timeout(time("between-bytes-ms")),
    ] {
        set.map_err(|()| Refused::Told("refused: timeout".to_owned()))?;
    }
    outgoing_handler::handle(request, Some(options)).map_err(Refused::Code)
}

fn wait_for(answer: FutureIncomingResponse) -> Result<IncomingResponse, Refused> {
    loop {
        match answer.get() {
            Some(got) => return got.expect("it is taken once").map_err(Refused::Code),
            None => answer.subscribe().block(),
        }
    }
}

/// Streams what came back, or names what did not.
fn pass_on(reply: Reply, answer: Result<IncomingResponse, Refused>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(refused) => return reply.text(502, &format!("{}\n", refused.name())),
    };
    let headers = answer.headers();
    let kept: Vec<(&str, String)> = ["content-type", "location"]
        .into_iter()
        .filter_map(|name| Some((name, String::from_utf8(headers.get(name).pop()?).ok()?)))
        .collect();
    let fields: Vec<_> = kept.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let incoming: IncomingBody = answer.consume().expect("the body is taken once");
    let (upload, body) = (Upload::from(incoming), reply.head(answer.status(), &fields));
    loop {
        match upload.read(PIECE_BYTES) {
            Ok(Some(piece)) => match body.write_through(&piece) {
                Ok(()) => {}
                Err(error) => return println!("nobody takes what comes back: {}", why(&error)),
            },
            Ok(None) => break,
            // Nothing finishes the answer: whoever takes it sees that it is not whole.
            Err(error) => return println!("the answer broke off: {}", why(&error)),
        }
    }
    drop(upload);
    let _ = body.finish(None);
}
