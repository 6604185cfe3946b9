//! HTTP/2 by its clauses (RFC 9113, and RFC 7541 for its compression), frame by frame. Behind what a case sends stands
//! one more request, whose answer shows that the connection lives.

use super::conversation::{Came, Case, Demand, GET, STREAM};
use super::frames::*;

/// A request without a body, of exactly these fields.
fn only(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, STREAM, block(fields))
}

/// A GET with further fields.
fn get(fields: &[(&str, &str)]) -> Vec<u8> {
    only(&[&GET, fields].concat())
}

/// The head of a POST with further fields, of which the body is to come.
fn post(fields: &[(&str, &str)]) -> Vec<u8> {
    let post = [(":method", "POST"), GET[1], GET[2], GET[3]];
    frame(HEADERS, END_HEADERS, STREAM, block(&[&post, fields].concat()))
}

fn data(flags: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, flags, STREAM, bytes)
}

/// A GET in which this stands for the field of the same name.
fn with(name: &str, value: &str) -> Vec<u8> {
    only(&GET.map(|(field, usual)| if field == name { (field, value) } else { (field, usual) }))
}

/// A GET without this field.
fn without(name: &str) -> Vec<u8> {
    only(&GET.into_iter().filter(|(field, _)| *field != name).collect::<Vec<_>>())
}

pub(super) fn cases() -> Vec<Case> {
    [
        begins(),
        frames(),
        streams(),
        controls(),
        windows(),
        continuations(),
        heads(),
        targets(),
        bodies(),
        compressed(),
    ]
    .concat()
}

fn begins() -> Vec<Case> {
    let first = |frame: Vec<u8>| [PREFACE, &frame].concat();
    vec![
        Case::answered("9113 §3.4", "a preface, SETTINGS, a request", get(&[]), "path=/echo\n"),
        Case::connection(
            "9113 §3.4",
            "PING before SETTINGS",
            [first(frame(PING, 0, 0, [0; 8])), settings(&[])].concat(),
            PROTOCOL_ERROR,
        )
        .bare()
        .comes(Came::Closed),
        Case::connection("9113 §3.4", "a request before SETTINGS", first(get(&[])), PROTOCOL_ERROR)
            .bare()
            .comes(Came::Closed),
        Case::nothing("9113 §6.5", "SETTINGS are acknowledged", settings(&[(3, 100)]))
            .says("SETTINGS acknowledged\n"),
        Case::nothing("9113 §6.5.2", "a setting that is not known", settings(&[(0xf0f0, 1)])),
        Case::connection("9113 §6.5", "SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, [0; 5]), FRAME_SIZE_ERROR)
            .by_protocol_error(),
        Case::connection("9113 §6.5", "SETTINGS of a stream", frame(SETTINGS, 0, STREAM, ""), PROTOCOL_ERROR),
        Case::connection(
            "9113 §6.5",
            "an acknowledgement with settings",
            frame(SETTINGS, ACK, 0, [0, 1, 0, 0, 0, 0]),
            FRAME_SIZE_ERROR,
        )
        .by_protocol_error(),
        Case::connection("9113 §6.5.2", "ENABLE_PUSH of 2", settings(&[(2, 2)]), PROTOCOL_ERROR),
        Case::connection(
            "9113 §6.5.2",
            "INITIAL_WINDOW_SIZE of 2^31",
            settings(&[(4, 1 << 31)]),
            FLOW_CONTROL_ERROR,
        )
        .by_protocol_error(),
        Case::connection("9113 §6.5.2", "MAX_FRAME_SIZE of 16,383", settings(&[(5, 16_383)]), PROTOCOL_ERROR),
        Case::connection("9113 §6.5.2", "MAX_FRAME_SIZE of 2^24", settings(&[(5, 1 << 24)]), PROTOCOL_ERROR),
    ]
}

fn frames() -> Vec<Case> {
    let large = block(&[&GET[..], &[("x-a", &"x".repeat(16_400))]].concat());
    vec![
        Case::nothing(
            "9113 §5.5",
            "a frame of a kind that is not known",
            frame(0xf0, 0xff, STREAM, "anything"),
        ),
        Case::nothing("9113 §4.1", "flags that are not known", frame(PING, 0xf0, 0, [0; 8])),
        Case::answered(
            "9113 §4.1",
            "the reserved bit",
            frame(HEADERS, END_STREAM | END_HEADERS, STREAM | 1 << 31, block(&GET)),
            "path=/echo\n",
        ),
        Case::connection(
            "9113 §4.2",
            "HEADERS of more than 16,384 bytes",
            frame(HEADERS, END_STREAM | END_HEADERS, STREAM, large),
            FRAME_SIZE_ERROR,
        ),
        Case::connection(
            "9113 §4.2",
            "DATA of more than 16,384 bytes",
            [post(&[]), data(END_STREAM, [0; 16_385])].concat(),
            FRAME_SIZE_ERROR,
        ),
        Case::answered(
            "9113 §6.1",
            "DATA with padding",
            [post(&[]), data(END_STREAM | PADDED, b"\x03hello\0\0\0")].concat(),
            "body-bytes=5\nhello",
        ),
        Case::connection(
            "9113 §6.1",
            "DATA that is all padding and more",
            [post(&[]), data(END_STREAM | PADDED, b"\x06hello")].concat(),
            PROTOCOL_ERROR,
        ),
        Case::connection(
            "9113 §6.1",
            "DATA that says it is padded, and is empty",
            [post(&[]), data(END_STREAM | PADDED, "")].concat(),
            FRAME_SIZE_ERROR,
        )
        .by_protocol_error(),
        Case::answered(
            "9113 §6.2",
            "HEADERS with padding and a priority",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY,
                STREAM,
                [b"\x03\0\0\0\0\x0f".as_slice(), &block(&GET), &[0; 3]].concat(),
            ),
            "path=/echo\n",
        ),
        Case::connection(
            "9113 §6.2",
            "HEADERS that are all padding and more",
            frame(HEADERS, END_STREAM | END_HEADERS | PADDED, STREAM, [&[0xff], &block(&GET)[..]].concat()),
            PROTOCOL_ERROR,
        ),
        Case::connection("9113 §6.8", "GOAWAY of a stream", frame(GOAWAY, 0, STREAM, [0; 8]), PROTOCOL_ERROR),
        Case::connection("9113 §6.8", "GOAWAY of 7 bytes", frame(GOAWAY, 0, 0, [0; 7]), FRAME_SIZE_ERROR)
            .by_protocol_error(),
        Case::connection(
            "9113 §8.4",
            "PUSH_PROMISE",
            frame(PUSH_PROMISE, END_HEADERS, STREAM, [&[0, 0, 0, 2], &block(&GET)[..]].concat()),
            PROTOCOL_ERROR,
        ),
    ]
}

