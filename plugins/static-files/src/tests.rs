//! The whole plugin on files in memory, but for the plug: what callers are answered, clause by clause of RFC 9110.

use crate::answer::{Answer, Body, Piece};
use crate::bindings::wasi::filesystem::types::ErrorCode;
use crate::config::Config;
use crate::date::{self, Timestamp};
use crate::memory_files::{Content, NOW, WRITTEN, opened, put};
use crate::mount::Mounts;
use crate::request::{Method, Request};
use crate::serve::Server;

const PAGE: &str = "<h1>Tides</h1>";

/// A folder as sites have it.
fn site() {
    for (path, text) in [
        ("index.html", PAGE),
        ("app.js", "alert('neap')"),
        ("app.js.br", "BR"),
        ("app.js.gz", "GZ"),
        ("video.mp4", "0123456789"),
        ("video.mp4.gz", "never"),
        ("empty.txt", ""),
        ("docs/index.html", "docs"),
        ("bare/a.txt", "a"),
        ("a b/é.txt", "names"),
        ("noext", "?"),
        (".env", "secret"),
        (".git/config", "secret"),
        (".well-known/security.txt", "call us"),
    ] {
        put("/", path, Content::text(text));
    }
}

struct Site {
    config: Vec<(String, String)>,
}

impl Site {
    fn new(config: &[(&str, &str)]) -> Self {
        Self { config: config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect() }
    }

    fn try_ask(
        &self,
        method: Method,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Result<Reply, crate::fault::Fault> {
        let config = Config::read(&self.config).expect("the configuration is right");
        let mounts = Mounts::all().expect("there are folders");
        let fields =
            fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        let server = Server { config: &config, mounts: &mounts, now: NOW };
        Ok(Reply::of(server.answer(&Request::new(method, target, fields))?))
    }

    fn ask(&self, method: Method, target: &str, fields: &[(&str, &str)]) -> Reply {
        self.try_ask(method, target, fields).expect("the files are well")
    }

    fn get(&self, target: &str) -> Reply {
        self.ask(Method::Get, target, &[])
    }
}

#[derive(Debug, PartialEq)]
struct Reply {
    status: u16,
    fields: Vec<(&'static str, String)>,
    text: String,
}

impl Reply {
    fn of(answer: Answer) -> Self {
        let text = match answer.body {
            Body::Text(text) => text.to_owned(),
            Body::File { file, pieces } => {
                let text = |piece: Piece| match piece {
                    Piece::Text(text) => text,
                    Piece::Bytes { offset, length } => {
                        String::from_utf8_lossy(file.bytes(offset, length)).into_owned()
                    }
                };
                pieces.into_iter().map(text).collect()
            }
        };
        Self { status: answer.status, fields: answer.fields, text }
    }

    /// The one value of a field.
    #[track_caller]
    fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(own, _)| *own == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice: {self:?}");
        value
    }

    #[track_caller]
    fn etag(&self) -> &str {
        self.field("etag").expect("a tag")
    }
}

#[test]
fn a_file_is_sent_with_what_it_is() {
    site();
    let answer = Site::new(&[]).get("/app.js");
    assert_eq!((answer.status, answer.text.as_str()), (200, "alert('neap')"));
    let modified = date::format(WRITTEN.seconds);
    for (clause, name, value) in [
        ("8.3", "content-type", Some("text/javascript; charset=utf-8")),
        ("8.6", "content-length", Some("13")),
        ("8.8.2", "last-modified", Some(modified.as_str())),
        ("14.3", "accept-ranges", Some("bytes")),
        ("12.5.5", "vary", Some("accept-encoding")),
        ("8.4", "content-encoding", None),
        ("none unless it is said", "cache-control", None),
        ("fetch standard", "x-content-type-options", Some("nosniff")),
    ] {
        assert_eq!(answer.field(name), value, "§{clause}: {name}");
    }
    let etag = answer.etag();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() == 34, "§8.8.3: {etag}");
    let empty = Site::new(&[]).get("/empty.txt");
    assert_eq!((empty.status, empty.field("content-length"), empty.text.as_str()), (200, Some("0"), ""));
}

