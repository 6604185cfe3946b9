//! A folder of files behind the static-files plugin: what callers are answered, clause by clause of RFC 9110, and what
//! they never get, whatever lies in the folder and whatever becomes of it while it is sent.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jackfield_tests::{Answer, Host, Options, Process, Site, replace, site_folder};
use tempfile::TempDir;

use crate::streaming::client::{BOTH, Caller};

const PAGE: &str = "<h1>Tides</h1>";

/// When the files of the tests were written.
const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const THEN_SECONDS: u64 = 784_111_777;
const BEFORE: &str = "Sun, 06 Nov 1994 08:48:37 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";

fn site(config: &str) -> Site {
    Site::shop()
        .plugin("files", "static_files.wasm")
        .with("mounts = { '/' = 'public' }")
        .with(format!("[tenants.shop.plugins.files.config]\n{config}"))
        .route("/{*rest}")
        .route("/")
}

/// The folder `public`, with the site file beside it.
struct Folder(PathBuf);

impl Folder {
    /// A folder with files as sites have them.
    fn fill(beside: &Path) -> Self {
        let folder = Self(beside.join("public"));
        for (name, text) in [
            ("index.html", PAGE),
            ("app.js", "alert('neap')"),
            ("app.js.br", "BR"),
            ("app.js.gz", "GZ"),
            ("video.mp4", "0123456789"),
            ("empty.txt", ""),
            ("docs/index.html", "docs"),
            ("bare/a.txt", "a"),
            ("a b/é.txt", "names"),
            (".env", "secret"),
            (".git/config", "secret"),
            (".well-known/security.txt", "call us"),
        ] {
            folder.write(name, text);
        }
        fs::write(beside.join("secret.txt"), "secret").unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file as of [`THEN`].
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).unwrap();
        fs::write(&path, content).unwrap();
        age(&path, THEN_SECONDS);
    }
}