fn streams() -> Vec<Case> {
    let head = |stream: u32| frame(HEADERS, END_STREAM | END_HEADERS, stream, block(&GET));
    let most: Vec<u8> = (0..=200)
        .flat_map(|number| {
            frame(
                HEADERS,
                END_HEADERS,
                8999 - 2 * (200 - number),
                block(&[(":method", "POST"), GET[1], GET[2], GET[3]]),
            )
        })
        .collect();
    vec![
        Case::connection("9113 §5.1.1", "a stream of an even number", head(2), PROTOCOL_ERROR),
        Case::connection(
            "9113 §5.1.1",
            "a number lower than one before",
            [head(5), head(3)].concat(),
            PROTOCOL_ERROR,
        ),
        Case::connection("9113 §6.2", "HEADERS of stream 0", head(0), PROTOCOL_ERROR),
        Case::connection("9113 §6.1", "DATA of stream 0", frame(DATA, 0, 0, "x"), PROTOCOL_ERROR),
        Case::connection("9113 §5.1", "DATA of a stream that is idle", data(0, "x"), PROTOCOL_ERROR),
        Case::connection(
            "9113 §5.1",
            "RST_STREAM of a stream that is idle",
            frame(RST_STREAM, 0, STREAM, [0; 4]),
            PROTOCOL_ERROR,
        ),
        Case::connection(
            "9113 §5.1",
            "WINDOW_UPDATE of a stream that is idle",
            frame(WINDOW_UPDATE, 0, STREAM, [0, 0, 0, 1]),
            PROTOCOL_ERROR,
        ),
        Case::reset(
            "9113 §5.1",
            "DATA behind the request's end",
            [get(&[]), data(0, "x")].concat(),
            STREAM_CLOSED,
        )
        .by_protocol_error(),
        Case::reset(
            "9113 §5.1",
            "HEADERS behind the request's end",
            [get(&[]), get(&[])].concat(),
            STREAM_CLOSED,
        )
        .by_protocol_error(),
        Case::connection("9113 §5.1", "HEADERS of a stream that was answered", get(&[]), STREAM_CLOSED)
            .then(get(&[]))
            .by_protocol_error(),
        Case::nothing("9113 §5.1", "RST_STREAM of a stream that was answered", get(&[])).then(frame(
            RST_STREAM,
            0,
            STREAM,
            [0, 0, 0, 8],
        )),
        Case::nothing("9113 §5.1", "WINDOW_UPDATE of a stream that was answered", get(&[])).then(frame(
            WINDOW_UPDATE,
            0,
            STREAM,
            [0, 0, 0, 1],
        )),
        Case::nothing(
            "9113 §5.1",
            "DATA behind RST_STREAM",
            [post(&[]), frame(RST_STREAM, 0, STREAM, [0, 0, 0, 8]), data(END_STREAM, "x")].concat(),
        ),
        Case::nothing(
            "9113 §5.4.2",
            "a request that is given up at once",
            [post(&[]), frame(RST_STREAM, 0, STREAM, [0, 0, 0, 8])].concat(),
        ),
        Case::nothing("9113 §5.1.2", "201 requests that do not end, and one more", most)
            .says("RST_STREAM 9001 REFUSED_STREAM\n"),
    ]
}

