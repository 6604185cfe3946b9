//! The sandbox from its attackers' side: nothing that a component does, says or is reaches further than its own
//! call, and the caller never learns why it failed.

use std::path::PathBuf;

use hostile_guests::TYPES;
use jackfield_tests::{Answer, Host, Options, Site};
use tempfile::TempDir;

use crate::limits::guest_with;

/// A component made for one test, in a folder of its own.
pub(crate) struct Made {
    component: PathBuf,
    _folder: TempDir,
}

impl Made {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        let component = folder.path().join("made.wasm");
        std::fs::write(&component, bytes).unwrap();
        Self { component, _folder: folder }
    }

    /// A tenant whose every path is this handler's, under these limits.
    pub(crate) fn site(&self, limits: &str) -> Site {
        let site = Site::shop().plugin("guest", self.component.display()).limits(limits);
        site.route("/").route("/{*rest}")
    }

    /// The same with this component as a filter before the hello guest.
    pub(crate) fn filter_site(&self, limits: &str) -> Site {
        let site = Site::shop().plugin("filter", self.component.display()).limits(limits);
        site.plugin("hello", "guest_hello.wasm").route("/").with("filters = ['filter']")
    }
}

/// Takes what is passed in from the second half of the first page.
const REALLOC: &str = r#"
    (global $next (mut i32) (i32.const 32768))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
"#;

/// A handler of one page of memory, from the text of further parts of its core module and of the body of
/// `handle`, which gives the address of a `result<response, string>`. An exported `realloc` takes the place of the
/// usual one; an exported `post` is called when the answer was taken.
pub(crate) fn handler_from_wat(module: &str, body: &str) -> Vec<u8> {
    handler_beside("", "", module, body)
}

