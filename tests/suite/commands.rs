//! What the commands print, to the letter, and how they end.
//!
//! `SNAPSHOTS=overwrite` writes the golden files anew.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use jackfield_tests::{PATIENCE, Process, guest, hello_version, jackfield, raw, replace, site_folder};
use tempfile::TempDir;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suite/golden");

const SITE: &str = r#"
[tenants.shop]
hosts = ["shop.example", "*.shop.example"]

[tenants.shop.plugins.books]
component = "guest_hello.wasm"

[tenants.shop.plugins.limit]
component = "rate_limit.wasm"
grants = { limiter = true }
config = { requests = "10", window = "60s" }

[[tenants.shop.routes]]
path = "/api/books"
methods = ["GET", "POST"]
filters = ["limit"]
plugin = "books"

[[tenants.shop.routes]]
path = "/api/books/{id}"
methods = ["GET"]
filters = ["limit"]
plugin = "books"

[[tenants.shop.routes]]
path = "/api/books/{id}"
methods = ["GET"]
headers = { x-beta = "1" }
plugin = "books"

[[tenants.shop.routes]]
path = "/api/{*rest}"
plugin = "books"
"#;

/// What is in none of its places, and what does not suit its use.
const SECRETS: &str = r#"
[host.outbound]
certificates = "ca.pem"

[tenants.shop]
hosts = ["shop.example"]
routes = [{ path = "/", plugin = "books" }]

[tenants.shop.quota]
grants = { http = ["https://api.example.com"] }

[tenants.shop.secrets]
gone = { file = "secrets/gone" }
unset = { env = "JACKFIELD_TEST_UNSET" }
several = { file = "several" }

[tenants.shop.plugins.books]
component = "hello.wasm"
grants = { http = ["https://api.example.com"] }
config = { gone = { secret = "gone" }, unset = { secret = "unset" } }
outbound = [{ origin = "https://api.example.com", header = "authorization", secret = "several" }]
"#;

/// Imports what no host has.
const MADE_UP: &str = r#"(component (import "made:up/thing@1.0.0" (instance (export "do" (func)))))"#;

/// Runs a command and compares all that comes of it with the golden file of this name.
#[track_caller]
pub(crate) fn expect(name: &str, folder: &Path, arguments: &[&str]) {
    let output = jackfield(folder, arguments);
    let code = output.status.code().map_or_else(|| "a signal".into(), |code| code.to_string());
    let mut text = format!("$ jackfield {}\nends with {code}\n", arguments.join(" "));
    for (stream, bytes) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
        if !bytes.is_empty() {
            text.push_str(&format!("--- {stream}\n{}", String::from_utf8_lossy(bytes)));
        }
    }
    let text = normalised(&text, folder);
    let file = Path::new(GOLDEN).join(name).with_extension("txt");
    let expected = snapbox::Data::read_from(&file, None).raw();
    snapbox::Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV).eq(text, expected);
}

/// Takes out what differs from run to run: the folder, the components' digests and sizes.
fn normalised(text: &str, folder: &Path) -> String {
    let mut text = text.replace(&folder.to_string_lossy().into_owned(), "[FOLDER]");
    for component in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::metadata(&component).unwrap().len();
        text = text.replace(&format!("({bytes} bytes)"), "([SIZE] bytes)");
        text = text.replace(&format!("\"bytes\": {bytes},"), "\"bytes\": [SIZE],");
    }
    let mut pieces = text.split("sha256:");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let rest = piece.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
        let digits = piece.len() - rest.len();
        format!("{text}sha256:{}{rest}", if digits == 64 { "[DIGEST]" } else { &piece[..digits] })
    })
}

