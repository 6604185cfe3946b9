//! HTTP/1 by its clauses (RFC 9112, and RFC 9110 where it says what a message means): what must be taken, and what must
//! not. Behind each request stands another, whose answer shows that the connection is kept and read rightly.

use super::case::{Case, chunks, get, line, malformed, message, post, refused, taken};

/// The longest target that is taken.
const TARGET_BYTES: usize = 8 << 10;

pub(super) fn cases() -> Vec<Case> {
    [lines(), targets(), hosts(), fields(), lengths(), codings(), chunked(), connections(), methods()]
        .concat()
}

/// How a message begins, and where its lines end.
fn lines() -> Vec<Case> {
    const HEAD: &str = "GET /echo HTTP/1.1\r\nhost: shop.example\r\n";
    vec![
        taken("9112 §2.1", "a request of one field", line("GET /echo HTTP/1.1"), "method=GET\npath=/echo\n"),
        taken("9112 §2.2", "an empty line before it", format!("\r\n{HEAD}\r\n"), "path=/echo\n"),
        malformed("9112 §2.2", "two empty lines before it", format!("\r\n\r\n{HEAD}\r\n")).free(),
        malformed(
            "9112 §2.2",
            "a request line that ends in LF",
            "GET /echo HTTP/1.1\nhost: shop.example\r\n\r\n",
        )
        .free(),
        malformed("9112 §2.2", "a field that ends in LF", get("x-a: 1\nx-b: 2")).free(),
        malformed("9112 §2.2", "a head that ends in LF", format!("{HEAD}\n")).free(),
        malformed("9112 §2.2", "a bare CR in the request line", line("GET /echo\r HTTP/1.1")),
        malformed("9112 §2.2", "a bare CR in a field's value", get("x-a: 1\r2")),
        malformed(
            "9112 §2.2",
            "white space before the first field",
            message("GET /echo HTTP/1.1\r\n host: a", "host: shop.example", ""),
        ),
        taken(
            "9112 §2.3",
            "version 1.0",
            message("GET /echo HTTP/1.0", "connection: keep-alive", ""),
            "connection: keep-alive",
        ),
        refused("9112 §2.3", "version 2.0", line("GET /echo HTTP/2.0"), 505, "version"),
        refused("9112 §2.3", "version 3.0", line("GET /echo HTTP/3.0"), 505, "version"),
        refused("9112 §2.3", "version 0.9", line("GET /echo HTTP/0.9"), 505, "version"),
        taken("9110 §2.5", "version 1.2, to be taken as 1.1", line("GET /echo HTTP/1.2"), "HTTP/1.1 200 OK"),
        taken(
            "9110 §2.5",
            "version 1.9, with a body in chunks",
            message(
                "POST /echo HTTP/1.9\r\nhost: shop.example",
                "transfer-encoding: chunked",
                "5\r\nhello\r\n0\r\n\r\n",
            ),
            "body-bytes=5\nhello",
        ),
        malformed("9112 §2.3", "`http/1.1`", line("GET /echo http/1.1")),
        malformed("9112 §2.3", "version 1.10", line("GET /echo HTTP/1.10")),
        malformed("9112 §3", "no version, as in HTTP/0.9", "GET /echo\r\n"),
        refused(
            "9113 §3.4",
            "half of the preface of HTTP/2, and then another request",
            line("PRI * HTTP/2.0"),
            505,
            "version",
        ),
        malformed("9112 §3", "a TLS handshake", "\x16\x03\x01\x02\0\x01\0\x01\u{7c}\x03\x03"),
        malformed("9112 §3", "another protocol", "SSH-2.0-OpenSSH_9.9\r\n"),
        malformed("9112 §3", "two spaces behind the method", line("GET  /echo HTTP/1.1")).free(),
        malformed("9112 §3", "two spaces behind the target", line("GET /echo  HTTP/1.1")).free(),
        malformed("9112 §3", "a space behind the version", line("GET /echo HTTP/1.1 ")).free(),
        malformed("9112 §3", "tabs for spaces", line("GET\t/echo\tHTTP/1.1")).free(),
        malformed("9112 §3.1", "a method that is no token", line("GE(T /echo HTTP/1.1")),
        malformed("9112 §3.1", "no method", line(" /echo HTTP/1.1")),
        refused(
            "9112 §3",
            "a method of 40 letters",
            line(format!("{} /echo HTTP/1.1", "M".repeat(40))),
            501,
            "unsupported-method",
        )
        .free(),
    ]
}

