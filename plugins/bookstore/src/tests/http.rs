//! What HTTP says of requests and answers, clause by clause.

use super::*;

fn put(path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let common = [("authorization", "Bearer editor-token"), JSON];
    call("PUT", path, &[&common, headers].concat(), body.as_bytes())
}

#[test]
fn conditions_come_after_the_fields_and_before_the_content() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let alice = ("authorization", "Bearer editor-token");
    for method in ["PUT", "PATCH"] {
        for condition in [("if-match", "\"old\""), ("if-none-match", "*")] {
            for body in ["{\"isbn\":", "{\"a\":1,\"a\":2}", "[]", "{\"isbn\":1}"] {
                let answer = call(method, &path, &[alice, JSON, condition], body.as_bytes());
                assert_problem(&answer, 412, "precondition");
            }
            let text = call(method, &path, &[alice, ("content-type", "text/plain"), condition], b"{}");
            assert_problem(&text, 415, "media-type");
            assert_problem(&call(method, &path, &[alice, JSON, condition], b""), 400, "bad-request");
            let nobody = call(method, &path, &[JSON, condition], b"{}");
            assert_problem(&nobody, 401, "unauthorized");
            // Without the condition, there would be nothing to change.
            let missing = call(method, "/api/books/9999999999", &[alice, JSON, condition], b"{\"isbn\":");
            assert_problem(&missing, 404, "not-found");
        }
    }
    assert_eq!(document(&get(&path))["author"], "Ada Moor");
}

#[test]
fn a_part_is_never_taken_for_the_whole() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let part = put(&path, &[("content-range", "bytes 0-99/200")], &book(WINTER, "B").to_string());
    assert_problem(&part, 400, "bad-request");
    assert_eq!(document(&get(&path))["isbn"], TIDES);
}

#[test]
fn a_put_has_validators_only_if_its_bytes_were_kept() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let mut kept = document(&get(&path));
    kept["title"] = "Neap".into();
    let kept = kept.to_string();
    let spaced = kept.replace("\"Neap\"", " \" Neap \"");
    let without_id = book(TIDES, "Ada Moor").to_string();
    let hyphens = kept.replace(TIDES, "978-0-306-40615-7");
    let as_float = kept.replace("1250", "1250.0");
    for (body, is_kept) in
        [(&kept, true), (&spaced, false), (&without_id, false), (&hyphens, false), (&as_float, false)]
    {
        let answer = put(&path, &[], body);
        assert_eq!(answer.head.status, 200, "{body}");
        assert_eq!(header(&answer, "content-location"), Some(path.clone()));
        let read = get(&path);
        assert_eq!(answer.body, read.body, "{body}");
        for name in ["etag", "last-modified"] {
            let expected = if is_kept { header(&read, name) } else { None };
            assert_eq!(header(&answer, name), expected, "{name} of {body}");
        }
    }
}

#[test]
fn coded_content_is_refused_for_its_coding_and_never_for_what_is_in_it() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let alice = ("authorization", "Bearer editor-token");
    let plain = book(WINTER, "B").to_string();
    for (method, target) in
        [("POST", "/api/books"), ("PUT", &path), ("PATCH", &path), ("POST", "/api/books/import")]
    {
        for body in [&b"\x1f\x8b\x08\0\0"[..], plain.as_bytes()] {
            for coding in ["gzip", "br", "identity, gzip", "x-unknown"] {
                let answer = call(method, target, &[alice, JSON, ("content-encoding", coding)], body);
                assert_problem(&answer, 415, "content-coding");
                assert_eq!(header(&answer, "accept-encoding").unwrap(), "identity");
                assert_eq!((header(&answer, "accept"), header(&answer, "accept-patch")), (None, None));
            }
        }
    }
    let headers = [alice, JSON, ("content-encoding", "identity")];
    assert_eq!(call("POST", "/api/books", &headers, plain.as_bytes()).head.status, 201);
}

#[test]
fn a_name_that_is_there_twice_and_a_field_that_is_are_refused() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let alice = ("authorization", "Bearer editor-token");
    let twice = r#"{"price_cents": 1, "price_cents": 2}"#;
    for (method, target, body) in [
        ("POST", "/api/books", twice.to_owned()),
        ("PUT", &path, twice.to_owned()),
        ("PATCH", &path, twice.to_owned()),
        ("POST", "/api/books/import", format!("[{twice}]")),
    ] {
        let answer = call(method, target, &[alice, JSON], body.as_bytes());
        assert_problem(&answer, 400, "bad-request");
        assert!(document(&answer)["detail"].as_str().unwrap().contains("`price_cents` is there twice"));
        let types = [alice, JSON, ("content-type", "text/plain")];
        assert_problem(&call(method, target, &types, b"{}"), 400, "bad-request");
    }
    assert_eq!(document(&get(&path))["price_cents"], 1250);
}

#[test]
fn whatever_can_be_kept_can_be_asked_for_again() {
    open_shop();
    add(TIDES, "Ada Moor");
    let import = edit("POST", "/api/books/import", &[], &json!([7]));
    let status = header(&import, "location").unwrap();
    for target in ["/api/books", "/api/books?limit=1", FIRST, &status] {
        let viewer = ("authorization", "Bearer viewer-token");
        let read = call("GET", target, &[viewer], b"");
        let etag = header(&read, "etag").unwrap();
        let weak = format!("W/{etag}");
        for tags in [etag.as_str(), &weak, "\"a\", *", "*"] {
            let again = call("GET", target, &[viewer, ("if-none-match", tags)], b"");
            let expected = if tags == "\"a\", *" { 200 } else { 304 };
            assert_eq!(again.head.status, expected, "{target}: {tags}");
            // RFC 9110 §15.4.5: what a cache keeps by.
            for name in ["etag", "cache-control", "vary", "content-location", "last-modified"] {
                assert_eq!(header(&again, name), header(&read, name), "{target}: {name}");
            }
        }
        let other = call("GET", target, &[viewer, ("if-match", "\"old\"")], b"");
        assert_problem(&other, 412, "precondition");
    }
    let before = header(&get("/api/books"), "etag");
    add(WINTER, "Ben Ash");
    assert_ne!(header(&get("/api/books"), "etag"), before);
}

#[test]
fn what_a_book_can_be_patched_with_is_told() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let options = call("OPTIONS", &path, &[], b"");
    assert_eq!(header(&options, "accept-patch").unwrap(), "application/merge-patch+json, application/json");
    assert_eq!(header(&call("OPTIONS", "/api/books", &[], b""), "accept-patch"), None);
}
