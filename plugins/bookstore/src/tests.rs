//! The whole plugin, from request to answer, on a host in memory.
//!
//! What happens when calls meet is tried out in every place where it could: a rival call, or a failure
//! that lasts, before each single store operation of another call.

mod http;

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::Bookstore;
use crate::bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use crate::bindings::jackfield::plugin::types::RequestHead;
use crate::digest;
use crate::host;

const TIDES: &str = "9780306406157";
const WINTER: &str = "9780804429573";
const HARBOUR: &str = "9791090636071";
const JSON: (&str, &str) = ("content-type", "application/json");

fn open_shop() {
    let hash = |token: &str| digest::sha256_hex(token.as_bytes());
    host::reset(&[
        ("page-size", "3"),
        ("token.alice", &format!("editor:{}", hash("editor-token"))),
        ("token.victor", &format!("viewer:{}", hash("viewer-token"))),
    ]);
}

fn call(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    let head = RequestHead { method: method.to_owned(), path: path.to_owned(), query, headers };
    Bookstore::handle(Request { head, body: body.to_vec() }).expect("the configuration is right")
}

fn get(target: &str) -> Response {
    call("GET", target, &[], b"")
}

/// A call by somebody with the role `editor`, who sends JSON.
fn edit(method: &str, target: &str, headers: &[(&str, &str)], body: &Value) -> Response {
    let common = [("authorization", "Bearer editor-token"), JSON];
    call(method, target, &[&common, headers].concat(), body.to_string().as_bytes())
}

fn post(book: &Value) -> Response {
    edit("POST", "/api/books", &[], book)
}

fn book(isbn: &str, author: &str) -> Value {
    json!({"isbn": isbn, "title": "Some title", "author": author, "price_cents": 1250})
}

/// Adds a book and gives its path.
fn add(isbn: &str, author: &str) -> String {
    let added = post(&book(isbn, author));
    assert_eq!(added.head.status, 201, "{added:?}");
    header(&added, "location").unwrap()
}