fn controls() -> Vec<Case> {
    vec![
        Case::nothing("9113 §6.7", "PING is answered with what was in it", frame(PING, 0, 0, "12345678"))
            .says("PING answered 12345678\n"),
        Case::nothing("9113 §6.7", "an answer to no PING", frame(PING, ACK, 0, "12345678")),
        Case::connection("9113 §6.7", "PING of 7 bytes", frame(PING, 0, 0, [0; 7]), FRAME_SIZE_ERROR)
            .by_protocol_error(),
        Case::connection("9113 §6.7", "PING of a stream", frame(PING, 0, STREAM, [0; 8]), PROTOCOL_ERROR),
        Case::connection(
            "9113 §6.4",
            "RST_STREAM of 3 bytes",
            [post(&[]), frame(RST_STREAM, 0, STREAM, [0; 3])].concat(),
            FRAME_SIZE_ERROR,
        )
        .by_protocol_error(),
        Case::connection(
            "9113 §6.4",
            "RST_STREAM of stream 0",
            frame(RST_STREAM, 0, 0, [0; 4]),
            PROTOCOL_ERROR,
        ),
        Case::connection("9113 §6.3", "PRIORITY of stream 0", frame(PRIORITY, 0, 0, [0; 5]), PROTOCOL_ERROR),
        Case::reset(
            "9113 §6.3",
            "PRIORITY of 4 bytes",
            [post(&[]), frame(PRIORITY, 0, STREAM, [0; 4])].concat(),
            FRAME_SIZE_ERROR,
        )
        .by_protocol_error(),
        Case::nothing(
            "9113 §6.3",
            "PRIORITY of a stream that is idle",
            frame(PRIORITY, 0, STREAM, [0, 0, 0, 3, 9]),
        ),
        Case::reset(
            "7540 §5.3.1",
            "a stream that depends on itself",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS | WITH_PRIORITY,
                STREAM,
                [b"\0\0\0\x01\x0f".as_slice(), &block(&GET)].concat(),
            ),
            PROTOCOL_ERROR,
        )
        .free(),
    ]
}

fn windows() -> Vec<Case> {
    let update = |stream: u32, by: u32| frame(WINDOW_UPDATE, 0, stream, by.to_be_bytes());
    vec![
        Case::connection("9113 §6.9", "WINDOW_UPDATE by nothing", update(0, 0), PROTOCOL_ERROR),
        Case::reset(
            "9113 §6.9",
            "WINDOW_UPDATE of a stream by nothing",
            [post(&[]), update(STREAM, 0)].concat(),
            PROTOCOL_ERROR,
        )
        .by_protocol_error(),
        Case::connection(
            "9113 §6.9",
            "WINDOW_UPDATE of 3 bytes",
            frame(WINDOW_UPDATE, 0, 0, [0; 3]),
            FRAME_SIZE_ERROR,
        )
        .by_protocol_error(),
        Case::connection(
            "9113 §6.9.1",
            "a window above 2^31 - 1",
            update(0, (1 << 31) - 1),
            FLOW_CONTROL_ERROR,
        ),
        Case::reset(
            "9113 §6.9.1",
            "a stream's window above 2^31 - 1",
            [post(&[]), update(STREAM, (1 << 31) - 1)].concat(),
            FLOW_CONTROL_ERROR,
        ),
        Case::answered(
            "9113 §6.9.2",
            "no window at first, then one",
            [settings(&[(4, 0)]), get(&[]), update(STREAM, 1 << 16), settings(&[(4, 1 << 16)])].concat(),
            "path=/echo\n",
        ),
        Case::connection(
            "9113 §6.9.2",
            "a setting that lifts a window above 2^31 - 1",
            [post(&[]), update(STREAM, 1 << 30), settings(&[(4, (1 << 31) - 1)])].concat(),
            FLOW_CONTROL_ERROR,
        ),
        Case::connection(
            "9113 §6.9",
            "more DATA than the window takes",
            [post(&[]), data(0, [0; 16_384]).repeat(400)].concat(),
            FLOW_CONTROL_ERROR,
        )
        .free(),
    ]
}