#[test]
fn a_path_leads_to_a_file_a_folder_or_nothing() {
    site();
    let plain = "There is nothing here.\n";
    for (path, status, text) in [
        ("/", 200, PAGE),
        ("", 200, PAGE),
        ("/?q=1", 200, PAGE),
        ("/index.html", 200, PAGE),
        ("/docs/", 200, "docs"),
        ("/docs/index.html", 200, "docs"),
        ("/a%20b/%C3%A9.txt", 200, "names"),
        ("/%61pp.js", 200, "alert('neap')"),
        ("/.well-known/security.txt", 200, "call us"),
        ("/bare/", 404, plain),
        ("/app.js/", 404, plain),
        ("/docs/index.html/", 404, plain),
        ("/App.js", 404, plain),
        ("/nothing", 404, plain),
        ("//", 404, plain),
        ("//docs", 404, plain),
        ("/docs//index.html", 404, plain),
        ("/.env", 404, plain),
        ("/%2eenv", 404, plain),
        ("/.git/config", 404, plain),
        ("/docs/../app.js", 404, plain),
        ("/docs/%2e%2e/app.js", 404, plain),
        ("/docs%2findex.html", 404, plain),
        ("/app.js%00", 404, plain),
        ("/%ff", 404, plain),
    ] {
        for method in [Method::Get, Method::Head] {
            let answer = Site::new(&[]).ask(method, path, &[]);
            let sent = if method == Method::Get { text } else { "" };
            assert_eq!((answer.status, answer.text.as_str()), (status, sent), "{method:?} {path}");
            let length = text.len().to_string();
            assert_eq!(answer.field("content-length"), Some(length.as_str()), "§9.3.2: {path}");
        }
    }
}

#[test]
fn a_folder_without_its_slash_is_sent_to_it() {
    site();
    put("/", "\\evil.example/index.html", Content::text("x"));
    for (path, location) in [
        ("/docs", "/docs/"),
        ("/docs?a=/b&c", "/docs/?a=/b&c"),
        ("/docs?", "/docs/?"),
        ("/bare", "/bare/"),
        ("/a%20b", "/a%20b/"),
        ("/\\evil.example", "/%5Cevil.example/"),
    ] {
        let answer = Site::new(&[]).get(path);
        assert_eq!((answer.status, answer.field("location")), (308, Some(location)), "{path}");
    }
    let site = Site::new(&[("prefix", "/site")]);
    for (path, status, location) in [
        ("/site", 308, Some("/site/")),
        ("/site/docs", 308, Some("/site/docs/")),
        ("/site/", 200, None),
        ("/", 404, None),
    ] {
        let answer = site.get(path);
        assert_eq!((answer.status, answer.field("location")), (status, location), "{path}");
    }
}

#[test]
fn methods_that_change_are_not_allowed() {
    site();
    let options = Site::new(&[]).ask(Method::Options, "/app.js", &[]);
    assert_eq!((options.status, options.field("allow")), (204, Some("GET, HEAD, OPTIONS")), "§9.3.7");
    let other = Site::new(&[]).ask(Method::Other, "/app.js", &[]);
    assert_eq!((other.status, other.field("allow")), (405, Some("GET, HEAD, OPTIONS")), "§15.5.6");
}

#[test]
fn a_caller_who_has_the_file_is_told_so_and_no_more() {
    site();
    let site = Site::new(&[("cache-control", "* no-cache")]);
    let etag = site.get("/app.js").etag().to_owned();
    for method in [Method::Get, Method::Head] {
        let answer = site.ask(method, "/app.js", &[("if-none-match", &etag), ("range", "bytes=0-0")]);
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "§13.2.2");
        let names: Vec<_> = answer.fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["etag", "cache-control", "vary"], "§15.4.5");
    }
    let failed = site.ask(Method::Get, "/app.js", &[("if-match", "\"old\"")]);
    assert_eq!((failed.status, failed.field("etag")), (412, None), "§15.5.13");
    let missing = site.ask(Method::Get, "/nothing", &[("if-none-match", "*"), ("if-match", "*")]);
    assert_eq!(missing.status, 404, "§13.2.1: conditions are about what would be sent");
}