/// The ISBN-13 number `n` of a made-up publisher.
fn isbn(n: u32) -> String {
    let body = format!("978030{n:06}");
    let sum: u32 =
        body.chars().zip([1, 3].into_iter().cycle()).map(|(c, w)| c.to_digit(10).unwrap() * w).sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

fn header(response: &Response, name: &str) -> Option<String> {
    let mut values = response.head.headers.iter().filter(|(field, _)| field == name);
    let value = values.next().map(|(_, value)| String::from_utf8(value.clone()).unwrap());
    assert!(values.next().is_none(), "`{name}` is there twice: {response:?}");
    value
}

fn document(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

/// Checks that `response` is a whole problem document.
fn assert_problem(response: &Response, status: u16, name: &str) {
    let document = document(response);
    assert_eq!(response.head.status, status, "{document}");
    assert_eq!(header(response, "content-type").unwrap(), "application/problem+json");
    assert_eq!(header(response, "cache-control").unwrap(), "no-store");
    assert_eq!(document["type"], format!("urn:bookstore:problem:{name}"));
    assert_eq!(document["status"], status);
    assert_eq!(document["request-id"], "request-1");
    assert!(document["title"].is_string() && document["detail"].is_string());
}

/// Every book of a listing, page after page.
fn all_books(target: &str) -> Vec<Value> {
    let (mut books, mut target) = (Vec::new(), target.to_owned());
    for _ in 0..200 {
        let page = get(&target);
        assert_eq!(page.head.status, 200, "{target}");
        books.extend(document(&page)["books"].as_array().unwrap().iter().cloned());
        let link = header(&page, "link");
        assert_eq!(link.is_some(), document(&page)["next"].is_string());
        match link {
            None => return books,
            Some(link) => target = link.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned(),
        }
    }
    panic!("the listing does not end");
}

/// What must be true of the catalogue at every moment.
fn assert_consistent() {
    let books = all_books("/api/books");
    for one in &books {
        let alike = books.iter().filter(|other| other["isbn"] == one["isbn"]).count();
        assert_eq!(alike, 1, "an ISBN is there twice: {books:?}");
        let by_author =
            all_books(&format!("/api/books?author={}", one["author"].as_str().unwrap().replace(' ', "+")));
        assert!(by_author.contains(one), "missing from its author's list: {one}");
        let again = post(&book(one["isbn"].as_str().unwrap(), "Somebody Else"));
        assert_problem(&again, 409, "isbn-taken");
    }
}

#[test]
fn a_book_is_added_read_changed_and_deleted() {
    open_shop();
    let added =
        post(&json!({"isbn": "0-306-40615-2", "title": "Tides", "author": "Ada Moor", "price_cents": 1}));
    assert_eq!(added.head.status, 201);
    let path = header(&added, "location").unwrap();
    let id = path.strip_prefix("/api/books/").unwrap();
    let expected = json!({"id": id, "isbn": TIDES, "title": "Tides", "author": "Ada Moor", "price_cents": 1});
    assert_eq!(document(&added), expected);

    let read = get(&path);
    assert_eq!((read.head.status, document(&read)), (200, expected));
    for name in ["etag", "last-modified", "cache-control", "content-type"] {
        assert_eq!(header(&read, name), header(&added, name), "{name}");
        assert!(header(&read, name).is_some(), "{name}");
    }

    let patched = edit("PATCH", &path, &[], &json!({"year": 1999, "price_cents": 2}));
    assert_eq!((patched.head.status, &document(&patched)["year"]), (200, &json!(1999)));
    assert_ne!(header(&patched, "etag"), header(&added, "etag"));
    assert_eq!(get(&path).body, patched.body);

    let replaced = edit("PUT", &path, &[], &book(WINTER, "Ada Moor"));
    assert_eq!((replaced.head.status, document(&replaced).get("year")), (200, None));
    assert_eq!(get(&path).body, replaced.body);
    assert_consistent();

    let deleted = edit("DELETE", &path, &[], &Value::Null);
    assert_eq!((deleted.head.status, deleted.body.len()), (204, 0));
    for (method, body) in
        [("GET", Value::Null), ("DELETE", Value::Null), ("PUT", book(TIDES, "A")), ("PATCH", json!({}))]
    {
        assert_problem(&edit(method, &path, &[], &body), 404, "not-found");
    }
    add(WINTER, "Ada Moor");
    add(TIDES, "Ada Moor");
    assert_consistent();
}

#[test]
fn a_body_that_cannot_be_taken_gets_the_status_that_says_why() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let alice = ("authorization", "Bearer editor-token");
    let good = book(WINTER, "B").to_string();
    for (method, target) in
        [("POST", "/api/books"), ("PUT", &path), ("PATCH", &path), ("POST", "/api/books/import")]
    {
        for (content_type, body, status, name) in [
            (Some("application/json"), "", 400, "bad-request"),
            (None, "", 400, "bad-request"),
            (None, good.as_str(), 400, "bad-request"),
            (Some("application/json"), "{\"isbn\":", 400, "bad-request"),
            (Some("application/json"), "{} {}", 400, "bad-request"),
            (Some("text/plain"), &good, 415, "media-type"),
            (Some("application/jsonx"), &good, 415, "media-type"),
            (Some(""), &good, 415, "media-type"),
            (Some("APPLICATION/JSON ; charset=utf-8"), "7", 422, "invalid"),
            (Some("application/json"), r#"{"isbn":1,"prize":2}"#, 422, "invalid"),
        ] {
            let content_type = content_type.map(|value| ("content-type", value));
            let headers: Vec<_> = [Some(alice), content_type].into_iter().flatten().collect();
            let answer = call(method, target, &headers, body.as_bytes());
            assert_problem(&answer, status, name);
            assert_eq!(header(&answer, "accept").is_some(), status == 415 && method != "PATCH");
            assert_eq!(header(&answer, "accept-patch").is_some(), status == 415 && method == "PATCH");
        }
    }
    assert_eq!(all_books("/api/books").len(), 1);

    let wrong =
        document(&post(&json!({"isbn": 1, "prize": 2, "title": "", "author": "A", "price_cents": 3})));
    let fields: Vec<_> =
        wrong["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, ["prize", "isbn", "title"]);
}

#[test]
fn a_patch_may_be_sent_under_either_name_and_null_removes() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    edit("PATCH", &path, &[], &json!({"year": 1999}));
    let headers =
        [("authorization", "Bearer editor-token"), ("content-type", "application/merge-patch+json")];
    let patched = call("PATCH", &path, &headers, br#"{"year":null}"#);
    assert_eq!((patched.head.status, document(&patched).get("year")), (200, None));
    assert_problem(&edit("PATCH", &path, &[], &json!({"title": null})), 422, "invalid");
    assert_problem(&edit("PATCH", &path, &[], &json!({"id": "0000000099"})), 422, "invalid");
    let put = call("PUT", &path, &headers, book(TIDES, "A").to_string().as_bytes());
    assert_problem(&put, 415, "media-type");
}

#[test]
fn reading_is_open_and_writing_needs_an_editor() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let status =
        header(&edit("POST", "/api/books/import", &[], &json!([book(TIDES, "A")])), "location").unwrap();
    assert_eq!(get(&path).head.status, 200);
    for (method, target) in [
        ("POST", "/api/books"),
        ("POST", "/api/books/import"),
        ("PUT", &path),
        ("PATCH", &path),
        ("DELETE", &path),
        ("PATCH", "/api/books/9999999999"),
        ("GET", &status),
    ] {
        let body = book(WINTER, "B").to_string();
        let anonymous = call(method, target, &[JSON], body.as_bytes());
        assert_problem(&anonymous, 401, "unauthorized");
        assert_eq!(header(&anonymous, "www-authenticate").unwrap(), r#"Bearer realm="bookstore""#);

        let unknown = call(method, target, &[JSON, ("authorization", "Bearer nobody")], body.as_bytes());
        assert_problem(&unknown, 401, "unauthorized");
        assert!(header(&unknown, "www-authenticate").unwrap().starts_with(r#"Bearer realm="bookstore""#));

        let viewer = call(method, target, &[JSON, ("authorization", "Bearer viewer-token")], body.as_bytes());
        match method {
            "GET" => assert_eq!(viewer.head.status, 200),
            _ => assert_problem(&viewer, 403, "forbidden"),
        }
    }
    assert_eq!(all_books("/api/books").len(), 1);
}

#[test]
fn a_method_that_a_path_does_not_take_gets_405_and_a_strange_path_404() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    for (method, target, allow) in [
        ("DELETE", "/api/books", "GET, HEAD, POST, OPTIONS"),
        ("POST", path.as_str(), "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("GET", "/api/books/import", "POST, OPTIONS"),
        ("BREW", "/api/books/import/0000000001", "GET, HEAD, OPTIONS"),
        ("get", "/api/books", "GET, HEAD, POST, OPTIONS"),
    ] {
        let answer = call(method, target, &[], b"");
        assert_problem(&answer, 405, "method");
        assert_eq!(header(&answer, "allow").unwrap(), allow);
        let options = call("OPTIONS", target, &[], b"");
        assert_eq!((options.head.status, header(&options, "allow").unwrap().as_str()), (204, allow));
    }
    for target in ["/api/books/", "/api/books/1", "/api/books/9999999999", "/api/books/0000000001/x", "/"] {
        assert_problem(&get(target), 404, "not-found");
    }
}

#[test]
fn a_reader_is_told_when_nothing_has_changed() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let read = get(&path);
    let (etag, modified) = (header(&read, "etag").unwrap(), header(&read, "last-modified").unwrap());
    for condition in
        [("if-none-match", etag.as_str()), ("if-none-match", "*"), ("if-modified-since", &modified)]
    {
        let answer = call("GET", &path, &[condition], b"");
        assert_eq!((answer.head.status, answer.body.len()), (304, 0), "{condition:?}");
        assert_eq!(header(&answer, "etag"), Some(etag.clone()));
        assert_eq!(header(&answer, "cache-control"), header(&read, "cache-control"));
        assert_eq!(header(&answer, "content-type"), None);
    }
    let stale = [("if-none-match", "\"other\""), ("if-modified-since", &modified)];
    assert_eq!(call("GET", &path, &stale, b"").head.status, 200);
}

#[test]
fn a_writer_who_saw_an_older_book_changes_nothing() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    let seen = header(&get(&path), "etag").unwrap();
    edit("PATCH", &path, &[("if-match", &seen)], &json!({"price_cents": 2}));
    let now = get(&path);
    for (method, body) in [("PUT", book(WINTER, "B")), ("PATCH", json!({"year": 1})), ("DELETE", Value::Null)]
    {
        assert_problem(&edit(method, &path, &[("if-match", &seen)], &body), 412, "precondition");
    }
    assert_eq!(get(&path).body, now.body);
    let etag = header(&now, "etag").unwrap();
    assert_eq!(edit("DELETE", &path, &[("if-match", &etag)], &Value::Null).head.status, 204);
}

#[test]
fn the_catalogue_comes_in_pages_that_lead_from_one_to_the_next() {
    open_shop();
    for n in 0..25 {
        add(&isbn(n), if n % 5 == 0 { "Ada Moor" } else { "Ben Ash" });
    }
    for (target, expected) in [
        ("/api/books", 25),
        ("/api/books?limit=1", 25),
        ("/api/books?limit=25", 25),
        ("/api/books?limit=100", 25),
        ("/api/books?author=ada++MOOR", 5),
        ("/api/books?author=Ada+Moor&limit=5", 5),
        ("/api/books?author=Ben%20Ash&limit=2", 20),
        ("/api/books?author=nobody", 0),
    ] {
        let books = all_books(target);
        assert_eq!(books.len(), expected, "{target}");
        assert!(books.is_sorted_by_key(|book| book["id"].as_str().unwrap().to_owned()));
    }
    let first = document(&get("/api/books"));
    assert_eq!(first["books"].as_array().unwrap().len(), 3, "the page size of the configuration");
    let second = document(&get(&format!("/api/books?after={}", first["next"].as_str().unwrap())));
    assert_eq!(second["books"][0]["isbn"], isbn(3));
    for query in ["limit=0", "limit=101", "after=x", "author=", "author=%ff"] {
        assert_problem(&get(&format!("/api/books?{query}")), 400, "bad-request");
    }
}

#[test]
fn a_book_follows_its_author_to_another_list() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    edit("PATCH", &path, &[], &json!({"author": "Ben Ash"}));
    assert_eq!(all_books("/api/books?author=Ada+Moor").len(), 0);
    assert_eq!(all_books("/api/books?author=Ben+Ash").len(), 1);
    edit("PATCH", &path, &[], &json!({"author": "ADA MOOR"}));
    assert_eq!(all_books("/api/books?author=Ada+Moor").len(), 1);
}

#[test]
fn an_isbn_belongs_to_one_book_at_a_time() {
    open_shop();
    let (tides, winter) = (add(TIDES, "A"), add(WINTER, "B"));
    assert_problem(&post(&book(TIDES, "C")), 409, "isbn-taken");
    assert_problem(&edit("PUT", &winter, &[], &book(TIDES, "B")), 409, "isbn-taken");
    assert_problem(&edit("PATCH", &winter, &[], &json!({"isbn": TIDES})), 409, "isbn-taken");
    // Given up, it is free; and may come back.
    assert_eq!(edit("PATCH", &tides, &[], &json!({"isbn": HARBOUR})).head.status, 200);
    assert_eq!(edit("PATCH", &winter, &[], &json!({"isbn": TIDES})).head.status, 200);
    assert_eq!(edit("DELETE", &winter, &[], &Value::Null).head.status, 204);
    assert_eq!(edit("PATCH", &tides, &[], &json!({"isbn": TIDES})).head.status, 200);
    add(HARBOUR, "C");
    add(WINTER, "C");
    assert_consistent();
}

#[test]
fn an_import_takes_what_is_right_and_lists_what_is_not() {
    open_shop();
    add(TIDES, "A");
    let entries =
        json!([book(WINTER, "A"), book(TIDES, "A"), {"isbn": 1}, book(WINTER, "A"), book(HARBOUR, "B")]);
    let import = edit("POST", "/api/books/import", &[], &entries);
    assert_eq!(import.head.status, 202);
    let status_path = header(&import, "location").unwrap();
    let status = edit("GET", &status_path, &[], &Value::Null);
    assert_eq!((status.head.status, header(&status, "vary").unwrap().as_str()), (200, "authorization"));
    let status = document(&status);
    assert_eq!((&status["accepted"], &status["created"]), (&json!(5), &json!(2)));
    let failed: Vec<_> =
        status["failed"].as_array().unwrap().iter().map(|entry| entry["index"].clone()).collect();
    assert_eq!(failed, [1, 2, 3]);
    assert_eq!(status["failed"][0]["reason"], "isbn: another book has it");
    assert_eq!(all_books("/api/books").len(), 3);
    assert_eq!(all_books("/api/books?author=A").len(), 2);

    for entries in [json!([]), json!({}), (0..101).map(|n| book(&isbn(n), "A")).collect()] {
        assert_problem(&edit("POST", "/api/books/import", &[], &entries), 422, "invalid");
    }
    let only_wrong = edit("POST", "/api/books/import", &[], &json!([7]));
    assert_eq!((only_wrong.head.status, &document(&only_wrong)["created"]), (202, &json!(0)));
    assert_problem(&edit("GET", "/api/books/import/0000000001", &[], &Value::Null), 404, "not-found");
    assert_consistent();
}

#[test]
fn when_the_store_is_away_callers_get_503_and_learn_nothing_else() {
    open_shop();
    let path = add(TIDES, "A");
    let status = header(&edit("POST", "/api/books/import", &[], &json!([7])), "location").unwrap();
    host::fail_after(0);
    for (method, target, body) in [
        ("GET", "/api/books", Value::Null),
        ("GET", &path, Value::Null),
        ("GET", &status, Value::Null),
        ("POST", "/api/books", book(WINTER, "B")),
        ("PUT", &path, book(WINTER, "B")),
        ("PATCH", &path, json!({})),
        ("DELETE", &path, Value::Null),
        ("POST", "/api/books/import", json!([book(WINTER, "B")])),
    ] {
        let answer = edit(method, target, &[], &body);
        assert_problem(&answer, 503, "unavailable");
        assert_eq!(header(&answer, "retry-after").unwrap(), "5");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
        assert!(host::log_lines().last().unwrap().contains("/var/secret/disk is full"));
    }
    host::recover();
    assert_eq!(get(&path).head.status, 200);
}

#[test]
fn a_damaged_record_is_a_failure_of_the_store_and_no_panic() {
    open_shop();
    let path = add(TIDES, "A");
    host::put(&path.replace("/api/books", "book"), b"{");
    for answer in
        [get(&path), get("/api/books"), edit("DELETE", &path, &[], &Value::Null), post(&book(TIDES, "B"))]
    {
        assert_problem(&answer, 503, "unavailable");
    }
}

#[test]
fn a_wrong_configuration_is_an_error_of_the_plugin() {
    for (key, value) in [("page-size", "many"), ("token.alice", "editor-token")] {
        host::reset(&[(key, value)]);
        let headers = vec![("authorization".to_owned(), b"Bearer editor-token".to_vec())];
        let method = if key == "page-size" { "GET" } else { "POST" };
        let head = RequestHead { method: method.into(), path: "/api/books".into(), query: None, headers };
        let error = Bookstore::handle(Request { head, body: Vec::new() }).unwrap_err();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    }
}

/// One call that changes something, by its name in a failure message.
type Write = (&'static str, fn() -> Response);

/// The book that was there before, number 1, has the ISBN of Tides and the author Ada Moor.
const FIRST: &str = "/api/books/0000000001";

const WRITES: &[Write] = &[
    ("add Winter", || post(&book(WINTER, "Cy Dell"))),
    ("add Tides", || post(&book(TIDES, "Cy Dell"))),
    ("make it Winter", || edit("PATCH", FIRST, &[], &json!({"isbn": WINTER}))),
    ("make it Winter, by Ben", || edit("PUT", FIRST, &[], &book(WINTER, "Ben Ash"))),
    ("make it Tides, by Ada", || edit("PUT", FIRST, &[], &book(TIDES, "Ada Moor"))),
    ("give it to Ben", || edit("PATCH", FIRST, &[], &json!({"author": "Ben Ash"}))),
    ("raise its price", || edit("PATCH", FIRST, &[], &json!({"price_cents": 9}))),
    ("delete it", || edit("DELETE", FIRST, &[], &Value::Null)),
    ("import both", || {
        edit("POST", "/api/books/import", &[], &json!([book(WINTER, "Cy Dell"), book(TIDES, "Cy Dell")]))
    }),
];

/// More than any write has operations; the loops below end when one has no such operation.
const OPERATIONS: usize = 200;

#[test]
fn whatever_two_callers_do_at_once_the_catalogue_stays_consistent() {
    for (first, write) in WRITES {
        for (second, rival) in WRITES {
            for operation in 1..OPERATIONS {
                open_shop();
                add(TIDES, "Ada Moor");
                host::interrupt_before(operation, || assert!(rival().head.status < 500));
                let answer = write();
                if host::is_interruption_left() {
                    break;
                }
                assert!(operation < OPERATIONS - 1);
                assert!(
                    answer.head.status < 500,
                    "{first}, and {second} before operation {operation}: {answer:?}"
                );
                assert_consistent();
            }
        }
    }
}

#[test]
fn whatever_three_callers_do_at_once_the_catalogue_stays_consistent() {
    for (_, write) in WRITES {
        for (_, rival) in &WRITES[..4] {
            for (_, third) in &WRITES[..4] {
                // The third comes so many operations after the rival has begun: during its call or after it.
                'operations: for operation in 1..OPERATIONS {
                    for later in 1..OPERATIONS {
                        open_shop();
                        add(TIDES, "Ada Moor");
                        let has_begun = Rc::new(Cell::new(false));
                        let begins = has_begun.clone();
                        host::interrupt_before(operation, move || {
                            begins.set(true);
                            host::interrupt_before(later, || drop(third()));
                            rival();
                        });
                        write();
                        let is_left = host::is_interruption_left();
                        if !has_begun.get() {
                            break 'operations;
                        }
                        if is_left {
                            break;
                        }
                        assert_consistent();
                    }
                }
            }
        }
    }
}

#[test]
fn a_call_that_dies_at_any_point_leaves_the_catalogue_consistent() {
    for (first, write) in WRITES {
        for operations in 0..OPERATIONS {
            open_shop();
            add(TIDES, "Ada Moor");
            host::fail_after(operations);
            let answer = write();
            host::recover();
            assert_consistent();
            // What it had claimed is not lost for good: the ISBN is either in use or can be used.
            for isbn in [WINTER, TIDES] {
                let in_use = all_books("/api/books").iter().any(|book| book["isbn"] == isbn);
                let expected = if in_use { 409 } else { 201 };
                assert_eq!(
                    post(&book(isbn, "Di Elm")).head.status,
                    expected,
                    "{first} died after {operations}"
                );
            }
            assert_consistent();
            if answer.head.status < 500 {
                break;
            }
        }
    }
}

#[test]
fn of_many_who_add_one_isbn_at_once_exactly_one_succeeds() {
    /// Posts, and lets the next of `left` post before operation `operation` of this one.
    fn race(left: usize, operation: usize) -> u16 {
        let created = Rc::new(Cell::new(0));
        if left > 0 {
            let created = created.clone();
            host::interrupt_before(operation, move || created.set(race(left - 1, operation)));
        }
        let status = post(&book(TIDES, "A")).head.status;
        assert!(status == 201 || status == 409, "{status}");
        created.get() + u16::from(status == 201)
    }
    for operation in 1..=8 {
        open_shop();
        assert_eq!(race(20, operation), 1, "before operation {operation}");
        assert_consistent();
    }
}

#[test]
fn a_change_is_never_lost_between_two_callers() {
    for operation in 1..OPERATIONS {
        open_shop();
        let path = add(TIDES, "Ada Moor");
        let etag = header(&get(&path), "etag").unwrap();
        host::interrupt_before(operation, || drop(edit("PATCH", FIRST, &[], &json!({"year": 1999}))));
        let patched = edit("PATCH", &path, &[("if-match", &etag)], &json!({"price_cents": 7}));
        if host::is_interruption_left() {
            return;
        }
        let now = document(&get(&path));
        assert_eq!(now["year"], 1999, "the rival was told that it is done");
        match patched.head.status {
            200 => assert_eq!(now["price_cents"], 7),
            status => assert_eq!((status, &now["price_cents"]), (412, &json!(1250))),
        }
    }
}

#[test]
fn deleting_leaves_no_keys_but_the_claim() {
    open_shop();
    let path = add(TIDES, "Ada Moor");
    edit("DELETE", &path, &[], &Value::Null);
    let keys: Vec<_> = host::values().into_keys().collect();
    assert_eq!(keys, [format!("isbn/{TIDES}"), "last-id".to_owned()]);
}