fn component(folder: &TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), wat::parse_str(text).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_helps() {
    let folder = TempDir::new().unwrap();
    expect("help", folder.path(), &["--help"]);
    expect("help-short", folder.path(), &["-h"]);
    const COMMANDS: [&str; 26] = [
        "serve",
        "check",
        "inspect",
        "explain",
        "new",
        "login",
        "deploy",
        "diff",
        "revisions",
        "rollback",
        "approve",
        "status",
        "events",
        "tenant",
        "tenant list",
        "tenant show",
        "tenant set",
        "tenant remove",
        "token",
        "token list",
        "token new",
        "token remove",
        "secret",
        "secret list",
        "secret set",
        "secret remove",
    ];
    for command in COMMANDS {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        expect(&format!("help-{}", command.replace(' ', "-")), folder.path(), &words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_would_be_served_or_all_that_is_wrong() {
    let folder = site_folder(SITE);
    expect("check-good", folder.path(), &["check", "site.toml"]);
    expect("check-good-json", folder.path(), &["check", "site.toml", "--json"]);

    let whole = wat::parse_str("(component (core module (memory 1)))").unwrap();
    std::fs::write(folder.path().join("half.wasm"), &whole[..whole.len() - 4]).unwrap();
    component(&folder, "made-up.wasm", MADE_UP);
    // Faults of components, of several tenants, in one go.
    let bad = SITE
        .replace("grants = { limiter = true }\n", "")
        .replace("filters = [\"limit\"]\nplugin = \"books\"", "filters = [\"books\"]\nplugin = \"limit\"")
        + r#"
[tenants.mill]
hosts = ["mill.example"]
plugins.half.component = "half.wasm"
plugins.gone.component = "plugins/gone.wasm"
plugins.made-up.component = "made-up.wasm"
routes = [{ path = "/", plugin = "half" }, { path = "/gone", plugin = "gone" }]
"#;
    std::fs::write(folder.path().join("bad.toml"), bad).unwrap();
    expect("check-bad-components", folder.path(), &["check", "bad.toml"]);
    expect("check-bad-components-json", folder.path(), &["check", "bad.toml", "--json"]);

    let faulty =
        SITE.replace("component", "componet").replace("filters = [\"limit\"]", "filters = [\"limt\"]");
    std::fs::write(folder.path().join("faulty.toml"), faulty).unwrap();
    expect("check-bad-site", folder.path(), &["check", "faulty.toml"]);
    expect("check-bad-site-json", folder.path(), &["check", "faulty.toml", "--json"]);
    std::fs::write(folder.path().join("secrets.toml"), SECRETS).unwrap();
    std::fs::write(folder.path().join("several"), "hunter2\nhunter3\n").unwrap();
    std::fs::copy(guest("guest_hello.wasm"), folder.path().join("hello.wasm")).unwrap();
    expect("check-bad-secrets", folder.path(), &["check", "secrets.toml"]);
    expect("check-bad-secrets-json", folder.path(), &["check", "secrets.toml", "--json"]);
    std::fs::write(folder.path().join("empty.toml"), "").unwrap();
    expect("check-empty", folder.path(), &["check", "empty.toml"]);
    expect("check-missing", folder.path(), &["check", "none.toml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_tells_what_a_component_is() {
    let folder = TempDir::new().unwrap();
    for plugin in ["bookstore", "rate_limit", "redirect", "guest_hello", "guest_http"] {
        let file = format!("{plugin}.wasm");
        std::fs::copy(guest(&file), folder.path().join(&file)).unwrap();
        expect(&format!("inspect-{plugin}"), folder.path(), &["inspect", &file]);
    }
    expect("inspect-json", folder.path(), &["inspect", "rate_limit.wasm", "--json"]);

    component(&folder, "made-up.wasm", MADE_UP);
    expect("inspect-unknown-import", folder.path(), &["inspect", "made-up.wasm"]);
    component(&folder, "module.wasm", "(module)");
    expect("inspect-module", folder.path(), &["inspect", "module.wasm"]);
    std::fs::write(folder.path().join("text.wasm"), "not WebAssembly\n").unwrap();
    expect("inspect-text", folder.path(), &["inspect", "text.wasm"]);
    expect("inspect-missing", folder.path(), &["inspect", "none.wasm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_where_a_request_goes_and_why() {
    let folder = site_folder(SITE);
    let cases: [(&str, &[&str]); 8] = [
        ("found", &["GET", "http://shop.example/api/books/7%20a"]),
        ("header", &["GET", "http://eu.shop.example:8080/api/books/7", "-H", "x-beta: 1"]),
        ("method", &["DELETE", "http://shop.example/api/books/7"]),
        ("not-found", &["GET", "http://shop.example/apis"]),
        ("options", &["OPTIONS", "http://shop.example/api/books"]),
        ("host", &["GET", "http://shop.exmple/api/books"]),
        ("path", &["GET", "http://shop.example/api/../admin"]),
        ("no-url", &["GET", "/api/books"]),
    ];
    for (name, asked) in cases {
        let text: Vec<&str> = ["explain", "site.toml"].into_iter().chain(asked.iter().copied()).collect();
        expect(&format!("explain-{name}"), folder.path(), &text);
        let json: Vec<&str> = text.into_iter().chain(["--json"]).collect();
        expect(&format!("explain-{name}-json"), folder.path(), &json);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_component_is_served_at_every_path_and_swapped_when_it_is_built_anew() {
    let folder = TempDir::new().unwrap();
    let component = folder.path().join("hello.wasm");
    std::fs::write(&component, hello_version(1)).unwrap();
    let process = Process::start(folder.path(), ["serve", "hello.wasm", "--listen", "127.0.0.1:0"]);
    let address = process.address();
    let get = async |path: &str| {
        raw(address, format!("GET {path} HTTP/1.1\r\nhost: any.example\r\nconnection: close\r\n\r\n")).await
    };
    for path in ["/", "/a", "/a/b/?c=d"] {
        let answer = get(path).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello from version-1\n"),
            "{answer}"
        );
    }
    replace(&component, &hello_version(2));
    let began = std::time::Instant::now();
    while !get("/").await.ends_with("hello from version-2\n") {
        assert!(began.elapsed() < PATIENCE, "{}", process.lines().join("\n"));
    }
    replace(&component, b"half");
    let refused = process.wait_for_line("a change was refused; what was live stays live");
    assert!(refused.contains("tenant=default"), "{refused}");
    process.wait_for_line("it does not begin as WebAssembly does");
    assert!(get("/").await.ends_with("hello from version-2\n"));
    assert!(process.lines().iter().all(|line| !line.contains("[host]")), "{:#?}", process.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_while_the_host_serves_and_is_never_shown() {
    let folder = site_folder(
        r#"
[tenants.shop]
hosts = ["*"]
routes = [{ path = "/", plugin = "reader" }]
secrets = { token = { file = "token" }, path = { env = "PATH" } }

[tenants.shop.plugins.reader]
component = "guest_config.wasm"
config = { token = { secret = "token" }, path = { secret = "path" }, plain = "yes" }
"#,
    );
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let checked = jackfield(folder.path(), ["check", "site.toml", "--json"]);
    assert!(checked.status.success() && !String::from_utf8_lossy(&checked.stdout).contains("hunter"));

    let process = Process::start(folder.path(), ["serve", "--log-level", "debug"]);
    let address = process.address();
    let read = async |key: &str| {
        raw(address, format!("GET /?key={key} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await
    };
    let answer = read("token").await;
    assert!(answer.contains("rc.1 get Ok(Some(\"hunter2\"))"), "{answer}");
    assert!(
        answer.contains("(\"plain\", \"yes\")") && answer.contains("(\"token\", \"hunter2\")"),
        "{answer}"
    );
    let path = std::env::var("PATH").unwrap();
    assert!(read("path").await.contains(&format!("rc.1 get Ok(Some({path:?}))")));

    replace(&token, b"hunter3\n");
    let changed = process.wait_for_line("secret changed");
    assert!(changed.contains("tenant=shop") && changed.contains("secret=token"), "{changed}");
    assert!(read("token").await.contains("rc.1 get Ok(Some(\"hunter3\"))"));

    std::fs::remove_file(&token).unwrap();
    process.wait_for_line("a change was refused; what was live stays live");
    assert!(read("token").await.contains("rc.1 get Ok(Some(\"hunter3\"))"));
    let lines = process.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("revision live")).count(), 1, "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("hunter")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_component_that_cannot_be_served_is_refused_with_the_reason() {
    let folder = TempDir::new().unwrap();
    std::fs::copy(guest("rate_limit.wasm"), folder.path().join("rate_limit.wasm")).unwrap();
    std::fs::write(folder.path().join("text.wasm"), "not WebAssembly\n").unwrap();
    for name in ["rate_limit", "text", "none"] {
        let file = format!("{name}.wasm");
        expect(&format!("serve-{name}"), folder.path(), &["serve", &file, "--listen", "127.0.0.1:0"]);
    }
}

/// What `jackfield` shows on a terminal, which `script` (util-linux) makes, in this environment. A host is interrupted when it
/// serves.
fn on_a_terminal(folder: &Path, environment: &[(&str, &str)], arguments: &str) -> Option<String> {
    const INTERRUPT: &[u8] = b"\x03";
    let command = format!("'{}' {arguments}", jackfield_tests::program().display());
    let mut script = Command::new("timeout");
    script.args(["60", "script", "-qec", &command, "/dev/null"]).current_dir(folder);
    script.env_remove("NO_COLOR").env("TERM", "xterm-256color").envs(environment.iter().copied());
    let started = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = started.ok()?;
    let (mut keyboard, screen) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
    let mut shown = String::new();
    for line in screen.lines().map_while(Result::ok) {
        if line.contains("listening") {
            keyboard.write_all(INTERRUPT).unwrap();
        }
        shown.push_str(&line);
    }
    let status = child.wait().unwrap();
    // As a shell says that there is no such program.
    (status.code() != Some(127)).then_some(shown)
}

#[test]
fn on_a_terminal_there_are_colours_unless_somebody_wants_none() {
    const ESCAPE: char = '\x1b';
    let folder = TempDir::new().unwrap();
    replace(&folder.path().join("bad.toml"), b"[tenants.shop]\nhost = 1\n");
    replace(
        &folder.path().join("site.toml"),
        format!("[host]\nlisten = [\"127.0.0.1:0\"]\n{SITE}").as_bytes(),
    );
    for name in ["guest_hello.wasm", "rate_limit.wasm"] {
        std::fs::copy(guest(name), folder.path().join(name)).unwrap();
    }
    // A finding, the help, a wrong use, and the log.
    for arguments in ["check bad.toml", "--help", "check", "serve"] {
        for (environment, expected) in [
            (&[][..], true),
            (&[("NO_COLOR", "")], true),
            (&[("NO_COLOR", "1")], false),
            (&[("TERM", "dumb")], false),
        ] {
            let Some(shown) = on_a_terminal(folder.path(), environment, arguments) else {
                let line = b"SKIPPED: `script` makes no terminal here\n";
                let _ = std::io::stderr().write_all(line);
                return;
            };
            assert!(shown.len() > 40, "{arguments}: {shown}");
            assert_eq!(shown.contains(ESCAPE), expected, "{arguments} {environment:?}: {shown:?}");
        }
    }
}