/// What is asked for.
fn targets() -> Vec<Case> {
    let path = |bytes: usize| format!("/echo/{}", "x".repeat(bytes - 6));
    vec![
        taken(
            "9112 §3.2.1",
            "a path with everything that it may have",
            line("GET /echo/a-._~!$&'()*+,;=:@%C3%A9/?a=b?/:@ HTTP/1.1"),
            "path=/echo/a-._~!$&'()*+,;=:@%C3%A9/\nquery=Some(\"a=b?/:@\")\n",
        ),
        taken("9112 §3.2.1", "an empty query", line("GET /echo? HTTP/1.1"), "query=Some(\"\")"),
        taken(
            "9112 §3",
            "a target of 8,192 bytes",
            line(format!("GET {} HTTP/1.1", path(TARGET_BYTES))),
            "path=/echo/xxx",
        ),
        refused(
            "9112 §3",
            "a target of 8,193 bytes",
            line(format!("GET {} HTTP/1.1", path(TARGET_BYTES + 1))),
            414,
            "target-length",
        )
        .free(),
        refused(
            "9112 §3",
            "a query of 60,000 bytes",
            line(format!("GET /echo?{} HTTP/1.1", "x".repeat(60_000))),
            414,
            "target-length",
        )
        .free(),
        malformed("9112 §3.2", "a space in the path", line("GET /echo/a b HTTP/1.1")),
        malformed("9112 §3.2", "a fragment", line("GET /echo#top HTTP/1.1")),
        malformed("9112 §3.2", "bytes that are not ASCII", line(b"GET /echo/caf\xc3\xa9 HTTP/1.1")),
        malformed("9112 §3.2", "a control character", line("GET /echo/\x01 HTTP/1.1")),
        malformed("9112 §3.2", "DEL", line("GET /echo/\x7f HTTP/1.1")),
        malformed("9112 §3.2.1", "a path without `/`", line("GET echo HTTP/1.1")),
        malformed("9112 §3.2.1", "a query alone", line("GET ?a HTTP/1.1")),
        malformed("3986 §2.1", "a `%` that encodes nothing", line("GET /echo/%zz HTTP/1.1")).kept().free(),
        taken(
            "9112 §3.2.2",
            "an absolute target",
            line("GET http://shop.example/echo?a HTTP/1.1"),
            "path=/echo\nquery=Some(\"a\")\n",
        ),
        taken(
            "9112 §3.2.2",
            "an absolute target in upper case",
            line("GET HTTP://SHOP.example/echo HTTP/1.1"),
            "path=/echo\n",
        ),
        taken(
            "9112 §3.2.2",
            "an absolute target of another host than `Host`: the target's counts",
            message("GET http://shop.example/echo HTTP/1.1", "host: other.example", ""),
            "path=/echo\n",
        ),
        malformed(
            "9110 §4.2.4",
            "an absolute target with a password",
            line("GET http://user:word@shop.example/echo HTTP/1.1"),
        )
        .kept()
        .free(),
        malformed("9112 §3.2.2", "an absolute target without a host", line("GET http:///echo HTTP/1.1")),
        taken(
            "9110 §7.4",
            "an `https` target over a connection without TLS",
            line("GET https://shop.example/echo HTTP/1.1"),
            "path=/echo\n",
        )
        .though_it_is_not_allowed(),
        malformed("9112 §3.2.2", "another scheme", line("GET ftp://shop.example/echo HTTP/1.1")).free(),
        malformed("9112 §3.2.3", "an authority without CONNECT", line("GET shop.example:80 HTTP/1.1")),
        refused(
            "9112 §3.2.3",
            "CONNECT",
            line("CONNECT shop.example:80 HTTP/1.1"),
            501,
            "unsupported-method",
        )
        .free(),
        taken("9112 §3.2.4", "`OPTIONS *`", line("OPTIONS * HTTP/1.1"), "HTTP/1.1 2").answered(&[204]),
        malformed("9112 §3.2.4", "`GET *`", line("GET * HTTP/1.1")),
    ]
}

