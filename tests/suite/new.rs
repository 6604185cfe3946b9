//! `jackfield new`: a project is written whole, builds at once, and is served.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jackfield_tests::{Process, guest, jackfield, raw};
use tempfile::TempDir;

use crate::commands::expect;

const LANGUAGES: [&str; 6] = ["rust", "rust-wstd", "js", "python", "go", "c"];

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every file below a folder, named from there, with its text.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn every_language_is_written_whole_under_the_name() {
    let folder = TempDir::new().unwrap();
    for language in LANGUAGES {
        let name = format!("my-{language}");
        let output = jackfield(folder.path(), ["new", &name, "--lang", language]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let written = files(&folder.path().join(&name));
        assert!(
            written.contains_key("README.md") && written.contains_key(".gitignore"),
            "{:?}",
            written.keys()
        );
        for (path, text) in &written {
            let example = path.replace(&name, "hello");
            let original =
                fs::read_to_string(repository().join("examples").join(language).join(&example)).unwrap();
            let renamed_back = text.replace(&name, "hello").replace(&name.replace('-', "_"), "hello");
            assert_eq!(renamed_back, original, "{language}: {path}");
        }
        assert!(written.values().any(|text| text.contains(&name)), "{language}: the name stands nowhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_words_are_the_commands_to_type() {
    let folder = TempDir::new().unwrap();
    for language in LANGUAGES {
        expect(
            &format!("new-{language}"),
            folder.path(),
            &["new", &format!("shop-{language}"), "--lang", language],
        );
    }
    expect("new-path", folder.path(), &["new", "shop", "--path", "it's here/shop"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_over_and_a_bad_name_is_told() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("taken")).unwrap();
    fs::write(folder.path().join("taken/mine.txt"), "mine").unwrap();
    fs::write(folder.path().join("file"), "mine").unwrap();
    expect("new-taken", folder.path(), &["new", "taken"]);
    expect("new-file", folder.path(), &["new", "file"]);
    for (case, name) in [("form", "My_Plugin"), ("reserved", "world"), ("path", "../up")] {
        expect(&format!("new-bad-{case}"), folder.path(), &["new", name]);
    }
    expect("new-bad-for-cargo", folder.path(), &["new", "build", "--lang", "rust-wstd"]);
    expect("new-bad-for-go", folder.path(), &["new", "net", "--lang", "go"]);
    expect("new-bad-language", folder.path(), &["new", "fine", "--lang", "cobol"]);
    assert_eq!(files(folder.path()).len(), 2, "{:?}", files(folder.path()).keys());

    fs::create_dir(folder.path().join("empty")).unwrap();
    let output = jackfield(folder.path(), ["new", "empty"]);
    assert!(output.status.success(), "an empty folder is nobody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_the_example_in_rust_with_a_file_that_publishes_it() {
    let folder = TempDir::new().unwrap();
    expect("new-tenant", folder.path(), &["new", "my-shop", "--tenant"]);
    expect("new-tenant-in-a-language", folder.path(), &["new", "both", "--tenant", "--lang", "c"]);
    let written = fs::read_to_string(folder.path().join("my-shop/tenant.toml")).unwrap();
    assert!(written.contains("[plugins.my-shop]\ncomponent = \"target/wasm32-wasip2/release/my_shop.wasm\""));
    let plugin = fs::read_to_string(folder.path().join("my-shop/src/lib.rs")).unwrap();
    assert_eq!(plugin, fs::read_to_string(repository().join("examples/rust/src/lib.rs")).unwrap());
    // All but the component, which is not built.
    expect("new-tenant-unbuilt", folder.path(), &["deploy", "my-shop", "--tenant", "shop"]);
}

/// The build needs no network, for all that it takes was fetched for the test guests. What it makes of the packages it
/// takes is kept in the workspace's target folder: the first run takes half a minute, others a second.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_build_works_and_is_served() {
    let folder = TempDir::new().unwrap();
    let output = jackfield(folder.path(), ["new", "first-plugin"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let project = folder.path().join("first-plugin");
    let target = repository().join("target/new-projects");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--target", "wasm32-wasip2", "--offline"])
        .current_dir(&project)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let made = target.join("wasm32-wasip2/release/first_plugin.wasm");
    let process = Process::start(&project, ["serve", made.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let address = process.address();
    let body = r#"{"name": "Ada"}"#;
    let length = body.len();
    let ask = format!(
        "POST /json HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let answer = raw(address, ask).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"greeting":"Hello, Ada!"}"#),
        "{answer}"
    );
    let answer = raw(address, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("Hello from Rust!\n"), "{answer}");
}

/// The site, with its two components where its author has been told to copy them.
fn site(folder: &Path) -> PathBuf {
    let output = jackfield(folder, ["new", "shop", "--site"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for component in ["static_files.wasm", "bookstore.wasm"] {
        fs::copy(guest(component), folder.join("shop").join(component)).unwrap();
    }
    folder.join("shop")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_says_which_plugins_it_lacks_and_how_they_are_built() {
    let folder = TempDir::new().unwrap();
    expect("new-site", folder.path(), &["new", "shop", "--site"]);
    expect("new-site-unbuilt", folder.path(), &["check", "shop/site.toml"]);
    expect("new-site-in-a-language", folder.path(), &["new", "both", "--site", "--lang", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_serves_its_page_its_script_and_the_api_that_the_script_calls() {
    let folder = TempDir::new().unwrap();
    let site = site(folder.path());
    let checked = jackfield(&site, ["check", "site.toml"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let text = fs::read_to_string(site.join("site.toml")).unwrap();
    fs::write(site.join("site.toml"), text.replace("127.0.0.1:8080", "127.0.0.1:0")).unwrap();

    let process = Process::start(&site, ["serve"]);
    let address = process.address();
    let ask = async |head: &str, body: &str| {
        let length = body.len();
        let tail = format!("host: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        raw(address, format!("{head}\r\n{tail}")).await
    };
    for (path, holds) in [
        ("/", "<script type=\"module\" src=\"script.js\">"),
        ("/script.js", "/api/books"),
        ("/style.css", "body {"),
        ("/favicon.svg", "<svg "),
        ("/api/books?limit=100", "{\"books\":[]}"),
    ] {
        let answer = ask(&format!("GET {path} HTTP/1.1"), "").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(holds), "{path}: {answer}");
        assert!(answer.contains("\r\ncache-control: no-cache\r\n"), "{path}: {answer}");
    }
    let book = r#"{"isbn":"9780131103627","title":"C","author":"Brian Kernighan","price_cents":4999}"#;
    let add = "POST /api/books HTTP/1.1\r\ncontent-type: application/json";
    assert!(ask(add, book).await.starts_with("HTTP/1.1 401 "));
    let add = format!("{add}\r\nauthorization: Bearer editor-demo-token");
    let answer = ask(&add, book).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[test]
fn the_readme_shows_the_site_that_is_written() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let site = fs::read_to_string(repository().join("examples/site/site.toml")).unwrap();
    assert!(readme.contains(&site.replace("hello", "shop")), "README.md does not contain:\n{site}");
}
