//! Answers with content of a kind and a size, and with the fields that a cache or a compressor looks at.

use std::time::Duration;

use guest_support::Query;
use wasip2::http::types::{Fields, IncomingRequest};

use crate::message::{PIECE_BYTES, Reply, wait};

/// So many `bytes` of a `kind`: `text`, `json` or `random`. The content is the same for the same query.
///
/// * `type`, `etag`, `cache-control`, `content-encoding` and `vary` are fields of the answer.
/// * With `stated` the length is stated.
/// * With `late` the guest rests after the first piece, so that the answer streams.
/// * With `cut` it aborts there.
/// * With `sum` the trailer `x-sum` is sent.
///
/// A request whose `if-none-match` names the `etag`, weak or not, is answered 304.
pub(crate) fn content(reply: Reply, request: &IncomingRequest, query: &Query) {
    let (of_its_own, content) = made(query.text("kind").as_deref(), query.number("bytes", 0));
    let mut fields = vec![("content-type", query.text("type").unwrap_or_else(|| of_its_own.into()))];
    for name in ["etag", "cache-control", "content-encoding", "vary"] {
        fields.extend(query.text(name).map(|value| (name, value)));
    }
    if query.text("stated").is_some() {
        fields.push(("content-length", content.len().to_string()));
    }
    if query.text("sum").is_some() {
        fields.push(("trailer", "x-sum".into()));
    }
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if let Some(tag) = query.text("etag").filter(|tag| is_named(request, tag)) {
        return reply.head(304, &[("etag", &tag)]).write_last(b"");
    }
    let body = reply.head(200, &fields);
    for (number, piece) in content.chunks(PIECE_BYTES / 2).enumerate() {
        if number == 1 && query.text("late").is_some() {
            wait(Duration::from_millis(20));
        }
        if number == 1 && query.text("cut").is_some() {
            wait(Duration::from_millis(20));
            std::process::abort();
        }
        if body.write(piece).is_err() {
            return;
        }
    }
    let trailers = query.text("sum").map(|sum| {
        let pair = ("x-sum".to_owned(), sum.into_bytes());
        Fields::from_list(&[pair]).expect("the trailer is allowed")
    });
    let _ = body.finish(trailers);
}

fn is_named(request: &IncomingRequest, tag: &str) -> bool {
    let named = request.headers().get("if-none-match").concat();
    let strong = tag.trim_start_matches("W/");
    String::from_utf8_lossy(&named).split(',').any(|one| one.trim().trim_start_matches("W/") == strong)
}

/// The type of a kind, and so many bytes of it.
fn made(kind: Option<&str>, bytes: usize) -> (&'static str, Vec<u8>) {
    const WORDS: [&str; 16] = [
        "the", "river", "of", "stones", "runs", "below", "a", "quiet", "mill", "and", "turns", "its",
        "wheel", "until", "evening", "comes",
    ];
    let mut random = Random(1);
    let mut content = Vec::with_capacity(bytes + 256);
    for number in 0u64.. {
        if content.len() >= bytes {
            break;
        }
        match kind {
            Some("random") => content.extend_from_slice(&random.next().to_le_bytes()),
            Some("json") => {
                let (year, price) = (1900 + random.next() % 120, random.next() % 10_000);
                let word = WORDS[random.next() as usize % WORDS.len()];
                let entry =
                    format!(r#"{{"id":{number},"title":"{word} {year}","price":{price},"in-stock":true}},"#);
                content.extend_from_slice(entry.as_bytes());
            }
            _ => {
                content.extend_from_slice(WORDS[random.next() as usize % WORDS.len()].as_bytes());
                content.push(if number % 12 == 11 { b'\n' } else { b' ' });
            }
        }
    }
    content.truncate(bytes);
    let content_type = match kind {
        Some("random") => "application/octet-stream",
        Some("json") => "application/json",
        _ => "text/plain",
    };
    (content_type, content)
}

/// Numbers without a pattern, the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