/// Whom it is for.
fn hosts() -> Vec<Case> {
    let of = |host: &str| message("GET /echo HTTP/1.1", host, "");
    vec![
        malformed("9112 §3.2", "no Host", of("")),
        malformed("9112 §3.2", "two Hosts that differ", of("host: shop.example\r\nhost: other.example")),
        malformed("9112 §3.2", "two Hosts that are the same", of("host: shop.example\r\nHost: shop.example")),
        malformed("9112 §3.2", "a Host with a space", of("host: shop example")).kept(),
        malformed("9112 §3.2", "a Host with a path", of("host: shop.example/echo")).kept(),
        malformed("9112 §3.2", "a Host that is a list", of("host: shop.example, other.example")).kept(),
        malformed("9112 §3.2", "a Host with a user", of("host: user@shop.example")).kept(),
        malformed("9112 §3.2", "a Host that is a port alone", of("host: :80")).kept(),
        malformed("9112 §3.2", "a port above 65,535", of("host: shop.example:65536")).kept(),
        malformed("9112 §3.2", "a port with a sign", of("host: shop.example:+80")).kept(),
        malformed("9112 §3.2", "a Host that is not ASCII", of("host: caf\u{e9}.example")).kept(),
        taken("9112 §3.2", "an empty Host", of("host:"), "path=/echo\n"),
        taken("9112 §3.2", "a Host with a port", of("host: shop.example:8080"), "path=/echo\n"),
        taken("9110 §4.2.3", "a Host with an empty port", of("host: shop.example:"), "path=/echo\n"),
        taken("9110 §4.2.3", "a Host in upper case", of("HOST: SHOP.EXAMPLE"), "path=/echo\n"),
        taken("9110 §7.2", "an IPv6 address", of("host: [::1]:8080"), "path=/echo\n"),
        taken("9112 §3.2", "no Host in HTTP/1.0", message("GET /echo HTTP/1.0", "", ""), "path=/echo\n")
            .last(),
    ]
}

/// Names and values.
fn fields() -> Vec<Case> {
    let many = |fields: usize| {
        get((1..fields).map(|number| format!("x-{number}: 1")).collect::<Vec<_>>().join("\r\n"))
    };
    let large = |bytes: usize| get(format!("x-a: {}", "x".repeat(bytes)));
    vec![
        taken("9112 §5", "white space around a value", get("x-a: \t one  two \t "), "header x-a: one  two\n"),
        taken("9112 §5", "no white space", get("x-a:1"), "header x-a: 1\n"),
        taken("9110 §5.1", "a name in mixed case", get("X-MixeD: 1"), "header x-mixed: 1\n"),
        taken(
            "9110 §5.6.2",
            "a name of every character that it may have",
            get("!#$%&'*+-.^_`|~09az: 1"),
            "header !#$%&'*+-.^_`|~09az: 1\n",
        ),
        taken("9110 §5.5", "an empty value", get("x-a:"), "header x-a: \n"),
        taken("9110 §5.5", "a value that is not ASCII", get(b"x-a: caf\xc3\xa9"), "header x-a: caf\u{e9}\n"),
        taken("9110 §5.3", "a field twice", get("x-a: 1\r\nx-a: 2"), "header x-a: 1\nheader x-a: 2\n"),
        malformed("9112 §5.1", "a space before the colon", get("x-a : 1")),
        malformed("9112 §5.1", "a tab before the colon", get("x-a\t: 1")),
        malformed("9112 §5", "no colon", get("x-a")),
        malformed("9112 §5", "no name", get(": 1")),
        malformed("9110 §5.1", "a name with a space", get("x a: 1")),
        malformed("9110 §5.1", "a name with a parenthesis", get("x(a: 1")),
        malformed("9110 §5.1", "a name that is not ASCII", get(b"caf\xc3\xa9: 1")),
        malformed("9112 §5.2", "a folded line", get("x-a: 1\r\n 2")),
        malformed("9112 §5.2", "a line folded with a tab", get("x-a: 1\r\n\t2")),
        malformed("9110 §5.5", "NUL in a value", get("x-a: 1\x002")),
        malformed("9110 §5.5", "another control character in a value", get("x-a: 1\x0b2")).free(),
        malformed("9110 §5.5", "DEL in a value", get("x-a: 1\x7f2")).free(),
        taken("9110 §5.4", "a field of 60,000 bytes", large(60_000), "header x-a: xxx").free(),
        refused("6585 §5", "a field of 70,000 bytes", large(70_000), 431, "headers").free(),
        taken("9110 §5.4", "128 fields", many(128), "header x-127: 1\n").free(),
        refused("6585 §5", "129 fields", many(129), 431, "headers").free(),
    ]
}

