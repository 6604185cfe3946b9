//! Request smuggling: bytes that two readers could divide into requests differently. Each form hides a request, which
//! only one of the readings shows. It must never be answered.

use super::case::{Case, chunks, get, line, message, post};
use super::exchange::HIDDEN;

pub(super) fn cases() -> Vec<Case> {
    [two_framings(), coding(), length(), line_ends(), sizes(), trailers(), others()].concat()
}

const REFUSED: &[u16] = &[400];
const NO_CODING: &[u16] = &[501];

/// What follows the head of whoever reads chunks: their end, and the hidden request.
fn behind_chunks() -> String {
    format!("0\r\n\r\n{HIDDEN}")
}

/// The hidden request inside a chunk: whoever reads so many bytes as its size's line has takes it for a request.
fn inside_a_chunk() -> String {
    format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len())
}

fn two_framings() -> Vec<Case> {
    let both = |what, fields: &str, body: String| Case::hiding("CL.TE", what, post(fields, body), REFUSED);
    let all = format!("content-length: {}", behind_chunks().len());
    vec![
        both(
            "a length of all, then chunks that end before",
            &format!("{all}\r\ntransfer-encoding: chunked"),
            behind_chunks(),
        ),
        both(
            "chunks that end before, then a length of all",
            &format!("transfer-encoding: chunked\r\n{all}"),
            behind_chunks(),
        ),
        both(
            "a length that ends inside the first chunk",
            "content-length: 4\r\ntransfer-encoding: chunked",
            inside_a_chunk(),
        ),
        both(
            "the same, the coding first",
            "transfer-encoding: chunked\r\ncontent-length: 4",
            inside_a_chunk(),
        ),
        both("a length of nothing", "content-length: 0\r\ntransfer-encoding: chunked", behind_chunks()),
        both("a length that is none", "content-length: x\r\ntransfer-encoding: chunked", behind_chunks()),
    ]
}

/// Codings that one reader takes for `chunked` and another does not: once where the chunks show the hidden request, once
/// where the length does.
fn coding() -> Vec<Case> {
    let table: [(&str, &[u8], &[u16]); 27] = [
        ("a space before the colon", b"transfer-encoding : chunked", REFUSED),
        ("a tab before the colon", b"transfer-encoding\t: chunked", REFUSED),
        ("a vertical tab before the value", b"transfer-encoding:\x0bchunked", REFUSED),
        ("a form feed before the value", b"transfer-encoding:\x0cchunked", REFUSED),
        ("a vertical tab behind the value", b"transfer-encoding: chunked\x0b", REFUSED),
        ("NUL behind the value", b"transfer-encoding: chunked\0", REFUSED),
        ("NUL before the name", b"\0transfer-encoding: chunked", REFUSED),
        ("a space before the name", b"x-a: 1\r\n transfer-encoding: chunked", REFUSED),
        ("a folded value", b"transfer-encoding:\r\n chunked", NO_CODING),
        ("a value folded behind a comma", b"transfer-encoding: chunked,\r\n\tidentity", NO_CODING),
        ("a line that begins behind LF", b"x-a: 1\ntransfer-encoding: chunked", REFUSED),
        ("a line that begins behind CR", b"x-a: 1\rtransfer-encoding: chunked", REFUSED),
        ("a line that ends in CR CR LF", b"transfer-encoding: chunked\r", REFUSED),
        ("a byte that is not ASCII", b"transfer-encoding: chunked\xa0", NO_CODING),
        ("`xchunked`", b"transfer-encoding: xchunked", NO_CODING),
        ("`chunkedx`", b"transfer-encoding: chunkedx", NO_CODING),
        ("`chunked` in quotation marks", b"transfer-encoding: \"chunked\"", NO_CODING),
        ("`chunked` with a parameter", b"transfer-encoding: chunked;q=1", NO_CODING),
        ("`chunked, identity`", b"transfer-encoding: chunked, identity", NO_CODING),
        ("`identity, chunked`", b"transfer-encoding: identity, chunked", NO_CODING),
        ("`chunked, chunked`", b"transfer-encoding: chunked, chunked", NO_CODING),
        ("`chunked,`", b"transfer-encoding: chunked,", NO_CODING),
        ("`, chunked`", b"transfer-encoding: , chunked", NO_CODING),
        (
            "two fields, `chunked` and another",
            b"transfer-encoding: chunked\r\ntransfer-encoding: x",
            NO_CODING,
        ),
        (
            "two fields, another and `chunked`",
            b"transfer-encoding: x\r\ntransfer-encoding: chunked",
            NO_CODING,
        ),
        ("`cHuNkEd-`", b"Transfer-Encoding: cHuNkEd-", NO_CODING),
        ("no value", b"transfer-encoding:", NO_CODING),
    ];
    let mut cases = Vec::new();
    for (what, coding, statuses) in table {
        // The length comes last, so that the coding is what it is refused for.
        let of_all = format!("\r\ncontent-length: {}", behind_chunks().len());
        let by_chunks = post([coding, of_all.as_bytes()].concat(), behind_chunks());
        cases.push(Case::hiding("TE.CL, shown by chunks", what, by_chunks, statuses));
        let of_the_first_line =
            format!("\r\ncontent-length: {}", inside_a_chunk().find('G').unwrap_or_default());
        let by_length = post([coding, of_the_first_line.as_bytes()].concat(), inside_a_chunk());
        cases.push(Case::hiding("TE.CL, shown by the length", what, by_length, statuses));
    }
    let underscore = format!(
        "transfer_encoding: chunked\r\nconnection: close\r\ncontent-length: {}",
        behind_chunks().len()
    );
    cases.push(Case::hiding(
        "TE.CL, shown by chunks",
        "`transfer_encoding`, which is another name",
        post(underscore, behind_chunks()),
        &[200],
    ));
    cases
}