/// The same with two further memories of these limits, `$a` and `$b`: the functions `$grow-a` and `$grow-b` grow them
/// by so many pages, `$size-a` and `$size-b` say how many they have.
pub(crate) fn handler_with_memories(a: &str, b: &str, module: &str, body: &str) -> Vec<u8> {
    let holder = |name: &str, limits: &str| {
        format!(
            r#"
            (core module ${name}-module
                (memory {limits})
                (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
                (func (export "size") (result i32) (memory.size)))
            (core instance ${name} (instantiate ${name}-module))
            "#
        )
    };
    let imports = ["a", "b"].map(|name| {
        format!(
            r#"
            (import "{name}" "grow" (func $grow-{name} (param i32) (result i32)))
            (import "{name}" "size" (func $size-{name} (result i32)))
            "#
        )
    });
    let beside = holder("a", a) + &holder("b", b);
    let with = r#"(with "a" (instance $a)) (with "b" (instance $b))"#;
    handler_beside(&beside, with, &(imports.concat() + module), body)
}

/// A handler with two tables of so many elements: the functions `$grow-a` and `$grow-b` grow them, and give what they
/// had before or −1.
pub(crate) fn handler_with_tables(elements: u32, body: &str) -> Vec<u8> {
    let holder = |name: &str| {
        format!(
            r#"
            (core module ${name}-module
                (table {elements} funcref)
                (func (export "grow") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))
            (core instance ${name} (instantiate ${name}-module))
            "#
        )
    };
    let imports = ["a", "b"]
        .map(|name| format!(r#"(import "{name}" "grow" (func $grow-{name} (param i32) (result i32)))"#));
    let with = r#"(with "a" (instance $a)) (with "b" (instance $b))"#;
    handler_beside(&(holder("a") + &holder("b")), with, &imports.concat(), body)
}

fn handler_beside(beside: &str, with: &str, module: &str, body: &str) -> Vec<u8> {
    component(
        (beside, with),
        module,
        &format!(
            r#"(func (export "plug") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {body})"#
        ),
        r#"(param "request" $request) (result (result $response (error string)))"#,
        "",
        ("jackfield:plugin/handler@0.1.0", "handle"),
    )
}

/// A request filter whose verdict is to go on with so many appended fields, and then so many that are set.
pub(crate) fn filter_from_wat(appends: u32, sets: u32) -> Vec<u8> {
    let changes = appends + sets;
    let pages = changes * 20 / 65536 + 2;
    component(
        ("", ""),
        &format!(
            r#"(data (i32.const 8) "ab") (func $grow (drop (memory.grow (i32.const {pages})))) (start $grow)"#
        ),
        &format!(
            r#"
            (func (export "plug") (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                (local $turn i32) (local $at i32)
                (local.set $at (i32.const 65536))
                (loop $on
                    (i32.store8 (local.get $at) (i32.lt_u (local.get $turn) (i32.const {appends})))
                    (i32.store offset=4 (local.get $at)
                        (i32.add (i32.const 8) (i32.ge_u (local.get $turn) (i32.const {appends}))))
                    (i32.store offset=8 (local.get $at) (i32.const 1))
                    (i32.store offset=12 (local.get $at) (i32.const 8))
                    (local.set $at (i32.add (local.get $at) (i32.const 20)))
                    (local.set $turn (i32.add (local.get $turn) (i32.const 1)))
                    (br_if $on (i32.lt_u (local.get $turn) (i32.const {changes}))))
                (i32.store (i32.const 68) (i32.const 65536))
                (i32.store (i32.const 72) (i32.const {changes}))
                (i32.const 64))
            "#
        ),
        r#"(param "request" $request-head) (result $verdict)"#,
        r#"
            (type $forward-is (record
                (field "request-headers" (list $change)) (field "response-headers" (list $change))))
            (export $forward "forward" (type $forward-is))
            (type $verdict-is (variant (case "next" $forward) (case "respond" $response)))
            (export $verdict "verdict" (type $verdict-is))
        "#,
        ("jackfield:plugin/request-filter@0.1.0", "on-request"),
    )
}

fn component(
    (beside, with): (&str, &str),
    module: &str,
    plug: &str,
    signature: &str,
    types: &str,
    (interface, function): (&str, &str),
) -> Vec<u8> {
    let realloc = if module.contains(r#"(export "realloc")"#) { "" } else { REALLOC };
    let post =
        if module.contains(r#"(export "post")"#) { r#"(post-return (core func $core "post"))"# } else { "" };
    let text = format!(
        r#"
        (component
            {TYPES}
            {types}
            {beside}
            (core module $module
                {module}
                (memory (export "memory") 1)
                {realloc}
                {plug})
            (core instance $core (instantiate $module {with}))
            (func $plug {signature}
                (canon lift (core func $core "plug") (memory (core memory $core "memory"))
                    (realloc (core func $core "realloc")) {post}))
            (instance $plugs (export "{function}" (func $plug)))
            (export "{interface}" (instance $plugs)))
        "#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Stores an answer of 200 without fields or body at address 0, and leaves that address.
const OK: &str = "(i32.store16 (i32.const 4) (i32.const 200)) (i32.const 0)";

/// Expects that the host answers for a plugin that failed, and says nothing of why.
#[track_caller]
fn expect_silence(answer: &Answer, status: u16, problem: &str) {
    answer.expect_problem(status, problem);
    let members: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 5, "{answer}");
    let told = format!("{:?}{}", answer.headers, answer.text()).to_lowercase();
    for word in ["secret", "wasm", "panick", "unreachable", "trap", "stack", "guest", "exit", ".rs", "memory"]
    {
        assert!(!told.contains(word), "the caller is told of `{word}`\n{answer}");
    }
}

/// Everything that the log says of one request.
fn story(host: &Host, answer: &Answer) -> String {
    host.log_of(answer.request_id()).iter().map(|line| format!("{line}\n")).collect()
}

/// Why a site is refused.
async fn refusal(site: &str) -> String {
    Host::try_start(site, Options::default()).await.err().expect("it does not start")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_is_answered_500_and_its_reason_is_in_the_log_alone() {
    let host = Host::start(&guest_with("")).await;
    for (path, reason) in [
        ("/trap", "it trapped"),
        ("/panic", "secret inside text"),
        ("/exit", "it exited before it answered"),
        ("/error", "secret inside text"),
        ("/deep", "call stack exhausted"),
    ] {
        let answer = host.get(path).await;
        expect_silence(&answer, 500, "plugin-failed");
        let story = story(&host, &answer);
        assert!(story.contains(reason) && story.contains(r#""blame":"plugin""#), "{path}: {story}");
    }
    host.get("/ok").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_answered_502() {
    let host = Host::start(&guest_with("")).await;
    for path in [
        "/status?code=0",
        "/status?code=99",
        "/status?code=100",
        "/status?code=101",
        "/status?code=199",
        "/status?code=600",
        "/status?code=65535",
        "/header?name=&value=1",
        "/header?name=a%20b&value=1",
        "/header?name=a%3A&value=1",
        "/header?name=x%0D%0Aevil&value=1",
        "/header?name=%C3%A9&value=1",
        "/header?name=x&value=a%0D%0Aevil%3A%201",
        "/header?name=x&value=a%0Ab",
        "/header?name=x&value=a%00b",
        "/many-headers?n=257",
        "/many-headers?n=40000",
        "/content-length?value=5",
        "/content-length?value=7",
        "/content-length?value=-6",
        "/content-length?value=6%2C6",
        "/content-length?value=18446744073709551622",
    ] {
        let answer = host.get(path).await;
        expect_silence(&answer, 502, "plugin-answer");
        assert!(story(&host, &answer).contains(r#""problem":"plugin-answer""#), "{path}");
        assert_eq!(answer.header("evil"), None);
    }
    for path in [
        "/status?code=200",
        "/status?code=299",
        "/status?code=418",
        "/status?code=599",
        "/many-headers?n=80",
        "/content-length?value=6",
        "/header?name=X-Upper&value=%FFbytes",
    ] {
        assert_ne!(host.get(path).await.status, 502, "{path}");
    }
    assert_eq!(host.get("/status?code=599").await.status, 599);
    // More fields than the tests' own client reads.
    let most = host.raw("GET /many-headers?n=256 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(most.starts_with("HTTP/1.1 200 ") && most.contains("x-filler-255: 1\r\n"), "{most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_connection_cannot_be_set_by_a_plugin() {
    let host = Host::start(&guest_with("")).await;
    for (name, value) in [
        ("connection", "x-private"),
        ("transfer-encoding", "gzip"),
        ("keep-alive", "timeout=1"),
        ("upgrade", "h2c"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("proxy-connection", "close"),
    ] {
        let answer = host.get(&format!("/header?name={name}&value={value}")).await;
        assert_eq!(answer.expect(200).header(name), None);
        assert_eq!(answer.text(), "header\n");
    }
    let answer = host.get("/header?name=x-request-id&value=forged").await;
    assert_ne!(answer.expect(200).header_all("x-request-id"), ["forged"]);
    assert_eq!(answer.header_all("x-request-id").len(), 1, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_where_none_may_be_is_dropped_and_logged() {
    let host = Host::start(&guest_with("")).await;
    let answer = host.get("/body-on-204").await;
    assert_eq!(answer.expect(204).text(), "");
    assert_eq!(answer.header("content-length"), None);
    let lines = host.log_of(answer.request_id());
    assert!(lines.iter().any(|line| line["dropped-bytes"] == 11 && line["status"] == 204), "{answer}");
    let whole = host.raw("GET /body-on-204 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(whole.ends_with("\r\n\r\n"), "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_meets_a_fresh_instance() {
    let host = Host::start(&guest_with("")).await;
    for _ in 0..20 {
        assert_eq!(host.get("/visits").await.expect(200).text(), "visits=1\n");
    }
    let together = (0..8).map(|_| host.get("/visits"));
    let mut answers = Vec::new();
    for asked in together {
        answers.push(asked.await.expect(200).text());
    }
    assert!(answers.iter().all(|text| text == "visits=1\n"), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_instance_wrote_is_seen_by_the_next_in_its_slot() {
    // Finds no byte of what it writes over its whole memory, ten pages, before it writes it.
    let made = Made::new(&handler_from_wat(
        "(func $grow (drop (memory.grow (i32.const 9)))) (start $grow)",
        r#"
        (local $at i32)
        (local.set $at (i32.const 65536))
        (i32.store16 (i32.const 4) (i32.const 200))
        (loop $on
            (if (i32.load (local.get $at)) (then (i32.store16 (i32.const 4) (i32.const 299))))
            (i32.store (local.get $at) (i32.const 0x5ec4e7))
            (local.set $at (i32.add (local.get $at) (i32.const 64)))
            (br_if $on (i32.lt_u (local.get $at) (i32.const 655360))))
        (i32.const 0)
        "#,
    ));
    let options = Options { host: "concurrency = 1".into(), ..Options::default() };
    let host = Host::start_with(&made.site(""), options).await;
    for _ in 0..20 {
        host.get("/").await.expect(200);
    }
}

/// Where the site's text is at fault.
#[track_caller]
fn expect_at_component(refused: &str) {
    let place = refused.lines().find_map(|line| line.trim().strip_prefix("--> ")?.split_once("site.toml:"));
    let (line, column) = place.unwrap_or_else(|| panic!("no place: {refused}")).1.split_once(':').unwrap();
    assert!(line.parse::<u32>().is_ok() && column.parse::<u32>().is_ok(), "{refused}");
    assert!(refused.contains("component = "), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_not_granted_is_refused_at_load_by_name() {
    for (component, grants, import, grant) in [
        ("guest_keyvalue.wasm", "", "wasi:keyvalue/store@0.2.0-draft2", "keyvalue"),
        ("guest_keyvalue.wasm", "", "wasi:keyvalue/batch@0.2.0-draft2", "keyvalue"),
        ("guest_keyvalue.wasm", "limiter = true", "wasi:keyvalue/atomics@0.2.0-draft2", "keyvalue"),
        ("guest_keyvalue_draft.wasm", "", "wasi:keyvalue/store@0.2.0-draft", "keyvalue"),
        ("guest_limiter.wasm", "keyvalue = true", "jackfield:plugin/limiter@0.1.0", "limiter"),
    ] {
        let site = Site::shop().plugin("guest", component).grants(grants).route("/{*rest}");
        let refused = refusal(&site).await;
        assert!(refused.contains(&format!("`{import}`, which needs the grant `{grant}`")), "{refused}");
        assert!(refused.contains(&format!("grants = {{ {grant} = true }}")), "{refused}");
        assert!(refused.contains("plugin `guest`"), "{refused}");
        expect_at_component(&refused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_nobody_offers_is_refused_at_load_by_name() {
    let unknown = [
        (
            r#"(import "acme:vault/secrets" (instance (export "read" (func (result string)))))"#,
            "acme:vault/secrets",
        ),
        (
            r#"(import "wasi:http/outgoing-handler@9.9.9" (instance (export "f" (func))))"#,
            "wasi:http/outgoing-handler@9.9.9",
        ),
        (
            r#"(import "wasi:keyvalue/store@0.2.0-draft3" (instance (export "f" (func))))"#,
            "wasi:keyvalue/store@0.2.0-draft3",
        ),
        (
            r#"(import "jackfield:plugin/limiter@0.2.0" (instance (export "f" (func))))"#,
            "jackfield:plugin/limiter@0.2.0",
        ),
        (r#"(import "exec" (func (param "command" string)))"#, "exec"),
        (
            r#"(import "wasi:clocks/backwards@0.2.0" (instance (export "f" (func))))"#,
            "wasi:clocks/backwards@0.2.0",
        ),
        (
            r#"(import "wasi:random/random@0.2.0" (instance (export "get-seed" (func (result u64)))))"#,
            "get-seed",
        ),
    ];
    for (import, name) in unknown {
        let made = Made::new(&wat::parse_str(format!("(component {import})")).unwrap());
        let refused = refusal(&made.site("")).await;
        assert!(refused.contains(name), "{refused}");
        expect_at_component(&refused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_refused_with_what_it_is_instead() {
    let table: [(Vec<u8>, &str); 9] = [
        (wat::parse_str("(module)").unwrap(), "core module"),
        (b"".to_vec(), "it is empty"),
        (b"#!/bin/sh\n".to_vec(), "does not begin as WebAssembly does"),
        (wat::parse_str("(component)").unwrap(), "does not export"),
        ([wat::parse_str("(component)").unwrap(), vec![0xff; 100]].concat(), "is not compiled"),
        (b"\0asm\x0d\0\x01".to_vec(), "is not compiled"),
        (wat::parse_str("(component (core module (memory i64 1)))").unwrap(), "is not compiled"),
        (wat::parse_str("(component (core module (memory 1 2 shared)))").unwrap(), "is not compiled"),
        (wat::parse_str("(component (core module (type (struct (field i32)))))").unwrap(), "is not compiled"),
    ];
    for (bytes, said) in table {
        let made = Made::new(&bytes);
        let refused = refusal(&made.site("")).await;
        assert!(refused.contains(said), "`{said}` is not in: {refused}");
        assert!(refused.contains("site.toml:"), "{refused}");
    }
    let refused = refusal(&Site::shop().plugin("guest", "nowhere.wasm").route("/{*rest}")).await;
    assert!(refused.contains("nowhere.wasm") && refused.contains("has the plugin been built?"), "{refused}");
    expect_at_component(&refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_wants_more_memories_tables_or_instances_than_a_slot_has_is_refused_at_load() {
    let memories = "(memory 1)".repeat(5);
    let instances = "(core instance (instantiate $m))".repeat(65);
    for (text, said) in [
        (format!("(component (core module $m {memories}) (core instance (instantiate $m)))"), "memor"),
        (
            format!(
                "(component (core module $m {}) (core instance (instantiate $m)))",
                "(table 1 funcref)".repeat(5)
            ),
            "table",
        ),
        (format!("(component (core module $m) {instances})"), "instance"),
        ("(component (core module $m (memory 65536)) (core instance (instantiate $m)))".to_owned(), "memory"),
        (
            "(component (core module $m (table 100001 funcref)) (core instance (instantiate $m)))".to_owned(),
            "table",
        ),
    ] {
        let made = Made::new(&wat::parse_str(&text).unwrap());
        let refused = refusal(&made.site("")).await;
        assert!(refused.contains("does not compile") && refused.contains(said), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_finds_no_environment_no_files_and_no_network() {
    let host = Host::start(&guest_with("")).await;
    assert_eq!(host.get("/env").await.expect(200).text(), "end\n");
    for (path, attempts) in [
        ("/fs", &["read", "read-relative", "write", "list", "create"][..]),
        ("/socket", &["connect", "listen", "udp", "resolve"]),
    ] {
        let answer = host.get(path).await;
        let text = answer.expect(200).text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), attempts.len(), "{answer}");
        for (line, attempt) in lines.iter().zip(attempts) {
            assert!(line.starts_with(&format!("{attempt}: refused: ")), "{answer}");
        }
    }
    assert!(!std::path::Path::new("/tmp/from-a-guest").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_move_in_steps_random_differs_and_sleep_sleeps() {
    let host = Host::start(&guest_with("")).await;
    let clock = host.get("/clock").await.expect(200).text();
    let readings: Vec<u64> = clock.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(readings.len(), 8);
    assert!(readings.iter().all(|reading| reading % 100_000 == 0), "{clock}");
    assert!(readings.is_sorted() && readings[0] < 60_000_000_000, "{clock}");

    let random = host.get("/random?bytes=16").await.expect(200).text();
    assert_ne!(random, host.get("/random?bytes=16").await.expect(200).text());
    assert!(random.starts_with("bytes=16 ") && random.trim().len() == 9 + 32, "{random}");

    let began = std::time::Instant::now();
    host.get("/sleep?ms=50").await.expect(200);
    assert!(began.elapsed() >= std::time::Duration::from_millis(50));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_grows_to_its_most_and_no_further() {
    // Answers 200 if a hundred thousand elements were had and one more was not.
    let made = Made::new(&handler_from_wat(
        "(table $table 0 funcref)",
        r#"
        (i32.store16 (i32.const 4) (i32.const 299))
        (if (i32.eq (table.grow $table (ref.null func) (i32.const 100001)) (i32.const -1)) (then
            (if (i32.eq (table.grow $table (ref.null func) (i32.const 100000)) (i32.const 0)) (then
                (if (i32.eq (table.grow $table (ref.null func) (i32.const 1)) (i32.const -1)) (then
                    (i32.store16 (i32.const 4) (i32.const 200))))))))
        (i32.const 0)
        "#,
    ));
    let host = Host::start(&made.site("")).await;
    host.get("/").await.expect(200);
}

/// An answer with so many fields, all of which lie in the same few bytes.
fn overlapping_fields(fields: u32, value_bytes: u32) -> Vec<u8> {
    let pages = 2 + (fields * 16).max(value_bytes) / 65536;
    handler_from_wat(
        &format!(
            r#"(func $grow (drop (memory.grow (i32.const {pages})))) (start $grow) (data (i32.const 40) "a")"#
        ),
        &format!(
            r#"
            (local $turn i32) (local $at i32)
            (local.set $at (i32.const 65536))
            (loop $on
                (i32.store (local.get $at) (i32.const 40))
                (i32.store offset=4 (local.get $at) (i32.const 1))
                (i32.store offset=8 (local.get $at) (i32.const 0))
                (i32.store offset=12 (local.get $at) (i32.const {value_bytes}))
                (local.set $at (i32.add (local.get $at) (i32.const 16)))
                (local.set $turn (i32.add (local.get $turn) (i32.const 1)))
                (br_if $on (i32.lt_u (local.get $turn) (i32.const {fields}))))
            (i32.store16 (i32.const 4) (i32.const 200))
            (i32.store (i32.const 8) (i32.const 65536))
            (i32.store (i32.const 12) (i32.const {fields}))
            (i32.const 0)
            "#
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_guest_cannot_have_the_host_build_something_large() {
    for (fields, value_bytes, status, problem) in [
        // A million fields that take 16 MB of the guest's memory would take 48 MB of the host's.
        (1_000_000, 0, 502, "response-body"),
        // A few thousand values that are the same ten megabytes would take as many gigabytes.
        (4000, 10_000_000, 502, "response-body"),
        // What can be taken over is still no answer.
        (100_000, 1, 502, "plugin-answer"),
    ] {
        let made = Made::new(&overlapping_fields(fields, value_bytes));
        let host = Host::start(&made.site(r#"cpu = "5s""#)).await;
        let answer = host.get("/").await;
        expect_silence(&answer, status, problem);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_has_the_host_keep_of_the_store_is_bounded() {
    let site = Site::shop()
        .plugin("guest", "guest_keyvalue.wasm")
        .grants("keyvalue = true")
        .limits("cpu = '5s'")
        .route("/{*rest}");
    let host = Host::start(&site).await;
    host.request("PUT", "/set?key=a").body(vec![b'x'; 1_000_000]).send().await.expect(200);
    assert_eq!(host.get("/hold?key=a&n=8").await.expect(200).text(), "8\n");
    let refused = host.get("/hold?key=a&n=100").await;
    assert!(refused.expect(503).text().contains("too much at once"), "{refused}");
    // What is let go of is not counted on.
    assert_eq!(host.get("/hold?key=a&n=8").await.expect(200).text(), "8\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_the_component_models_rules_is_a_failure() {
    let table = [
        ("an address outside the memory", "(i32.const 0x7fffff00)"),
        ("an address that is not aligned", "(i32.const 1)"),
        ("neither an answer nor an error", "(i32.store8 (i32.const 0) (i32.const 7)) (i32.const 0)"),
        (
            "a body outside the memory",
            "(i32.store (i32.const 16) (i32.const 65000)) (i32.store (i32.const 20) (i32.const 1000))
             (i32.store16 (i32.const 4) (i32.const 200)) (i32.const 0)",
        ),
        (
            "a body of four gigabytes",
            "(i32.store (i32.const 20) (i32.const -1)) (i32.store16 (i32.const 4) (i32.const 200))
             (i32.const 0)",
        ),
        (
            "more fields than there is memory",
            "(i32.store (i32.const 12) (i32.const 0x0fffffff)) (i32.store16 (i32.const 4) (i32.const 200))
             (i32.const 0)",
        ),
        (
            "an error text that is not UTF-8",
            "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 40))
             (i32.store (i32.const 8) (i32.const 1)) (i32.store8 (i32.const 40) (i32.const 0xff)) (i32.const 0)",
        ),
    ];
    for (what, body) in table {
        let made = Made::new(&handler_from_wat("", body));
        let host = Host::start(&made.site("")).await;
        let answer = host.get("/").await;
        assert!([500, 502].contains(&answer.status.as_u16()), "{what}\n{answer}");
        assert!(story(&host, &answer).contains(r#""blame":"plugin""#), "{what}\n{answer}");
    }
    let reallocs = ["(i32.const -16)", "(i32.const 3)", "(unreachable)"];
    for body in reallocs {
        let module = format!(r#"(func (export "realloc") (param i32 i32 i32 i32) (result i32) {body})"#);
        let made = Made::new(&handler_from_wat(&module, OK));
        let host = Host::start(&made.site("")).await;
        let answer = host.get("/").await;
        expect_silence(&answer, 500, "plugin-failed");
    }
    let made = Made::new(&handler_from_wat("", OK));
    Host::start(&made.site("")).await.get("/").await.expect(200);
}