/// A body of a length.
fn lengths() -> Vec<Case> {
    vec![
        taken("9112 §6.2", "a body of a length", post("content-length: 5", "hello"), "body-bytes=5\nhello"),
        taken("9112 §6.2", "an empty body", post("content-length: 0", ""), "body-bytes=0\n"),
        taken(
            "9110 §8.6",
            "zeros before a length",
            post("content-length: 005", "hello"),
            "body-bytes=5\nhello",
        ),
        taken("9112 §6.3", "no length and no coding: no body", post("x-a: 1", ""), "body-bytes=0\n"),
        taken(
            "9110 §9.3.1",
            "GET with a body",
            message("GET /echo HTTP/1.1\r\nhost: shop.example", "content-length: 5", "hello"),
            "body-bytes=5\nhello",
        ),
        malformed("9112 §6.3", "a length that is none", post("content-length: five", "hello")),
        malformed("9112 §6.3", "an empty length", post("content-length:", "hello")),
        malformed("9112 §6.3", "a length with a sign", post("content-length: +5", "hello")),
        malformed("9112 §6.3", "a negative length", post("content-length: -5", "hello")),
        malformed(
            "9112 §6.3",
            "a length beyond 64 bits",
            post("content-length: 18446744073709551621", "hello"),
        ),
        malformed(
            "9112 §6.3",
            "two lengths that differ",
            post("content-length: 5\r\ncontent-length: 6", "hello"),
        ),
        malformed("9112 §6.3", "a length twice", post("content-length: 5\r\ncontent-length: 5", "hello"))
            .free(),
        malformed("9112 §6.3", "a list of one length", post("content-length: 5, 5", "hello")).free(),
        malformed("9112 §8", "a body that breaks off", post("content-length: 9", "hello")).ends(),
    ]
}

/// A body that is coded.
fn codings() -> Vec<Case> {
    const BODY: &str = "5\r\nhello\r\n0\r\n\r\n";
    vec![
        taken("9112 §6.1", "`Chunked`", post("Transfer-Encoding: Chunked", BODY), "body-bytes=5\nhello"),
        refused(
            "9112 §6.1",
            "a coding that is not known",
            post("transfer-encoding: gzip, chunked", BODY),
            501,
            "unsupported-coding",
        ),
        refused(
            "9112 §6.3",
            "a last coding that is not `chunked`",
            post("transfer-encoding: chunked, gzip", BODY),
            501,
            "unsupported-coding",
        ),
        refused(
            "9112 §6.3",
            "`chunked` not at all",
            post("transfer-encoding: identity", BODY),
            501,
            "unsupported-coding",
        ),
        refused(
            "9112 §7.1",
            "`chunked` twice",
            post("transfer-encoding: chunked, chunked", BODY),
            501,
            "unsupported-coding",
        )
        .free(),
        malformed(
            "9112 §6.1",
            "a length and a coding",
            post("content-length: 15\r\ntransfer-encoding: chunked", BODY),
        )
        .free(),
        malformed(
            "9112 §6.1",
            "a coding in HTTP/1.0",
            message("POST /echo HTTP/1.0\r\nhost: shop.example", "transfer-encoding: chunked", BODY),
        ),
    ]
}