/// Lengths that one reader takes for the hidden request's and another for none.
fn length() -> Vec<Case> {
    let all = HIDDEN.len();
    let table: [(&str, String); 23] = [
        ("another length before", format!("content-length: 0\r\ncontent-length: {all}")),
        ("another length behind", format!("content-length: {all}\r\ncontent-length: 0")),
        ("a list", format!("content-length: {all}, 0")),
        ("a list of nothing and it", format!("content-length: , {all}")),
        ("a sign", format!("content-length: +{all}")),
        ("a minus sign", format!("content-length: -{all}")),
        ("hexadecimal", format!("content-length: 0x{all:x}")),
        ("two numbers", format!("content-length: {all} {all}")),
        ("a space inside", "content-length: 5 3".into()),
        ("a tab inside", "content-length: 5\t3".into()),
        ("a vertical tab behind", format!("content-length: {all}\x0b")),
        ("NUL behind", format!("content-length: {all}\0")),
        ("a fraction", format!("content-length: {all}.0")),
        ("an exponent", format!("content-length: {all}e0")),
        ("quotation marks", format!("content-length: \"{all}\"")),
        ("an underscore", "content-length: 5_3".into()),
        ("digits that are not ASCII", "content-length: \u{665}\u{663}".into()),
        ("2^64 and it", format!("content-length: {}", (1_u128 << 64) + all as u128)),
        ("a space before the colon", format!("content-length : {all}")),
        ("a folded value", format!("content-length:\r\n {all}")),
        ("a line that begins behind LF", format!("x-a: 1\ncontent-length: {all}")),
        ("a line that begins behind CR", format!("x-a: 1\rcontent-length: {all}")),
        ("a semicolon", format!("content-length: {all};")),
    ];
    let cases =
        table.into_iter().map(|(what, field)| Case::hiding("CL.CL", what, post(field, HIDDEN), REFUSED));
    cases.collect()
}