#[test]
fn a_file_that_changed_has_another_tag() {
    site();
    let before = Site::new(&[]).get("/app.js");
    put(
        "/",
        "app.js",
        Content::text_of("alert('n')", Timestamp { seconds: NOW.seconds - 5, nanoseconds: 0 }),
    );
    let after = Site::new(&[]).ask(Method::Get, "/app.js", &[("if-none-match", before.etag())]);
    assert_eq!((after.status, after.text.as_str()), (200, "alert('n')"));
    assert_ne!(after.etag(), before.etag());
}

#[test]
fn a_part_is_sent_where_one_is_asked_for() {
    site();
    let whole = Site::new(&[]).get("/video.mp4");
    for (clause, fields, status, text, place) in [
        ("14.2", &[("range", "bytes=2-4")][..], 206, "234", Some("bytes 2-4/10")),
        ("14.1.2", &[("range", "bytes=-3")], 206, "789", Some("bytes 7-9/10")),
        ("14.1.2", &[("range", "bytes=8-")], 206, "89", Some("bytes 8-9/10")),
        ("14.2", &[("range", "lines=1-2")], 200, "0123456789", None),
        ("15.5.17", &[("range", "bytes=10-")], 416, "These bytes are not there.\n", Some("bytes */10")),
        ("13.1.5", &[("range", "bytes=0-0"), ("if-range", whole.etag())], 206, "0", Some("bytes 0-0/10")),
        ("13.1.5", &[("range", "bytes=0-0"), ("if-range", "\"old\"")], 200, "0123456789", None),
        ("13.1.5", &[("range", "bytes=99-"), ("if-range", "\"old\"")], 200, "0123456789", None),
        ("13.1.5", &[("if-range", whole.etag())], 200, "0123456789", None),
    ] {
        let answer = Site::new(&[]).ask(Method::Get, "/video.mp4", fields);
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "§{clause}: {fields:?}");
        assert_eq!(answer.field("content-range"), place, "§{clause}: {fields:?}");
        assert_eq!(
            answer.field("content-length"),
            Some(text.len().to_string().as_str()),
            "§{clause}: {fields:?}"
        );
        if status == 206 {
            for name in ["etag", "last-modified", "content-type"] {
                assert_eq!(answer.field(name), whole.field(name), "§15.3.7: {name}");
            }
        }
    }
    let head = Site::new(&[]).ask(Method::Head, "/video.mp4", &[("range", "bytes=0-0")]);
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")), "§14.2: only GET has ranges");
    let empty = Site::new(&[]).ask(Method::Get, "/empty.txt", &[("range", "bytes=0-")]);
    assert_eq!((empty.status, empty.text.as_str()), (200, ""));
}

#[test]
fn several_parts_are_sent_in_one_body() {
    site();
    let answer = Site::new(&[]).ask(Method::Get, "/video.mp4", &[("range", "bytes=7-8,0-1")]);
    let boundary = answer.etag().trim_matches('"').to_owned();
    let expected = format!(
        "--{boundary}\r\ncontent-type: video/mp4\r\ncontent-range: bytes 7-8/10\r\n\r\n78\r\n\
         --{boundary}\r\ncontent-type: video/mp4\r\ncontent-range: bytes 0-1/10\r\n\r\n01\r\n\
         --{boundary}--\r\n"
    );
    assert_eq!((answer.status, answer.text.as_str()), (206, expected.as_str()), "§14.6");
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    assert_eq!(answer.field("content-type"), Some(content_type.as_str()));
    assert_eq!(answer.field("content-range"), None, "§15.3.7.2");
    assert_eq!(answer.field("content-length"), Some(expected.len().to_string().as_str()));
    let overlapping = Site::new(&[]).ask(Method::Get, "/video.mp4", &[("range", "bytes=0-4,4-8")]);
    assert_eq!((overlapping.status, overlapping.text.as_str()), (200, "0123456789"));
}