fn age(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

/// A host of a folder that is there before it starts.
async fn start(config: &str) -> (Host, Folder) {
    let beside = TempDir::new().unwrap();
    let folder = Folder::fill(beside.path());
    let options = Options { folder: Some(beside), ..Options::default() };
    (Host::start_with(&site(config), options).await, folder)
}

async fn ask(host: &Host, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let request =
        fields.iter().fold(host.request(method, path), |request, (name, value)| request.header(name, value));
    request.send().await
}

fn etag(answer: &Answer) -> &str {
    answer.header("etag").unwrap_or_else(|| panic!("no tag\n{answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_with_what_it_is() {
    let (host, _) = start("").await;
    let answer = host.get("/app.js").await;
    assert_eq!(answer.expect(200).text(), "alert('neap')");
    for (clause, name, value) in [
        ("8.3", "content-type", Some("text/javascript; charset=utf-8")),
        ("8.6", "content-length", Some("13")),
        ("8.8.2", "last-modified", Some(THEN)),
        ("14.3", "accept-ranges", Some("bytes")),
        ("12.5.5", "vary", Some("accept-encoding")),
        ("8.4", "content-encoding", None),
        ("nothing unless it is said", "cache-control", None),
        ("the fetch standard", "x-content-type-options", Some("nosniff")),
    ] {
        assert_eq!(answer.header(name), value, "§{clause}: {name}\n{answer}");
    }
    let head = host.request("HEAD", "/app.js").send().await;
    assert_eq!(head.expect(200).text(), "");
    for name in ["content-type", "content-length", "etag", "last-modified", "accept-ranges", "vary"] {
        assert_eq!(head.header(name), answer.header(name), "§9.3.2: {name}\n{head}");
    }
    let empty = host.get("/empty.txt").await;
    assert_eq!((empty.expect(200).text().as_str(), empty.header("content-length")), ("", Some("0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_leads_to_a_file_a_folder_or_nothing() {
    let (host, _) = start("").await;
    for (path, status, text) in [
        ("/", 200, PAGE),
        ("/?q=1", 200, PAGE),
        ("/index.html", 200, PAGE),
        ("/docs/", 200, "docs"),
        ("/a%20b/%C3%A9.txt", 200, "names"),
        ("/%61pp.js", 200, "alert('neap')"),
        ("/.well-known/security.txt", 200, "call us"),
        ("/bare/", 404, ""),
        ("/app.js/", 404, ""),
        ("/app.js/x", 404, ""),
        ("/App.js", 404, ""),
        ("/nothing", 404, ""),
    ] {
        let answer = host.get(path).await;
        answer.expect(status);
        if status == 200 {
            assert_eq!(answer.text(), text, "{path}");
        }
    }
    for (path, location) in [("/docs", "/docs/"), ("/docs?a=/b", "/docs/?a=/b"), ("/a%20b", "/a%20b/")] {
        let answer = host.get(path).await;
        assert_eq!(answer.expect(308).header("location"), Some(location), "{path}");
    }
    for (method, status) in
        [("OPTIONS", 204), ("POST", 405), ("PUT", 405), ("DELETE", 405), ("PROPFIND", 405)]
    {
        let answer = ask(&host, method, "/app.js", &[]).await;
        assert_eq!(answer.expect(status).header("allow"), Some("GET, HEAD, OPTIONS"), "{method}");
    }
}

/// What must not be had: by no spelling of a path, and by nothing that lies in the folder.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_the_folder_and_nothing_hidden_is_ever_sent() {
    let (host, folder) = start("").await;
    let outside = host.file("secret.txt");
    fs::create_dir(host.file("outside")).unwrap();
    fs::write(host.file("outside/secret.txt"), "secret").unwrap();
    symlink(&outside, folder.path("absolute.txt")).unwrap();
    symlink("../secret.txt", folder.path("relative.txt")).unwrap();
    symlink("../outside", folder.path("folder-outside")).unwrap();
    symlink("../../secret.txt", folder.path("docs/deeper.txt")).unwrap();
    symlink("loop.txt", folder.path("loop.txt")).unwrap();
    symlink("/proc/self/environ", folder.path("environ.txt")).unwrap();
    symlink("/dev/zero", folder.path("zero.txt")).unwrap();
    symlink("../secret.txt", folder.path("app.css.gz")).unwrap();
    folder.write("app.css", "p {}");
    rustix::fs::mknodat(rustix::fs::CWD, folder.path("pipe"), rustix::fs::FileType::Fifo, 0o644.into(), 0)
        .unwrap();
    let socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
    for path in [
        "/absolute.txt",
        "/relative.txt",
        "/folder-outside/secret.txt",
        "/docs/deeper.txt",
        "/loop.txt",
        "/environ.txt",
        "/zero.txt",
        "/pipe",
        "/socket",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/%2Egit/config",
        "/docs/.env",
        "//app.js",
        "//evil.example",
        "//evil.example/",
        "/docs//index.html",
        "/secret.txt",
        "/..%5csecret.txt",
        "/docs%2findex.html",
        "/..%2fsecret.txt",
        "/..%2Fpublic%2Fapp.js",
        "/%252e%252e/secret.txt",
        "/site.toml",
        "/static_files.wasm",
    ] {
        let answer = host.get(path).await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}\n{answer}");
        assert!(!answer.text().contains("secret"), "{path}\n{answer}");
        assert_eq!(answer.header("location"), None, "{path}");
    }
    for target in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/docs/../../secret.txt",
        "/.%2e/secret.txt",
        "/app.js%00",
        "/%ff",
        "/%c0%ae%c0%ae/secret.txt",
    ] {
        let answer = host.raw(format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 404 "),
            "{target}: {answer}"
        );
    }
    // A coding of a file is a file: one that leads outside is not there.
    let styled = ask(&host, "GET", "/app.css", &[("accept-encoding", "gzip")]).await;
    assert_eq!((styled.expect(200).header("content-encoding"), styled.text().as_str()), (None, "p {}"));
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_inside_the_folder_are_files_like_others() {
    let (host, folder) = start("").await;
    symlink("app.js", folder.path("latest.js")).unwrap();
    symlink("docs", folder.path("manual")).unwrap();
    symlink("../app.js", folder.path("docs/up.js")).unwrap();
    for (path, text) in
        [("/latest.js", "alert('neap')"), ("/manual/", "docs"), ("/docs/up.js", "alert('neap')")]
    {
        assert_eq!(host.get(path).await.expect(200).text(), text, "{path}");
    }
    assert_eq!(host.get("/manual").await.expect(308).header("location"), Some("/manual/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_process_may_not_read_is_forbidden() {
    use std::os::unix::fs::PermissionsExt;
    let (host, folder) = start("").await;
    fs::set_permissions(folder.path("app.js"), fs::Permissions::from_mode(0o000)).unwrap();
    let expected = if fs::read(folder.path("app.js")).is_ok() { 200 } else { 403 };
    host.get("/app.js").await.expect(expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_weighed_in_the_order_of_the_rfc() {
    let (host, _) = start(r#"cache-control = "* no-cache""#).await;
    let tag = etag(&host.get("/app.js").await).to_owned();
    let weak = format!("W/{tag}");
    let listed = format!("\"old\", {tag}");
    for (clause, fields, status) in [
        ("13.1.2", &[("if-none-match", tag.as_str())][..], 304),
        ("13.1.2: weakly", &[("if-none-match", &weak)], 304),
        ("13.1.2", &[("if-none-match", &listed)], 304),
        ("13.1.2", &[("if-none-match", "*")], 304),
        ("13.1.2", &[("if-none-match", "\"old\"")], 200),
        ("13.1.3", &[("if-modified-since", THEN)], 304),
        ("13.1.3", &[("if-modified-since", AFTER)], 304),
        ("13.1.3", &[("if-modified-since", BEFORE)], 200),
        ("13.1.3", &[("if-modified-since", "a while ago")], 200),
        ("13.1.3", &[("if-none-match", "\"old\""), ("if-modified-since", THEN)], 200),
        ("13.1.1", &[("if-match", &tag)], 200),
        ("13.1.1", &[("if-match", "*")], 200),
        ("13.1.1", &[("if-match", "\"old\"")], 412),
        ("13.1.1: strongly", &[("if-match", &weak)], 412),
        ("13.1.4", &[("if-unmodified-since", THEN)], 200),
        ("13.1.4", &[("if-unmodified-since", BEFORE)], 412),
        ("13.2.2 (1)", &[("if-match", &tag), ("if-unmodified-since", BEFORE)], 200),
        ("13.2.2 (1)", &[("if-match", "\"old\""), ("if-none-match", &tag)], 412),
        ("13.2.2 (5)", &[("if-none-match", &tag), ("range", "bytes=0-0")], 304),
        ("13.2.2 (5)", &[("if-none-match", &tag), ("range", "bytes=99-")], 304),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&host, method, "/app.js", fields).await;
            answer.expect(status);
            if status == 304 {
                assert_eq!(answer.header("etag"), Some(tag.as_str()), "§15.4.5 of §{clause}\n{answer}");
                assert_eq!(
                    answer.header("cache-control"),
                    Some("no-cache"),
                    "§15.4.5 of §{clause}\n{answer}"
                );
                assert_eq!(answer.header("vary"), Some("accept-encoding"), "§15.4.5 of §{clause}\n{answer}");
                assert!(answer.body.is_empty(), "§15.4.5 of §{clause}\n{answer}");
                for name in ["content-type", "last-modified", "content-encoding", "accept-ranges"] {
                    assert_eq!(answer.header(name), None, "§15.4.5 of §{clause}\n{answer}");
                }
            }
        }
    }
    let missing = ask(&host, "GET", "/nothing", &[("if-match", "*"), ("if-none-match", "*")]).await;
    missing.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_sent_where_one_is_asked_for() {
    let (host, _) = start("").await;
    let whole = host.get("/video.mp4").await;
    for (clause, fields, status, text, place) in [
        ("14.2", &[("range", "bytes=2-4")][..], 206, "234", Some("bytes 2-4/10")),
        ("14.1.2", &[("range", "bytes=-3")], 206, "789", Some("bytes 7-9/10")),
        ("14.1.2", &[("range", "bytes=8-")], 206, "89", Some("bytes 8-9/10")),
        ("14.1.2", &[("range", "bytes=5-500")], 206, "56789", Some("bytes 5-9/10")),
        ("14.1.2", &[("range", "bytes=-500")], 206, "0123456789", Some("bytes 0-9/10")),
        ("14.2: malformed", &[("range", "bytes=4-2")], 200, "0123456789", None),
        ("14.2: another unit", &[("range", "lines=1-2")], 200, "0123456789", None),
        ("14.2: overlapping", &[("range", "bytes=0-4,4-8")], 200, "0123456789", None),
        ("13.1.5", &[("range", "bytes=0-0"), ("if-range", etag(&whole))], 206, "0", Some("bytes 0-0/10")),
        ("13.1.5", &[("range", "bytes=0-0"), ("if-range", "\"old\"")], 200, "0123456789", None),
        // The file was given an old date just now: the date says nothing of its content.
        ("8.8.2.2", &[("range", "bytes=0-0"), ("if-range", THEN)], 200, "0123456789", None),
    ] {
        let answer = ask(&host, "GET", "/video.mp4", fields).await;
        assert_eq!(answer.expect(status).text(), text, "§{clause}: {fields:?}");
        assert_eq!(answer.header("content-range"), place, "§{clause}: {fields:?}");
        assert_eq!(answer.header("content-length"), Some(text.len().to_string().as_str()), "§{clause}");
        for name in ["etag", "last-modified", "content-type"] {
            assert_eq!(answer.header(name), whole.header(name), "§15.3.7: {name}");
        }
    }
    let beyond = ask(&host, "GET", "/video.mp4", &[("range", "bytes=10-")]).await;
    assert_eq!(beyond.expect(416).header("content-range"), Some("bytes */10"), "§15.5.17");

    let parts = ask(&host, "GET", "/video.mp4", &[("range", "bytes=7-8, 0-1")]).await;
    let content_type = parts.expect(206).header("content-type").expect("a type");
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("§14.6");
    let expected = format!(
        "--{boundary}\r\ncontent-type: video/mp4\r\ncontent-range: bytes 7-8/10\r\n\r\n78\r\n\
         --{boundary}\r\ncontent-type: video/mp4\r\ncontent-range: bytes 0-1/10\r\n\r\n01\r\n--{boundary}--\r\n"
    );
    assert_eq!(parts.text(), expected, "§14.6");
    assert_eq!(parts.header("content-range"), None, "§15.3.7.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_file_stands_for_the_file_where_the_caller_takes_it() {
    let (host, folder) = start("").await;
    let mut tags = Vec::new();
    for (accepted, status, coding, text) in [
        ("", 200, None, "alert('neap')"),
        ("gzip, deflate, br, zstd", 200, Some("br"), "BR"),
        ("gzip", 200, Some("gzip"), "GZ"),
        ("x-gzip", 200, Some("gzip"), "GZ"),
        ("zstd", 200, None, "alert('neap')"),
        ("br;q=0.1, gzip", 200, Some("gzip"), "GZ"),
        ("*", 200, Some("br"), "BR"),
        ("br;q=0, *", 200, Some("gzip"), "GZ"),
        ("*;q=0, gzip", 200, Some("gzip"), "GZ"),
        ("zstd, identity;q=0", 406, None, "Only the file as it is could be sent.\n"),
    ] {
        let answer = ask(&host, "GET", "/app.js", &[("accept-encoding", accepted)]).await;
        assert_eq!(answer.expect(status).header("content-encoding"), coding, "§12.5.3: {accepted}\n{answer}");
        assert_eq!(answer.text(), text, "§12.5.3: {accepted}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "§12.5.5: {accepted}");
        tags.extend(answer.header("etag").map(str::to_owned));
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3, "§8.8.3.3: each representation has a tag of its own: {tags:?}");
    let part = ask(&host, "GET", "/app.js", &[("accept-encoding", "gzip"), ("range", "bytes=1-")]).await;
    assert_eq!(
        (part.expect(206).text().as_str(), part.header("content-range")),
        ("Z", Some("bytes 1-1/2")),
        "§14.2"
    );

    age(&folder.path("app.js"), THEN_SECONDS + 1);
    let newer = ask(&host, "GET", "/app.js", &[("accept-encoding", "gzip")]).await;
    assert_eq!(
        (newer.expect(200).header("content-encoding"), newer.text().as_str()),
        (None, "alert('neap')")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_has_its_own_rules_and_pages() {
    let config = r#"
        cache-control = """
            /assets/*  public, max-age=31536000, immutable
            *.html     no-cache
        """
        types = "neap text/x-neap"
        fallback = "/index.html"
    "#;
    let (host, folder) = start(config).await;
    folder.write("404.html", "<h1>Lost</h1>");
    folder.write("assets/app.3f.js", "x");
    folder.write("tide.neap", "x");
    for (path, expected) in [
        ("/assets/app.3f.js", Some("public, max-age=31536000, immutable")),
        ("/", Some("no-cache")),
        ("/orders/7", Some("no-cache")),
        ("/app.js", None),
    ] {
        assert_eq!(host.get(path).await.expect(200).header("cache-control"), expected, "{path}");
    }
    assert_eq!(host.get("/tide.neap").await.header("content-type"), Some("text/x-neap"));

    let page = ask(&host, "GET", "/orders/7", &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!(
        (page.expect(200).text().as_str(), page.header("vary")),
        (PAGE, Some("accept-encoding, accept"))
    );
    for (path, accept) in
        [("/orders/7", "application/json"), ("/lost.js", "text/html"), ("/.env", "text/html")]
    {
        let lost = ask(&host, "GET", path, &[("accept", accept), ("range", "bytes=0-0")]).await;
        assert_eq!(lost.expect(404).text(), "<h1>Lost</h1>", "{path}");
        assert_eq!(lost.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        for name in ["etag", "last-modified", "cache-control"] {
            assert_eq!(lost.header(name), None, "{path}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_the_operators_to_see_and_not_the_callers() {
    for (config, named) in [
        (r#"precompressed = "gzip""#, "precompressed"),
        (r#"prefix = "docs""#, "prefix"),
        (r#"fall-back = "/index.html""#, "fall-back"),
    ] {
        let (host, _) = start(config).await;
        let answer = host.get("/").await;
        assert!(!answer.expect(500).text().contains(named), "{answer}");
        host.wait_for_log(named, |line| line.to_string().contains(&format!("config `{named}`: "))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_file_is_seen_by_the_next_request() {
    let (host, folder) = start("").await;
    let mut seen = etag(&host.get("/app.js").await).to_owned();
    // Of one length and one date: only the system's own stamp tells them apart.
    for number in 0..20 {
        let text = format!("alert('{number:04}')");
        if number % 2 == 0 {
            folder.write("app.js", &text);
        } else {
            replace(&folder.path("app.js"), text.as_bytes());
            age(&folder.path("app.js"), THEN_SECONDS);
        }
        let answer = ask(&host, "GET", "/app.js", &[("if-none-match", &seen)]).await;
        assert_eq!(answer.expect(200).text(), text);
        seen = etag(&answer).to_owned();
    }
    fs::remove_file(folder.path("app.js")).unwrap();
    host.get("/app.js").await.expect(404);
}

const LARGE_BYTES: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_sent_breaks_off_and_a_deleted_one_is_sent_to_its_end() {
    let (host, folder) = start("").await;
    let large = vec![b'a'; LARGE_BYTES];
    for version in BOTH {
        folder.write("large.bin", &large);
        let mut deleted = Caller::connect(&host, version).await.get("/large.bin").await;
        deleted.piece().await.expect("a first piece").expect("it holds");
        fs::remove_file(folder.path("large.bin")).unwrap();
        while let Some(piece) = deleted.piece().await {
            let piece = piece.expect("it is sent to its end");
            assert!(piece.iter().all(|byte| *byte == b'a'), "{version:?}");
        }

        folder.write("large.bin", &large);
        let mut replaced = Caller::connect(&host, version).await.get("/large.bin").await;
        replaced.piece().await.expect("a first piece").expect("it holds");
        replace(&folder.path("large.bin"), &vec![b'b'; LARGE_BYTES]);
        while let Some(piece) = replaced.piece().await {
            let piece = piece.expect("the open file is the old one, to its end");
            assert!(piece.iter().all(|byte| *byte == b'a'), "{version:?}");
        }

        folder.write("large.bin", &large);
        let mut rewritten = Caller::connect(&host, version).await.get("/large.bin").await;
        rewritten.piece().await.expect("a first piece").expect("it holds");
        fs::write(folder.path("large.bin"), vec![b'b'; LARGE_BYTES]).unwrap();
        let came = rewritten.expect_broken("a file that was written to").await;
        assert!(came < LARGE_BYTES, "{version:?}: {came}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_sent_at_constant_memory() {
    let folder = site_folder(&site(""));
    let files = Folder::fill(folder.path());
    files.write("small.bin", vec![b'x'; 64 << 10]);
    files.write("large.bin", vec![b'x'; LARGE_BYTES]);
    let process = Process::start(folder.path(), ["serve"]);
    let address = process.address();
    let fetch = |path: &'static str| async move {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        jackfield_tests::raw(address, request).await.len()
    };
    assert!(fetch("/large.bin").await > LARGE_BYTES);
    let before = peak_kib(process.id());
    for _ in 0..4 {
        assert!(fetch("/large.bin").await > LARGE_BYTES);
    }
    // The kernel counts a process's pages by processor, and adds them up now and then.
    let grown = peak_kib(process.id()).saturating_sub(before);
    assert!(grown < 16 << 10, "the process took {grown} KiB more");
    let peak = peak_kib(process.id());
    assert!(peak < 512 << 10, "{peak} KiB");
}

fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