/// Heads and chunks that end where a reader takes LF for a line's end.
fn line_ends() -> Vec<Case> {
    let head = "GET /echo HTTP/1.1\r\nhost: shop.example";
    let ends = |what, sent: String| Case::hiding("bare LF and CR", what, sent, REFUSED);
    let chunk = |what, body: String| Case::hiding("bare LF and CR", what, chunks(body), REFUSED);
    vec![
        ends("a head that ends in LF LF", format!("{head}\n\n{HIDDEN}")),
        ends("a head that ends in CRLF LF", format!("{head}\r\n\n{HIDDEN}")),
        ends("a head that ends in LF CRLF", format!("{head}\n\r\n{HIDDEN}")),
        ends("a head that ends in CR CR", format!("{head}\r\r{HIDDEN}")),
        ends("a head that ends in CR CRLF CRLF", format!("{head}\r\r\n\r\n{HIDDEN}")),
        ends("LF behind the request line", format!("GET /echo HTTP/1.1\nhost: shop.example\r\n\r\n{HIDDEN}")),
        ends("an empty line of CR before the request", format!("\r{head}\r\n\r\n{HIDDEN}")),
        ends("an empty line of LF before the request", format!("\n{head}\r\n\r\n{HIDDEN}")),
        chunk("a size that ends in LF", format!("0\n\r\n{HIDDEN}")),
        chunk("a size that ends in CR", format!("0\r\r\n{HIDDEN}")),
        chunk("a size that ends in CR CR LF", format!("0\r\r\n\r\n{HIDDEN}")),
        chunk("an end of LF", format!("0\r\n\n{HIDDEN}")),
        chunk("data that ends in LF", format!("5\r\nhello\n0\r\n\r\n{HIDDEN}")),
        chunk("data that ends in CR", format!("5\r\nhello\r0\r\n\r\n{HIDDEN}")),
        chunk("data that ends in other two bytes", format!("5\r\nhelloXX0\r\n\r\n{HIDDEN}")),
        chunk("data that does not end", format!("5\r\nhello0\r\n\r\n{HIDDEN}")),
        chunk("an empty line before a size", format!("\r\n0\r\n\r\n{HIDDEN}")),
        chunk("LF in an extension", format!("5;\nhello\r\n0\r\n\r\n{HIDDEN}")),
        chunk("LF in the last chunk's extension", format!("0;\n\r\n{HIDDEN}")),
        chunk("CR in an extension", format!("0;a\rb\r\n\r\n{HIDDEN}")),
        chunk("CRLF in a quoted extension", format!("0;a=\"\r\n\r\n{HIDDEN}")),
        chunk("LF behind a trailer", format!("0\r\nx-a: 1\n\r\n{HIDDEN}")),
    ]
}

/// Sizes that one reader takes for the last chunk's, or for five bytes.
fn sizes() -> Vec<Case> {
    let size = |what, size: &str| {
        Case::hiding("chunk sizes", what, chunks(format!("{size}\r\n\r\n{HIDDEN}")), REFUSED)
    };
    vec![
        size("a space before", " 0"),
        size("a tab before", "\t0"),
        size("a space behind", "0 "),
        size("a tab behind", "0\t"),
        size("`0x`", "0x0"),
        size("a sign", "+0"),
        size("a minus sign", "-0"),
        size("an underscore", "0_0"),
        size("seventeen zeros", "00000000000000000"),
        size("2^64", "10000000000000000"),
        size("2^64 and five", "10000000000000005"),
        size("nothing", ""),
        size("nothing but an extension", ";a"),
        size("a comma", "0,0"),
        size("a fraction", "0.0"),
        size("NUL behind", "0\0"),
        size("NUL in an extension", "0;a\0"),
        size("a space before an extension", "0 ;a"),
        size("an extension without a name", "0;"),
        size("an extension of 300 bytes", &format!("0;{}", "a".repeat(300))),
        size("digits that are not ASCII", "\u{660}"),
    ]
}

/// Trailers that a reader could take for a head's.
fn trailers() -> Vec<Case> {
    let trailer = |what, trailer: &str| {
        Case::hiding("trailers", what, chunks(format!("0\r\n{trailer}\r\n\r\n{HIDDEN}")), REFUSED)
    };
    vec![
        trailer("a length", &format!("content-length: {}", HIDDEN.len())),
        trailer("a coding", "transfer-encoding: chunked"),
        trailer("a host", "host: other.example"),
        trailer("a request line", "GET /echo/behind HTTP/1.1"),
        trailer("a space before the colon", "x-a : 1"),
        trailer("a folded line", "x-a: 1\r\n folded"),
        trailer("NUL", "x-a: \0"),
        trailer("9,000 bytes", &format!("x-a: {}", "x".repeat(9000))),
    ]
}