#[test]
fn a_compressed_file_stands_for_the_file_where_the_caller_takes_it() {
    site();
    let site = Site::new(&[]);
    let mut tags = vec![site.get("/app.js").etag().to_owned()];
    for (accepted, coding, text) in [
        ("gzip, br, zstd", Some("br"), "BR"),
        ("gzip", Some("gzip"), "GZ"),
        ("zstd", None, "alert('neap')"),
        ("zstd, gzip;q=0.1", Some("gzip"), "GZ"),
        ("br;q=0, gzip;q=0", None, "alert('neap')"),
        ("identity", None, "alert('neap')"),
        ("gzip;q=0.5, identity", None, "alert('neap')"),
    ] {
        let answer = site.ask(Method::Get, "/app.js", &[("accept-encoding", accepted)]);
        assert_eq!(
            (answer.status, answer.field("content-encoding"), answer.text.as_str()),
            (200, coding, text),
            "{accepted}"
        );
        assert_eq!(answer.field("content-type"), Some("text/javascript; charset=utf-8"), "§8.3: {accepted}");
        assert_eq!(answer.field("vary"), Some("accept-encoding"), "§12.5.5: {accepted}");
        tags.push(answer.etag().to_owned());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3, "§8.8.3.3: each representation has its tag: {tags:?}");

    let none = site.ask(Method::Get, "/index.html", &[("accept-encoding", "br, identity;q=0")]);
    assert_eq!((none.status, none.field("vary")), (406, Some("accept-encoding")), "§12.5.3");
    let part = site.ask(Method::Get, "/app.js", &[("accept-encoding", "gzip"), ("range", "bytes=1-")]);
    assert_eq!(
        (part.status, part.text.as_str(), part.field("content-range")),
        (206, "Z", Some("bytes 1-1/2")),
        "§14.2"
    );
    let video = site.ask(Method::Get, "/video.mp4", &[("accept-encoding", "gzip")]);
    assert_eq!((video.field("content-encoding"), video.field("vary")), (None, None));
    let without =
        Site::new(&[("precompressed", "")]).ask(Method::Get, "/app.js", &[("accept-encoding", "gzip")]);
    assert_eq!((without.field("content-encoding"), without.field("vary")), (None, None));
    let other =
        Site::new(&[("precompressed", "gz")]).ask(Method::Get, "/app.js", &[("accept-encoding", "br, gzip")]);
    assert_eq!(other.field("content-encoding"), Some("gzip"));
}

#[test]
fn a_compressed_file_that_is_older_than_the_file_is_not_used() {
    site();
    put("/", "app.js", Content::text_of("new", Timestamp { nanoseconds: 6, ..WRITTEN }));
    let answer = Site::new(&[]).ask(Method::Get, "/app.js", &[("accept-encoding", "br")]);
    assert_eq!((answer.field("content-encoding"), answer.text.as_str()), (None, "new"));
    put("/", "app.js.br", Content::text_of("NEW", Timestamp { nanoseconds: 6, ..WRITTEN }));
    let answer = Site::new(&[]).ask(Method::Get, "/app.js", &[("accept-encoding", "br")]);
    assert_eq!((answer.field("content-encoding"), answer.text.as_str()), (Some("br"), "NEW"));
}

#[test]
fn no_more_is_opened_than_what_the_answer_takes() {
    site();
    let site = Site::new(&[]);
    for (path, fields, expected) in [
        ("/app.js", &[][..], &["app.js"][..]),
        ("/app.js", &[("accept-encoding", "gzip")], &["app.js", "app.js.gz"]),
        ("/video.mp4", &[("accept-encoding", "gzip")], &["video.mp4"]),
        ("/docs/", &[], &["docs/index.html"]),
        ("/.env", &[], &["404.html"]),
        ("//app.js", &[], &["404.html"]),
    ] {
        site.ask(Method::Get, path, fields);
        assert_eq!(opened(), expected, "{path} {fields:?}");
    }
}

#[test]
fn a_page_of_the_sites_own_says_that_there_is_nothing() {
    site();
    put("/", "404.html", Content::text("<h1>Lost</h1>"));
    let site = Site::new(&[("cache-control", "* max-age=99")]);
    for path in ["/nothing", "/bare/", "/..", "/.env"] {
        let answer = site.ask(Method::Get, path, &[("range", "bytes=0-0"), ("if-none-match", "*")]);
        assert_eq!((answer.status, answer.text.as_str()), (404, "<h1>Lost</h1>"), "{path}");
        assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"), "{path}");
        for name in ["etag", "last-modified", "cache-control", "accept-ranges"] {
            assert_eq!(answer.field(name), None, "{path}: {name}");
        }
        let head = site.ask(Method::Head, path, &[]);
        assert_eq!(
            (head.status, head.field("content-length"), head.text.as_str()),
            (404, Some("13"), ""),
            "{path}"
        );
    }
    assert_eq!(site.get("/404.html").status, 200, "it is a file as well");
    let none = Site::new(&[("not-found", "")]).get("/nothing");
    assert_eq!(none.text, "There is nothing here.\n");
}