/// Chunks and trailers.
fn chunked() -> Vec<Case> {
    let small = "1\r\na\r\n".repeat(1000) + "0\r\n\r\n";
    vec![
        taken(
            "9112 §7.1",
            "two chunks",
            chunks("6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"),
            "body-bytes=11\nhello world",
        ),
        taken("9112 §7.1", "no chunk but the last", chunks("0\r\n\r\n"), "body-bytes=0\n"),
        taken(
            "9112 §7.1",
            "sizes with zeros, in both cases",
            chunks("000A\r\n0123456789\r\n0a\r\n0123456789\r\n000\r\n\r\n"),
            "body-bytes=20\n",
        ),
        taken("9112 §7.1", "a thousand chunks of one byte", chunks(small), "body-bytes=1000\n"),
        taken(
            "9112 §7.1",
            "chunks behind a head that came before",
            post("transfer-encoding: chunked\r\nexpect: 100-continue", ""),
            "body-bytes=5\nhello",
        )
        .answered(&[100, 200])
        .then("5\r\nhello\r\n0\r\n\r\n"),
        taken(
            "9112 §7.1.1",
            "an extension",
            chunks("5;name=value\r\nhello\r\n0;last\r\n\r\n"),
            "body-bytes=5\nhello",
        ),
        taken(
            "9112 §7.1.1",
            "a quoted extension",
            chunks("5;a=\"b;\\\"c\";d\r\nhello\r\n0\r\n\r\n"),
            "body-bytes=5\nhello",
        ),
        taken(
            "9112 §7.1.2",
            "trailers",
            chunks("5\r\nhello\r\n0\r\nx-trailer: 1\r\nx-other: 2\r\n\r\n"),
            "body-bytes=5\nhello",
        ),
        malformed(
            "9112 §7.1.1",
            "white space before an extension, which is to be removed",
            chunks("5 ;a\r\nhello\r\n0\r\n\r\n"),
        )
        .though_it_is_allowed(),
        malformed("9112 §7.1", "no size", chunks("\r\nhello\r\n0\r\n\r\n")),
        malformed("9112 §7.1", "a size that is none", chunks("g\r\nhello\r\n0\r\n\r\n")),
        malformed("9112 §7.1", "a size beyond 64 bits", chunks("10000000000000005\r\nhello\r\n0\r\n\r\n")),
        malformed("9112 §7.1", "more data than the size says", chunks("4\r\nhello\r\n0\r\n\r\n")),
        malformed("9112 §7.1", "less data than the size says", chunks("6\r\nhello\r\n0\r\n\r\n")),
        malformed("9112 §7.1.2", "a trailer that is no field", chunks("0\r\nx trailer\r\n\r\n")),
        malformed("9112 §7.1", "chunks that break off", chunks("5\r\nhel")).ends(),
        malformed("9112 §8", "no last chunk", chunks("5\r\nhello\r\n")).ends(),
    ]
}