/// Bodies where some expect none, and what changes the protocol.
fn others() -> Vec<Case> {
    let length = format!("connection: close\r\ncontent-length: {}", HIDDEN.len());
    let body = |begin: &str| message(begin, format!("host: shop.example\r\n{length}"), HIDDEN);
    let asked = |what, fields: &str| {
        Case::hiding("the connection", what, [get(fields), HIDDEN.into()].concat(), REFUSED)
    };
    vec![
        Case::hiding("a body", "GET", body("GET /echo HTTP/1.1"), &[200]),
        Case::hiding("a body", "HEAD", body("HEAD /echo HTTP/1.1"), &[200]),
        Case::hiding("a body", "OPTIONS", body("OPTIONS /echo HTTP/1.1"), &[200]),
        Case::hiding("a body", "`OPTIONS *`", body("OPTIONS * HTTP/1.1"), &[204]),
        Case::hiding("a body", "TRACE", body("TRACE /echo HTTP/1.1"), NO_CODING),
        Case::hiding("a body", "CONNECT", body("CONNECT shop.example:80 HTTP/1.1"), NO_CODING),
        Case::hiding("a body", "a method of one's own", body("FROB /echo HTTP/1.1"), &[200]),
        Case::hiding("a body", "HTTP/1.0", body("POST /echo HTTP/1.0"), &[200]),
        Case::hiding("a body", "of what is not there", body("POST /echo/%zz HTTP/1.1"), REFUSED),
        Case::hiding(
            "a body",
            "of an expectation that is refused",
            message("POST /echo HTTP/1.1", format!("host: shop.example\r\nexpect: x\r\n{length}"), HIDDEN),
            &[417],
        ),
        Case::hiding(
            "a body",
            "of another host than the target's",
            message(
                "POST http://shop.example/echo HTTP/1.1",
                format!("host: other.example\r\n{length}"),
                HIDDEN,
            ),
            &[200],
        ),
        Case::hiding(
            "a body",
            "an expectation and a body at once",
            post(format!("expect: 100-continue\r\n{length}"), HIDDEN),
            &[100, 200],
        ),
        asked("`Connection: content-length`", "connection: content-length\r\ncontent-length: 0"),
        asked("`Connection: transfer-encoding`", "connection: close, transfer-encoding"),
        asked("`Connection: host`", "connection: host"),
        asked("no list in `Connection`", "connection: close \"a\""),
        Case::hiding("the connection", "`close`", [get("connection: close"), HIDDEN.into()].concat(), &[200]),
        Case::hiding(
            "the connection",
            "HTTP/1.0",
            [message("GET /echo HTTP/1.0", "host: shop.example", ""), HIDDEN.into()].concat(),
            &[200],
        ),
        Case::hiding(
            "the version",
            "chunks in HTTP/1.0",
            message(
                "POST /echo HTTP/1.0\r\nhost: shop.example",
                "transfer-encoding: chunked\r\nconnection: keep-alive",
                behind_chunks(),
            ),
            REFUSED,
        ),
        Case::hiding("the version", "HTTP/0.9", format!("GET /echo\r\n\r\n{HIDDEN}"), REFUSED),
        Case::hiding("the version", "HTTP/2.0", [line("GET /echo HTTP/2.0"), HIDDEN.into()].concat(), &[505]),
        Case::hiding(
            "the version",
            "the preface of HTTP/2, with other words",
            format!("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n{HIDDEN}"),
            &[505],
        ),
        Case::hiding(
            "the request line",
            "a second request in its target",
            format!("GET /echo HTTP/1.1\r\nx: /echo HTTP/1.1\r\n\r\n{HIDDEN}"),
            REFUSED,
        ),
        Case::hiding(
            "the request line",
            "two versions",
            [line("GET /echo HTTP/1.1 HTTP/1.1"), HIDDEN.into()].concat(),
            REFUSED,
        ),
        Case::hiding(
            "the request line",
            "NUL in the target",
            [line("GET /echo\0 HTTP/1.1"), HIDDEN.into()].concat(),
            REFUSED,
        ),
        Case::hiding(
            "the request line",
            "CR in the target",
            [line("GET /echo\rx HTTP/1.1"), HIDDEN.into()].concat(),
            REFUSED,
        ),
        Case::hiding("the host", "two", [get("host: other.example"), HIDDEN.into()].concat(), REFUSED),
        Case::hiding(
            "the host",
            "a second one, folded",
            [get("x-a: 1\r\n host: other.example"), HIDDEN.into()].concat(),
            REFUSED,
        ),
        Case::hiding(
            "the host",
            "a second one behind LF",
            [get("x-a: 1\nhost: other.example"), HIDDEN.into()].concat(),
            REFUSED,
        ),
    ]
}