#[test]
fn an_application_has_paths_of_its_own() {
    site();
    let site = Site::new(&[("fallback", "/index.html"), ("cache-control", "*.html no-cache")]);
    let html = ("accept", "text/html,*/*;q=0.8");
    for (path, fields, status) in [
        ("/orders", &[html][..], 200),
        ("/orders/7", &[html], 200),
        ("/orders/7/", &[html], 200),
        ("/orders/7?tab=2", &[], 200),
        ("/bare/", &[html], 200),
        ("/orders/7", &[("accept", "application/json")], 404),
        ("/orders/7.json", &[html], 404),
        ("/lost.js", &[html], 404),
        ("/.env", &[html], 404),
        ("/.git/config", &[html], 404),
        ("/orders//7", &[html], 404),
        ("/orders/../7", &[html], 404),
    ] {
        let answer = site.ask(Method::Get, path, fields);
        assert_eq!(answer.status, status, "{path} {fields:?}");
        if status == 200 {
            assert_eq!(answer.text, PAGE, "{path}");
            assert_eq!(answer.field("cache-control"), Some("no-cache"), "{path}");
            assert_eq!(answer.field("vary"), Some("accept-encoding, accept"), "§12.5.5: {path}");
        }
    }
    let json = site.ask(Method::Get, "/orders/7", &[("accept", "application/json")]);
    assert_eq!(json.field("vary"), Some("accept"), "§12.5.5");
    let etag = site.get("/orders").etag().to_owned();
    assert_eq!(site.ask(Method::Get, "/orders/8", &[("if-none-match", &etag)]).status, 304);
    assert_eq!(site.get("/noext").text, "?", "what is there goes before");
    assert_eq!(Site::new(&[("fallback", "/lost.html")]).get("/orders").status, 404);
}

#[test]
fn files_are_cached_as_the_rules_say() {
    site();
    put("/", "assets/app.3f.js", Content::text("x"));
    let site = Site::new(&[(
        "cache-control",
        "/assets/* public, max-age=31536000, immutable\n*.html no-cache\n*.mp4 max-age=60",
    )]);
    for (path, expected) in [
        ("/assets/app.3f.js", Some("public, max-age=31536000, immutable")),
        ("/", Some("no-cache")),
        ("/docs/", Some("no-cache")),
        ("/video.mp4", Some("max-age=60")),
        ("/app.js", None),
        ("/docs", None),
    ] {
        assert_eq!(site.get(path).field("cache-control"), expected, "{path}");
    }
}

#[test]
fn each_folder_has_its_place() {
    site();
    put("/media", "a.txt", Content::text("media"));
    let site = Site::new(&[]);
    assert_eq!(site.get("/media/a.txt").text, "media");
    assert_eq!(site.get("/media").field("location"), Some("/media/"));
    assert_eq!(site.get("/media/app.js").status, 404);
    assert_eq!(site.get("/app.js").status, 200);
}

#[test]
fn what_cannot_be_opened_is_told_as_far_as_it_is_the_callers() {
    site();
    for (name, code) in [
        ("pipe", ErrorCode::NotPermitted),
        ("loop", ErrorCode::Loop),
        ("locked", ErrorCode::Access),
        ("bad", ErrorCode::Io),
    ] {
        put("/", name, Content::Broken(code));
    }
    let site = Site::new(&[]);
    for (path, status) in [("/pipe", 404), ("/loop", 404), ("/locked", 403)] {
        assert_eq!(site.get(path).status, status, "{path}");
    }
    let failed = site.try_ask(Method::Get, "/bad", &[]);
    assert_eq!(failed, Err(crate::fault::Fault::Failed("io".into())));
}
