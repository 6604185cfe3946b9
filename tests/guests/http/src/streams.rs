//! Answers that come piece by piece: downloads, events, trailers.
//!
//! The bytes of a download follow a pattern, so that a test can tell a lost or doubled piece: byte `n` is `n` modulo
//! 251, a prime that no size of a buffer is a multiple of.

use std::time::Duration;

use guest_support::Query;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{Fields, OutgoingResponse};
use wasip2::io::poll::poll;
use wasip2::io::streams::StreamError;

use crate::message::{Body, PIECE_BYTES, Reply, refusal, wait, why};

const PERIOD: usize = 251;

/// So many `bytes`, the length not stated, as of a `type`.
pub(crate) fn download(reply: Reply, query: &Query) {
    let content_type = query.text("type").unwrap_or_else(|| "application/octet-stream".into());
    finish_pattern(reply.head(200, &[("content-type", &content_type)]), query);
}

/// So many `bytes`, the length stated.
pub(crate) fn download_sized(reply: Reply, query: &Query) {
    let bytes = query.text("bytes").unwrap_or_default();
    let fields = [("content-type", "application/octet-stream"), ("content-length", &bytes)];
    finish_pattern(reply.head(200, &fields), query);
}

fn finish_pattern(body: Body, query: &Query) {
    let mut pattern = Pattern::new(query.number("bytes", 0));
    while let Some(piece) = pattern.next(PIECE_BYTES) {
        if let Err(error) = body.write(piece) {
            println!("the download broke off: {}", why(&error));
            return;
        }
    }
    let _ = body.finish(None);
}

/// A download that prints how much it could write when the host first took nothing for so many `ms`.
pub(crate) fn download_watched(reply: Reply, query: &Query) {
    let body = reply.head(200, &[("content-type", "application/octet-stream")]);
    let total = query.number("bytes", 0);
    let patience = Duration::from_millis(query.number("ms", 300));
    match write_until_stalled(&body, Pattern::new(total), patience) {
        Ok(()) => _ = body.finish(None),
        Err(error) => println!("the download broke off: {}", why(&error)),
    }
}

fn write_until_stalled(body: &Body, mut pattern: Pattern, patience: Duration) -> Result<(), StreamError> {
    let (mut written, mut told) = (0, false);
    loop {
        let permitted = usize::try_from(body.stream.check_write()?).unwrap_or(usize::MAX);
        if permitted > 0 {
            let Some(piece) = pattern.next(permitted.min(PIECE_BYTES)) else { return Ok(()) };
            body.stream.write(piece)?;
            written += piece.len();
            continue;
        }
        let ready = body.stream.subscribe();
        let timer = subscribe_duration(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX));
        if !poll(&[&ready, &timer]).contains(&0) && !told {
            println!("stalled after {written} bytes");
            told = true;
        }
    }
}

/// So many `events`, `every-ms` apart.
pub(crate) fn events(reply: Reply, query: &Query) {
    let body = reply.head(200, &[("content-type", "text/event-stream")]);
    let pause = Duration::from_millis(query.number("every-ms", 0));
    for event in 1..=query.number("events", 5u32) {
        if event > 1 {
            wait(pause);
        }
        if let Err(error) = body.write_through(format!("data: {event}\n\n").as_bytes()) {
            println!("the events broke off: {}", why(&error));
            return;
        }
    }
    let _ = body.finish(None);
}

/// Events, `every-ms` apart, until nobody takes them: a line in the log says that it was told.
pub(crate) fn events_forever(reply: Reply, query: &Query) {
    let body = reply.head(200, &[("content-type", "text/event-stream")]);
    let pause = Duration::from_millis(query.number("every-ms", 100));
    for event in 1u64.. {
        if let Err(error) = body.write_through(format!("data: {event}\n\n").as_bytes()) {
            println!("the events broke off: {}", why(&error));
            return;
        }
        wait(pause);
    }
}

/// A body with the trailer `x-sum`, and the one that `name` and `value` ask for, or that it was refused.
pub(crate) fn trailers(reply: Reply, query: &Query) {
    let trailers = Fields::new();
    let asked = query.text("name").map(|name| trailers.append(&name, &query.bytes("value")));
    if let Some(Err(error)) = asked.or(Some(trailers.append("x-sum", b"42"))) {
        return reply.text(200, &format!("refused: {}\n", refusal(error)));
    }
    let response = OutgoingResponse::new(
        Fields::from_list(&[("trailer".to_owned(), b"x-sum".to_vec())]).unwrap_or_else(|_| Fields::new()),
    );
    let body = reply.response(response);
    let _ = body.write(b"trailing\n");
    let _ = body.finish(Some(trailers));
}

/// So many (`n`) trailers.
pub(crate) fn many_trailers(reply: Reply, query: &Query) {
    let trailers = Fields::new();
    for number in 0..query.number("n", 1u32) {
        if let Err(error) = trailers.append(&format!("x-filler-{number}"), b"1") {
            return reply.text(200, &format!("refused after {number}: {}\n", refusal(error)));
        }
    }
    let body = reply.head(200, &[]);
    let _ = body.write_through(b"trailing\n");
    let _ = body.finish(Some(trailers));
}

/// So many `bytes`, each in a piece of its own.
pub(crate) fn pieces(reply: Reply, query: &Query) {
    let body = reply.head(200, &[]);
    for _ in 0..query.number("bytes", 1u32) {
        if body.write_through(b"x").is_err() {
            return;
        }
    }
    let _ = body.finish(None);
}

/// What is left of a download.
pub(crate) struct Pattern {
    period: Vec<u8>,
    offset: usize,
    left: u64,
}

impl Pattern {
    pub(crate) fn new(bytes: u64) -> Self {
        let period = (0..=u8::MAX).take(PERIOD).cycle().take(PIECE_BYTES + PERIOD).collect();
        Self { period, offset: 0, left: bytes }
    }

    /// The next piece, of `most` bytes at most.
    pub(crate) fn next(&mut self, most: usize) -> Option<&[u8]> {
        let bytes = usize::try_from(self.left).unwrap_or(usize::MAX).min(most).min(PIECE_BYTES);
        let piece = &self.period[self.offset..][..bytes];
        self.left -= bytes as u64;
        self.offset = (self.offset + bytes) % PERIOD;
        (!piece.is_empty()).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_the_same_whatever_its_pieces() {
        let whole = |most: usize| {
            let (mut pattern, mut bytes) = (Pattern::new(200_000), Vec::<u8>::new());
            while let Some(piece) = pattern.next(most) {
                bytes.extend(piece);
            }
            bytes
        };
        assert!(whole(usize::MAX).iter().enumerate().all(|(n, byte)| usize::from(*byte) == n % 251));
        assert_eq!(whole(usize::MAX), whole(997));
        assert_eq!(whole(1).len(), 200_000);
    }
}
