//! Files that are no plugin, or none that may run: published beside a quiet tenant, refused with their reason, at their
//! place in the site file, and without a trace in what is live.

use std::fmt::Write as _;

use jackfield_tests::Host;
use tempfile::TempDir;

use super::quiet::{self, Quiet};

/// What a file is.
enum File {
    /// A component's or module's text.
    Text(&'static str),
    /// So many bytes of a text's binary, from the front.
    Cut(&'static str, usize),
    /// These bytes.
    Bytes(&'static [u8]),
    /// A guest, without a grant that it needs.
    Built(&'static str),
}

const HANDLER: &str = "(component (core module $m) (core instance (instantiate $m)))";

/// Name, what it is, the file, words of the refusal.
const FILES: [(&str, &str, File, &str); 24] = [
    ("empty", "An empty file.", File::Bytes(b""), "it is empty"),
    (
        "script",
        "A shell script.",
        File::Bytes(b"#!/bin/sh\necho hello\n"),
        "does not begin as WebAssembly does",
    ),
    (
        "elf",
        "A program of the machine's own.",
        File::Bytes(b"\x7fELF\x02\x01\x01\0"),
        "does not begin as WebAssembly does",
    ),
    ("magic", "The first four bytes, and no more.", File::Bytes(b"\0asm"), "it is not compiled"),
    ("version", "A version that does not exist.", File::Bytes(b"\0asm\xff\xff\x01\0"), "it is not compiled"),
    ("cut", "A component that breaks off.", File::Cut(HANDLER, 20), "it is not compiled"),
    (
        "section",
        "A section longer than its file.",
        File::Bytes(b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\x0f"),
        "it is not compiled",
    ),
    (
        "leb",
        "A length that never ends.",
        File::Bytes(b"\0asm\x0d\0\x01\0\x01\x80\x80\x80\x80\x80\x80"),
        "it is not compiled",
    ),
    ("module", "A core module.", File::Text("(module)"), "core module"),
    ("idle", "A component that exports nothing.", File::Text(HANDLER), "does not export"),
    (
        "memory64",
        "A memory of 64-bit addresses.",
        File::Text("(component (core module (memory i64 1)))"),
        "it is not compiled",
    ),
    (
        "shared",
        "A memory that threads share.",
        File::Text("(component (core module (memory 1 2 shared)))"),
        "it is not compiled",
    ),
    (
        "gc",
        "Types that need a garbage collector.",
        File::Text("(component (core module (type (struct (field i32)))))"),
        "it is not compiled",
    ),
    (
        "relaxed",
        "Instructions whose results may differ from machine to machine.",
        File::Text(
            "(component (core module (func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))))",
        ),
        "it is not compiled",
    ),
    (
        "memories",
        "Five memories.",
        File::Text(
            "(component (core module $m (memory 1) (memory 1) (memory 1) (memory 1) (memory 1)) (core instance (instantiate $m)))",
        ),
        "memor",
    ),
    (
        "large",
        "A memory that is 4 GiB from the start.",
        File::Text("(component (core module $m (memory 65536)) (core instance (instantiate $m)))"),
        "memory",
    ),
    (
        "elements",
        "A table of four million elements from the start.",
        File::Text("(component (core module $m (table 4000000 funcref)) (core instance (instantiate $m)))"),
        "table",
    ),
    (
        "unchecked",
        "Code whose types are wrong.",
        File::Text("(component (core module (func (result i32) (i64.const 1))))"),
        "it is not compiled",
    ),
    (
        "exec",
        "An import that no host should have.",
        File::Text(r#"(component (import "exec" (func (param "command" string))))"#),
        "`exec`, which this host does not offer",
    ),
    (
        "tomorrow",
        "An import of a version to come.",
        File::Text(
            r#"(component (import "wasi:random/random@9.0.0" (instance (export "get-random-u64" (func (result u64))))))"#,
        ),
        "`wasi:random/random@9.0.0`, which this host does not offer",
    ),
    (
        "mismatch",
        "A known import of another shape.",
        File::Text(
            r#"(component (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result string))))))"#,
        ),
        "get-random-u64",
    ),
    (
        "no-such-function",
        "A function that a known import does not have.",
        File::Text(
            r#"(component (import "wasi:random/random@0.2.0" (instance (export "get-seed" (func (result u64))))))"#,
        ),
        "get-seed",
    ),
    (
        "keyvalue",
        "Key-value without its grant.",
        File::Built("guest_keyvalue.wasm"),
        "`wasi:keyvalue/store@0.2.0-draft2`, which needs the grant `keyvalue`",
    ),
    (
        "limiter",
        "The limiter without its grant.",
        File::Built("guest_limiter.wasm"),
        "`jackfield:plugin/limiter@0.1.0`, which needs the grant `limiter`",
    ),
];

impl File {
    /// How the site file names it.
    fn component(&self, name: &str, folder: &TempDir) -> String {
        let bytes = match self {
            Self::Built(file) => return (*file).to_owned(),
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Text(text) => binary(text),
            Self::Cut(text, bytes) => binary(text)[..*bytes].to_vec(),
        };
        let path = folder.path().join(name).with_extension("wasm");
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }
}

fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_plugin_is_refused_with_its_reason_while_the_quiet_tenant_is_served() {
    let folder = TempDir::new().unwrap();
    let host = Host::start(&quiet::site()).await;
    let tenants = quiet::site().tenant("mean", ["mean.example"]);
    let site = FILES.iter().fold(tenants, |site, (name, _, file, _)| {
        site.plugin(name, file.component(name, &folder)).route(format!("/{name}"))
    });
    let quiet = Quiet::begin(&host);
    host.edit_site(&site);
    let refused = host.wait_for_log("the change to be refused", |line| line["diagnostics"].is_string()).await
        ["diagnostics"]
        .to_string();
    let reasons: Vec<&str> = refused.split("error: ").collect();
    for (name, _, _, words) in FILES {
        let is_its = |reason: &&&str| {
            reason.starts_with(&format!("plugin `{name}`")) || reason.starts_with(&format!("`{name}` "))
        };
        let of_it: Vec<_> = reasons.iter().filter(is_its).collect();
        assert!(
            of_it.iter().any(|reason| reason.contains(words)),
            "{name}: `{words}` is not said: {of_it:#?}"
        );
        assert!(of_it.iter().all(|reason| reason.contains("site.toml:")), "{name}: no place: {of_it:#?}");
    }
    let seen = quiet.end().await;
    println!("{}", seen.told());
    assert!(seen.is_unharmed(), "{}", seen.told());
    host.request("GET", "/empty")
        .header("host", "mean.example")
        .send()
        .await
        .expect_problem(404, "no-tenant");
}

/// Its section of `docs/hostile.md`.
pub(super) fn section() -> String {
    let mut text = "\n## refused at load\n\nNothing of these ever runs: their tenant's change is refused whole, with every \
                    reason, and what is live stays.\n\n| file | is | the refusal says |\n|---|---|---|\n"
        .to_owned();
    for (name, is, _, words) in FILES {
        let words = if words.contains('`') { words.to_owned() } else { format!("\"{words}\"") };
        let _ = writeln!(text, "| `{name}` | {is} | {words} |");
    }
    text
}