fn continuations() -> Vec<Case> {
    let whole = block(&GET);
    let (begin, end) = whole.split_at(20);
    let head = frame(HEADERS, END_STREAM, STREAM, begin);
    let rest = |stream: u32| frame(CONTINUATION, END_HEADERS, stream, end);
    let drops: Vec<u8> = end
        .iter()
        .enumerate()
        .flat_map(|(at, byte)| {
            frame(CONTINUATION, if at + 1 == end.len() { END_HEADERS } else { 0 }, STREAM, [*byte])
        })
        .collect();
    vec![
        Case::answered(
            "9113 §6.10",
            "a block in two frames",
            [head.clone(), rest(STREAM)].concat(),
            "path=/echo\n",
        ),
        Case::answered(
            "9113 §6.10",
            "an empty frame in between",
            [head.clone(), frame(CONTINUATION, 0, STREAM, ""), rest(STREAM)].concat(),
            "path=/echo\n",
        ),
        Case::connection(
            "9113 §10.5.1",
            "a block in frames of one byte",
            [head.clone(), drops].concat(),
            ENHANCE_YOUR_CALM,
        )
        .free(),
        Case::connection(
            "9113 §6.10",
            "CONTINUATION of another stream",
            [head.clone(), rest(3)].concat(),
            PROTOCOL_ERROR,
        ),
        Case::connection(
            "9113 §6.10",
            "PING inside a block",
            [head.clone(), frame(PING, 0, 0, [0; 8]), rest(STREAM)].concat(),
            PROTOCOL_ERROR,
        ),
        Case::connection(
            "9113 §5.5",
            "a frame of an unknown kind inside a block",
            [head.clone(), frame(0xf0, 0, STREAM, ""), rest(STREAM)].concat(),
            PROTOCOL_ERROR,
        ),
        Case::connection("9113 §6.10", "a block that does not end", head, PROTOCOL_ERROR),
        Case::connection("9113 §6.10", "CONTINUATION of nothing", rest(STREAM), PROTOCOL_ERROR),
        Case::connection(
            "9113 §6.10",
            "CONTINUATION behind a block's end",
            [get(&[]), rest(STREAM)].concat(),
            PROTOCOL_ERROR,
        ),
    ]
}