/// How long a connection lives.
fn connections() -> Vec<Case> {
    let old = |fields: &str| message("GET /echo HTTP/1.0\r\nhost: shop.example", fields, "");
    vec![
        taken("9112 §9.3", "`close`", get("connection: close"), "path=/echo\n").last(),
        taken("9112 §9.3", "`Close` in a list", get("connection: x-a, Close"), "path=/echo\n").last(),
        taken(
            "9112 §9.3",
            "`keep-alive`, which needs no word",
            get("connection: keep-alive"),
            "path=/echo\n",
        ),
        taken("9112 §9.3", "HTTP/1.0", old(""), "HTTP/1.0 200 ").last(),
        taken(
            "9112 §9.3",
            "HTTP/1.0 with `Keep-Alive`",
            old("connection: Keep-Alive"),
            "connection: keep-alive",
        ),
        taken("9112 §9.3", "HTTP/1.0 with both words", old("connection: keep-alive, close"), "path=/echo\n")
            .last(),
        taken(
            "9112 §9.3.2",
            "three requests at once",
            [get(""), post("content-length: 5", "hello"), get("")].concat(),
            "body-bytes=5\nhello",
        )
        .answered(&[200, 200, 200]),
        taken(
            "9112 §9.6",
            "one behind the last",
            [get("connection: close"), get("")].concat(),
            "path=/echo\n",
        )
        .last(),
        taken(
            "9110 §7.6.1",
            "fields of the connection, which go no further",
            get("connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-a: 1"),
            "path=/echo\nquery=None\nheader host: shop.example\nheader x-a: 1\n",
        )
        .free(),
        taken(
            "9110 §7.8",
            "an upgrade to what is not spoken",
            get("connection: upgrade\r\nupgrade: something/1"),
            "HTTP/1.1 200 ",
        ),
        taken(
            "9113 §3.1",
            "an upgrade to h2c, which is no more",
            get(
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA",
            ),
            "HTTP/1.1 200 ",
        ),
        taken("9110 §6.6.1", "an answer has a date", get(""), "\r\ndate: "),
    ]
}

/// Methods and expectations.
fn methods() -> Vec<Case> {
    vec![
        taken("9110 §9.1", "a method of one's own", line("FROBNICATE /echo HTTP/1.1"), "method=FROBNICATE\n"),
        taken("9110 §9.1", "methods differ by case", line("get /echo HTTP/1.1"), "method=get\n"),
        taken("9110 §9.3.2", "HEAD: a length, and no body", line("HEAD /echo HTTP/1.1"), "content-length: "),
        taken(
            "9110 §9.3.2",
            "HEAD with a body",
            message("HEAD /echo HTTP/1.1\r\nhost: shop.example", "content-length: 5", "hello"),
            "content-length: ",
        ),
        taken(
            "9110 §9.3.5",
            "DELETE with a body",
            message("DELETE /echo HTTP/1.1\r\nhost: shop.example", "content-length: 5", "hello"),
            "body-bytes=5\nhello",
        ),
        taken("9110 §9.3.7", "OPTIONS of a path", line("OPTIONS /echo HTTP/1.1"), "method=OPTIONS\n"),
        refused("9110 §9.3.8", "TRACE", line("TRACE /echo HTTP/1.1"), 501, "unsupported-method")
            .kept()
            .free(),
        refused(
            "9110 §15.5.6",
            "a method that the path does not take",
            line("DELETE /echo/get-alone HTTP/1.1"),
            405,
            "method",
        )
        .kept()
        .free(),
        taken(
            "9110 §10.1.1",
            "an expectation: told to go on, and then served",
            post("expect: 100-continue\r\ncontent-length: 5", ""),
            "body-bytes=5\nhello",
        )
        .answered(&[100, 200])
        .then("hello"),
        taken(
            "9110 §10.1.1",
            "an expectation in upper case",
            post("Expect: 100-CONTINUE\r\ncontent-length: 5", ""),
            "body-bytes=5\nhello",
        )
        .answered(&[100, 200])
        .then("hello"),
        taken("9110 §10.1.1", "an expectation without a body", get("expect: 100-continue"), "path=/echo\n"),
        taken(
            "9110 §10.1.1",
            "an expectation of HTTP/1.0, which is none",
            message(
                "POST /echo HTTP/1.0\r\nhost: shop.example",
                "expect: 100-continue\r\ncontent-length: 5",
                "hello",
            ),
            "body-bytes=5\nhello",
        )
        .last(),
        refused("9110 §10.1.1", "another expectation", get("expect: 200-ok"), 417, "expectation")
            .kept()
            .free(),
        malformed(
            "9110 §10.1.1",
            "an expectation of what is refused: not told to go on",
            message(
                "POST /echo/%zz HTTP/1.1\r\nhost: shop.example",
                "expect: 100-continue\r\ncontent-length: 5",
                "",
            ),
        )
        .free(),
    ]
}
