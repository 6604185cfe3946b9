//! What is done with the request's body: read, echoed, left alone, waited for.

use std::time::Duration;

use guest_support::Query;
use wasip2::http::types::IncomingRequest;

use crate::message::{PIECE_BYTES, Reply, Upload, name, pairs, wait, why};

/// The body as it arrives, its type kept, its trailers too.
pub(crate) fn echo(reply: Reply, request: &IncomingRequest) {
    let kind = request.headers().get("content-type").pop().unwrap_or_default();
    let kind = String::from_utf8(kind).unwrap_or_default();
    let upload = Upload::of(request);
    let fields = [("content-type", kind.as_str())];
    let body = reply.head(200, if kind.is_empty() { &[] } else { &fields });
    loop {
        match upload.read(PIECE_BYTES) {
            Ok(Some(piece)) => match body.write_through(&piece) {
                Ok(()) => {}
                Err(error) => return println!("the echo broke off: {}", why(&error)),
            },
            Ok(None) => break,
            // Nothing finishes the answer: whoever takes it sees that it is not whole.
            Err(error) => return println!("the body broke off: {}", why(&error)),
        }
    }
    match upload.trailers() {
        Ok(trailers) => _ = body.finish(trailers),
        Err(code) => println!("the trailers broke off: {}", name(&code)),
    }
}

/// How many bytes it has.
pub(crate) fn count(reply: Reply, upload: Upload) {
    match upload.count() {
        Ok(bytes) => reply.text(200, &format!("bytes={bytes}\n")),
        Err(error) => {
            println!("the body broke off: {}", why(&error));
            reply.text(200, "broken off\n");
        }
    }
}

/// The head at once, `head`, then after so many `ms` `reading`, then how many bytes there were.
pub(crate) fn head_first(reply: Reply, upload: Upload, query: &Query) {
    let body = reply.head(200, &[("content-type", "text/plain")]);
    let _ = body.write_through(b"head\n");
    wait(Duration::from_millis(query.number("ms", 0)));
    let _ = body.write_through(b"reading\n");
    match upload.count() {
        Ok(bytes) => body.write_last(format!("bytes={bytes}\n").as_bytes()),
        Err(error) => println!("the body broke off: {}", why(&error)),
    }
}

/// Looks once whether a piece has come, then works on without reading for so many `ms`.
pub(crate) fn look_away(reply: Reply, upload: &Upload, query: &Query) {
    let _ = upload.look();
    wait(Duration::from_millis(query.number("ms", 0)));
    reply.text(200, "looked away\n");
}

/// Reads so many `bytes`, lets go of the rest, and answers.
pub(crate) fn read_some(reply: Reply, upload: Upload, query: &Query) {
    let (wanted, mut got) = (query.number("bytes", 1usize), 0);
    while got < wanted {
        match upload.read(wanted - got) {
            Ok(Some(piece)) => got += piece.len(),
            Ok(None) => break,
            Err(error) => return println!("the body broke off: {}", why(&error)),
        }
    }
    drop(upload);
    reply.text(200, &format!("read={got}\n"));
}

/// An answer without a look at the body.
pub(crate) fn early(reply: Reply) {
    reply.text(401, "who are you?\n");
}

/// A whole answer first; then the body is read, and counted in the log.
pub(crate) fn early_then_read(reply: Reply, upload: Upload) {
    reply.text(200, "answered\n");
    match upload.count() {
        Ok(bytes) => println!("read on: {bytes} bytes"),
        Err(error) => println!("the body broke off: {}", why(&error)),
    }
}

/// The head at once; after so many `ms` the body is read. That it breaks off is ignored, and the answer finished.
pub(crate) fn shrug(reply: Reply, upload: &Upload, query: &Query) {
    let body = reply.head(200, &[("content-type", "text/plain")]);
    wait(Duration::from_millis(query.number("ms", 0)));
    while let Ok(Some(piece)) = upload.read(PIECE_BYTES) {
        let _ = body.write(&piece);
    }
    let _ = body.finish(None);
}

/// The request's trailers as JSON; `null` if it has none.
pub(crate) fn trailers(reply: Reply, upload: Upload) {
    let read = upload.count();
    match (read, upload.trailers()) {
        (Ok(_), Ok(trailers)) => reply.json(&trailers.as_ref().map(pairs).unwrap_or_default()),
        (Err(error), _) => println!("the body broke off: {}", why(&error)),
        (Ok(_), Err(code)) => println!("the trailers broke off: {}", name(&code)),
    }
}