fn heads() -> Vec<Case> {
    let many = |count: usize| get(&vec![("x-a", "1"); count - 4]);
    let large = "x".repeat(16_000);
    let larger = |fields: usize| {
        let whole = block(&[&GET[..], &vec![("x-a", large.as_str()); fields]].concat());
        let mut pieces = whole.chunks(16_384).peekable();
        let mut sent = frame(HEADERS, END_STREAM, STREAM, pieces.next().unwrap_or_default());
        while let Some(piece) = pieces.next() {
            sent.extend(frame(
                CONTINUATION,
                if pieces.peek().is_none() { END_HEADERS } else { 0 },
                STREAM,
                piece,
            ));
        }
        sent
    };
    vec![
        Case::reset("9113 §8.2.1", "a name in upper case", get(&[("X-A", "1")]), PROTOCOL_ERROR)
            .by_protocol_error(),
        Case::reset("9113 §8.2.1", "a name with a space", get(&[("x a", "1")]), PROTOCOL_ERROR)
            .by_protocol_error(),
        Case::reset("9113 §8.2.1", "a name with a colon", get(&[("x:a", "1")]), PROTOCOL_ERROR)
            .by_protocol_error(),
        Case::reset("9113 §8.2.1", "an empty name", get(&[("", "1")]), PROTOCOL_ERROR).by_protocol_error(),
        Case::reset("9113 §8.2.1", "NUL in a value", get(&[("x-a", "1\x002")]), PROTOCOL_ERROR)
            .by_protocol_error(),
        Case::reset("9113 §8.2.1", "CR in a value", get(&[("x-a", "1\r2")]), PROTOCOL_ERROR)
            .by_protocol_error(),
        Case::reset("9113 §8.2.1", "LF in a value", get(&[("x-a", "1\n2")]), PROTOCOL_ERROR)
            .by_protocol_error(),
        Case::refused("9113 §8.2.1", "white space before a value", get(&[("x-a", " 1")]), 400),
        Case::refused("9113 §8.2.1", "a tab behind a value", get(&[("x-a", "1\t")]), 400),
        Case::answered(
            "9110 §5.5",
            "a value that is not ASCII",
            get(&[("x-a", "caf\u{e9}")]),
            "header x-a: caf\u{e9}\n",
        ),
        Case::reset("9113 §8.2.2", "`connection`", get(&[("connection", "close")]), PROTOCOL_ERROR),
        Case::reset("9113 §8.2.2", "`keep-alive`", get(&[("keep-alive", "timeout=5")]), PROTOCOL_ERROR),
        Case::reset(
            "9113 §8.2.2",
            "`proxy-connection`",
            get(&[("proxy-connection", "close")]),
            PROTOCOL_ERROR,
        ),
        Case::reset(
            "9113 §8.2.2",
            "`transfer-encoding`",
            get(&[("transfer-encoding", "chunked")]),
            PROTOCOL_ERROR,
        ),
        Case::reset("9113 §8.2.2", "`upgrade`", get(&[("upgrade", "h2c")]), PROTOCOL_ERROR),
        Case::reset("9113 §8.2.2", "`te: gzip`", get(&[("te", "gzip")]), PROTOCOL_ERROR),
        Case::answered("9113 §8.2.2", "`te: trailers`", get(&[("te", "trailers")]), "path=/echo\n"),
        Case::answered(
            "9113 §8.2.3",
            "a cookie in crumbs",
            get(&[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2")]),
            "header cookie: a=1; b=2\n",
        ),
        Case::refused("9110 §10.1.1", "another expectation", get(&[("expect", "200-ok")]), 417).free(),
        Case::answered("9113 §8.2", "128 fields", many(128), "path=/echo\n"),
        Case::refused("6585 §5", "200 fields", many(200), 431).free(),
        Case::answered("9113 §10.5.1", "48,000 bytes of fields", larger(3), "path=/echo\n").free(),
        Case::refused("9113 §10.5.1", "80,000 bytes of fields", larger(5), 431).free(),
        Case::connection("9113 §10.5.1", "400,000 bytes of fields", larger(25), ENHANCE_YOUR_CALM).free(),
    ]
}

fn targets() -> Vec<Case> {
    let authority = |authority: &str, host: &str| {
        only(&[GET[0], GET[1], (":authority", authority), GET[3], ("host", host)])
    };
    vec![
        Case::reset("9113 §8.3.1", "no `:method`", without(":method"), PROTOCOL_ERROR),
        Case::reset("9113 §8.3.1", "no `:scheme`", without(":scheme"), PROTOCOL_ERROR),
        Case::reset("9113 §8.3.1", "no `:path`", without(":path"), PROTOCOL_ERROR),
        Case::reset("9113 §8.3.1", "an empty `:path`", with(":path", ""), PROTOCOL_ERROR),
        Case::reset("9113 §8.3", "`:path` twice", get(&[(":path", "/other")]), PROTOCOL_ERROR),
        Case::reset(
            "9113 §8.3",
            "`:path` behind a field",
            only(&[GET[0], GET[1], GET[2], ("x-a", "1"), GET[3]]),
            PROTOCOL_ERROR,
        ),
        Case::reset("9113 §8.3", "`:method` twice", only(&[&[GET[0]], &GET[..]].concat()), PROTOCOL_ERROR),
        Case::reset(
            "9113 §8.3",
            "`:status`",
            only(&[&[(":status", "200")], &GET[..]].concat()),
            PROTOCOL_ERROR,
        ),
        Case::reset("9113 §8.3", "`:x`", only(&[&[(":x", "1")], &GET[..]].concat()), PROTOCOL_ERROR)
            .by_protocol_error(),
        Case::reset("9113 §8.3.1", "a `:path` without `/`", with(":path", "echo"), PROTOCOL_ERROR),
        Case::refused("9113 §8.3.1", "`*` with GET", with(":path", "*"), 400),
        Case::new(
            "9113 §8.3.1",
            "`*` with OPTIONS",
            only(&[(":method", "OPTIONS"), GET[1], GET[2], (":path", "*")]),
            Demand::Answer,
            Came::Ended(End::Status(204)),
        ),
        Case::reset("9113 §8.3.1", "a space in `:path`", with(":path", "/echo /x"), PROTOCOL_ERROR),
        Case::refused("9113 §8.3.1", "`:path` that is not ASCII", with(":path", "/echo/caf\u{e9}"), 400),
        Case::refused("9113 §8.3.1", "a fragment in `:path`", with(":path", "/echo#top"), 400)
            .comes(Came::Ended(End::Status(200))),
        Case::refused(
            "9112 §3",
            "a `:path` of 9,000 bytes",
            with(":path", &format!("/echo/{}", "x".repeat(9000))),
            414,
        )
        .free(),
        Case::reset("9113 §8.3.1", "a `:method` that is no token", with(":method", "GE T"), PROTOCOL_ERROR)
            .by_protocol_error(),
        Case::reset("9113 §8.3.1", "a `:scheme` that is none", with(":scheme", "ht tp"), PROTOCOL_ERROR),
        Case::refused("9113 §8.3.1", "neither `:authority` nor `host`", without(":authority"), 400),
        Case::answered(
            "9113 §8.3.1",
            "`host` alone",
            only(&[GET[0], GET[1], GET[3], ("host", "shop.example")]),
            "path=/echo\n",
        ),
        Case::answered(
            "9113 §8.3.1",
            "`:authority` and `host` that are the same",
            authority("shop.example", "Shop.Example"),
            "path=/echo\n",
        ),
        Case::refused(
            "9113 §8.3.1",
            "`:authority` and another `host`",
            authority("shop.example", "other.example"),
            400,
        ),
        Case::refused(
            "9113 §8.3.1",
            "two `host`s",
            get(&[("host", "shop.example"), ("host", "shop.example")]),
            400,
        ),
        Case::refused("9113 §8.3.1", "a user in `:authority`", with(":authority", "user@shop.example"), 400),
        Case::refused("3986 §3.2.3", "a port above 65,535", with(":authority", "shop.example:65536"), 400),
        Case::refused(
            "9113 §8.5",
            "CONNECT",
            only(&[(":method", "CONNECT"), (":authority", "shop.example:80")]),
            501,
        )
        .free(),
        Case::reset(
            "8441 §4",
            "CONNECT of a protocol, which is not offered",
            only(&[&[(":method", "CONNECT"), (":protocol", "websocket")], &GET[1..]].concat()),
            PROTOCOL_ERROR,
        ),
        Case::refused("9110 §9.3.8", "TRACE", with(":method", "TRACE"), 501).free(),
    ]
}

fn bodies() -> Vec<Case> {
    let length = |length: &str| post(&[("content-length", length)]);
    let trailers = |fields: &[(&str, &str)], flags: u8| frame(HEADERS, flags, STREAM, block(fields));
    vec![
        Case::answered(
            "9113 §8.1",
            "a body without a length",
            [post(&[]), data(0, "hel"), data(0, ""), data(END_STREAM, "lo")].concat(),
            "body-bytes=5\nhello",
        ),
        Case::answered(
            "9113 §8.1.1",
            "a body of its length",
            [length("5"), data(END_STREAM, "hello")].concat(),
            "body-bytes=5\nhello",
        ),
        Case::reset(
            "9113 §8.1.1",
            "less than its length",
            [length("6"), data(END_STREAM, "hello")].concat(),
            PROTOCOL_ERROR,
        ),
        Case::reset(
            "9113 §8.1.1",
            "more than its length",
            [length("4"), data(END_STREAM, "hello")].concat(),
            PROTOCOL_ERROR,
        ),
        Case::reset("9113 §8.1.1", "a length and no body", get(&[("content-length", "5")]), PROTOCOL_ERROR),
        Case::reset(
            "9113 §8.1.1",
            "a length with a sign",
            [length("+5"), data(END_STREAM, "hello")].concat(),
            PROTOCOL_ERROR,
        ),
        Case::refused(
            "9110 §8.6",
            "a length twice",
            [post(&[("content-length", "5"), ("content-length", "5")]), data(END_STREAM, "hello")].concat(),
            400,
        )
        .free(),
        Case::answered(
            "9113 §8.1",
            "trailers",
            [post(&[]), data(0, "hello"), trailers(&[("x-a", "1")], END_STREAM | END_HEADERS)].concat(),
            "body-bytes=5\nhello",
        ),
        Case::reset(
            "9113 §8.1",
            "trailers that do not end the stream",
            [post(&[]), data(0, "hello"), trailers(&[("x-a", "1")], END_HEADERS)].concat(),
            PROTOCOL_ERROR,
        ),
        Case::reset(
            "9113 §8.1",
            "a pseudo-header in trailers",
            [post(&[]), data(0, "hello"), trailers(&[(":path", "/")], END_STREAM | END_HEADERS)].concat(),
            PROTOCOL_ERROR,
        )
        .comes(Came::Ended(End::Status(200))),
        Case::reset(
            "9113 §8.1",
            "`connection` in trailers",
            [post(&[]), trailers(&[("connection", "close")], END_STREAM | END_HEADERS)].concat(),
            PROTOCOL_ERROR,
        ),
    ]
}

/// RFC 7541.
fn compressed() -> Vec<Case> {
    let ended = |block: Vec<u8>| frame(HEADERS, END_STREAM | END_HEADERS, STREAM, block);
    let behind = |begin: &[u8]| ended([begin, &block(&GET)].concat());
    let before = |end: &[u8]| ended([&block(&GET), end].concat());
    // `:method: GET`, `:scheme: http`, `:path: /echo` under its name, and an authority to be kept.
    let indexed = [&[0x82, 0x86, 0x04, 0x05], &b"/echo"[..], &[0x41, 0x0c], b"shop.example"].concat();
    vec![
        Case::answered("7541 §6.1", "fields of the static table", ended(indexed.clone()), "path=/echo\n"),
        Case::nothing("7541 §6.2.1", "a field that was kept", ended(indexed)).then(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            3,
            [&[0x82, 0x86, 0x04, 0x05][..], b"/echo", &[0xbe]].concat(),
        )),
        Case::answered(
            "7541 §5.2",
            "a value in Huffman's code",
            before(&[0x00, 0x03, b'x', b'-', b'a', 0x83, 0b0110_1000, 0b0010_1110, 0b1111_1111]),
            "header x-a: 417\n",
        ),
        Case::answered("7541 §6.3", "a table that gets smaller", behind(&[0x20]), "path=/echo\n"),
        Case::connection("7541 §6.1", "field 0", before(&[0x80]), COMPRESSION_ERROR).by_protocol_error(),
        Case::connection("7541 §2.3.3", "a field that no table has", before(&[0xc6]), COMPRESSION_ERROR)
            .by_protocol_error(),
        Case::connection(
            "7541 §6.3",
            "a table larger than was allowed",
            behind(&[0x3f, 0xe2, 0x1f]),
            COMPRESSION_ERROR,
        )
        .by_protocol_error(),
        Case::connection("7541 §4.2", "a table's size behind a field", before(&[0x20]), COMPRESSION_ERROR)
            .by_protocol_error(),
        Case::connection(
            "7541 §5.1",
            "a number without an end",
            before(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            COMPRESSION_ERROR,
        )
        .by_protocol_error(),
        Case::connection(
            "7541 §5.2",
            "a string longer than its block",
            before(&[0x00, 0x01, b'x', 0x7f]),
            COMPRESSION_ERROR,
        )
        .by_protocol_error(),
        Case::connection(
            "7541 §5.2",
            "padding of more than seven bits",
            before(&[0x00, 0x01, b'x', 0x82, 0b0000_0111, 0xff]),
            COMPRESSION_ERROR,
        )
        .by_protocol_error(),
        Case::connection(
            "7541 §5.2",
            "padding of zeros",
            before(&[0x00, 0x01, b'x', 0x81, 0b0000_0000]),
            COMPRESSION_ERROR,
        )
        .by_protocol_error(),
        Case::connection(
            "7541 §5.2",
            "the end of string in a string",
            before(&[0x00, 0x01, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
            COMPRESSION_ERROR,
        )
        .by_protocol_error(),
    ]
}
