//! Misfits: what the author of a component that cannot run here is told, by whichever command.

use std::path::Path;

use jackfield::config::Site;
use jackfield::limits::IntakeLimits;
use jackfield_tests::jackfield;
use tempfile::TempDir;

const SITE: &str = r#"
[tenants.shop]
hosts = ["shop.example"]
plugins.odd.component = "odd.wasm"
routes = [{ path = "/", plugin = "odd" }]
"#;

/// A folder with a component, and a site that uses it.
struct Place(TempDir);

impl Place {
    fn with(component: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("odd.wasm"), component).unwrap();
        std::fs::write(folder.path().join("site.toml"), SITE).unwrap();
        Self(folder)
    }

    fn of(text: &str) -> Self {
        Self::with(&wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}")))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// What `check` says, which refuses it.
    fn check(&self) -> String {
        let output = jackfield(self.path(), ["check", "site.toml"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    }

    /// What `inspect` says.
    fn inspect(&self) -> String {
        let output = jackfield(self.path(), ["inspect", "odd.wasm"]);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

/// Both commands say all of this.
#[track_caller]
fn both_say(component: &str, words: &[&str]) {
    let place = Place::of(component);
    for said in [place.check(), place.inspect()] {
        for word in words {
            assert!(said.contains(word), "no `{word}` in\n{said}\nof\n{component}");
        }
    }
}

/// A component that exports an interface with one function of this type, which nothing ever calls.
fn exporting(interface: &str, function: &str, params: &str) -> String {
    format!(
        r#"(component
            (core module $m (func (export "f") (param i32) (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $f {params} (canon lift (core func $i "f")))
            (instance $h (export "{function}" (func $f)))
            (export "{interface}" (instance $h)))"#
    )
}

const WASI_0_2: &str = "This host runs WASI 0.2: export `wasi:http/incoming-handler@0.2.x`";

#[test]
fn a_component_for_wasi_0_3_is_told_that_it_is_and_what_runs_here() {
    let stream = "(component (type (stream u8)))";
    both_say(stream, &["it is made for WASI 0.3: it uses `async`", WASI_0_2]);
    let named = r#"(component
        (type (future))
        (import "acme:tools/log" (instance))
        (import "wasi:http/types@0.3.0-rc-2026-01-06" (instance)))"#;
    both_say(named, &["it is made for WASI 0.3: it imports `wasi:http/types@0.3.0-rc-2026-01-06`", WASI_0_2]);
    let lifted = r#"(component
        (core module $m
            (func (export "f") (result i32) i32.const 0)
            (func (export "c") (param i32 i32 i32) (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $f async (canon lift (core func $i "f") async (callback (core func $i "c"))))
        (instance $h (export "handle" (func $f)))
        (export "wasi:http/handler@0.3.0" (instance $h)))"#;
    both_say(lifted, &["it is made for WASI 0.3: it exports `wasi:http/handler@0.3.0`", WASI_0_2]);
    // Nothing of it need be asynchronous.
    let plain = r#"(component
        (import "wasi:random/random@0.3.0" (instance (export "get-random-u64" (func (result u64))))))"#;
    both_say(plain, &["`wasi:random/random@0.3.0`", WASI_0_2]);
}

#[test]
fn a_proposal_that_is_turned_off_is_called_by_the_name_that_its_users_know() {
    let of_core = |item: &str| format!("(component (core module {item}))");
    for (component, words) in [
        (of_core("(memory 1 1 shared)"), "it uses threads (shared memory, atomics)"),
        (of_core("(memory i64 1)"), "it uses 64-bit memories (`wasm64`)"),
        (of_core("(type (func)) (tag (type 0))"), "it uses exceptions (of C++, or `setjmp` of C)"),
        (of_core("(type (struct (field i32)))"), "it uses garbage collection"),
        (
            of_core("(func (param v128 v128) (result v128) local.get 0 local.get 1 i8x16.relaxed_swizzle)"),
            "it uses relaxed SIMD",
        ),
        ("(component (type error-context))".into(), "it uses `error-context` of the component model"),
        ("(component (type (list u8 4)))".into(), "it uses lists of a fixed length"),
    ] {
        both_say(&component, &[words, "build it without that", "(at offset 0x"]);
    }
}

#[test]
fn an_export_of_another_type_is_refused_before_anybody_calls_it() {
    let number = r#"(param "request" u32) (result u32)"#;
    for (interface, function, wants) in [
        (
            "jackfield:plugin/handler@0.1.0",
            "handle",
            "wants `handle: func(request: request) -> result<response, string>`",
        ),
        (
            "wasi:http/incoming-handler@0.2.0",
            "handle",
            "wants `handle: func(request: incoming-request, response-out: response-outparam)`",
        ),
        (
            "wasi:http/incoming-handler@0.2.9",
            "handle",
            "wants `handle: func(request: incoming-request, response-out: response-outparam)`",
        ),
        (
            "jackfield:plugin/request-filter@0.1.0",
            "on-request",
            "wants `on-request: func(request: request-head) -> verdict`",
        ),
        ("jackfield:plugin/response-filter@0.1.0", "on-response", "wants `on-response: func(request:"),
    ] {
        let has = format!("has `{function}: func(request: u32) -> u32` (expected");
        both_say(&exporting(interface, function, number), &["its export `", &has, wants]);
        both_say(&exporting(interface, "other", number), &[&format!("has no `{function}`"), wants]);
    }
}

#[test]
fn an_import_of_another_type_is_refused_by_its_item_and_both_types() {
    let importing =
        |interface: &str, item: &str| format!(r#"(component (import "{interface}" (instance {item})))"#);
    let take = r#"(export "take" (func (param "key" u32) (result u32)))"#;
    let place = Place::of(&importing("jackfield:plugin/limiter@0.1.0", take));
    let said = place.inspect();
    for words in [
        "its import `jackfield:plugin/limiter@0.1.0` has `take: func(key: u32) -> u32`",
        "this host has it with another type: ",
        "expected",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    let with_resource = r#"
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result string)))"#;
    both_say(
        &importing("wasi:io/poll@0.2.0", with_resource),
        &["has `[method]pollable.ready: func(self: borrow<pollable>) -> string`", "expected `bool`"],
    );
    both_say(
        &importing("wasi:io/poll@0.2.99", r#"(export "poll-all" (func))"#),
        &["its import `wasi:io/poll@0.2.99` has `poll-all: func()`", "this host has nothing of that name"],
    );
}

#[test]
fn an_interface_in_another_version_is_refused_by_the_versions_that_there_are() {
    let function = r#"(instance (export "f" (func)))"#;
    for (import, versions) in [
        ("jackfield:plugin/limiter@0.2.0", "the versions of it that this host has: `0.1`"),
        ("wasi:keyvalue/store@0.2.0", "the versions of it that this host has: `0.2.0-draft2`, `0.2.0-draft`"),
        ("wasi:io/poll@0.2.0-rc-2023-11-10", "the versions of it that this host has: `0.2`"),
    ] {
        both_say(&format!(r#"(component (import "{import}" {function}))"#), &[import, versions]);
    }
}

#[test]
fn a_component_that_is_nothing_here_is_told_what_it_is_instead() {
    let number = r#"(param "request" u32) (result u32)"#;
    for (component, words) in [
        ("(component)".to_owned(), ["it exports nothing", "`jackfield:plugin/handler@0.1.0`"]),
        (
            exporting("wasi:cli/run@0.2.6", "run", number),
            ["it exports `wasi:cli/run@0.2.6`", "a program for the command line"],
        ),
        (
            exporting("jackfield:plugin/handler@0.2.0", "handle", number),
            [
                "it exports `jackfield:plugin/handler@0.2.0`",
                "this host's version of `jackfield:plugin` is 0.1",
            ],
        ),
        (
            exporting("wasi:http/incoming-handler@0.2.0-rc-2023-12-05", "handle", number),
            ["it exports `wasi:http/incoming-handler@", "this host's version of `wasi:http` is 0.2"],
        ),
        (exporting("handler", "handle", number), ["it exports `handler`", "by its full name"]),
    ] {
        let place = Place::of(&component);
        for said in [place.check(), place.inspect()] {
            for word in words.map(|word| word.trim_matches('`')) {
                assert!(said.contains(word), "no `{word}` in\n{said}");
            }
        }
    }
    for (bytes, words) in [
        (b"".as_slice(), "it is empty"),
        (b"not WebAssembly\n", "it does not begin as WebAssembly does"),
        (b"\0asm\x01\0\0\0", "it is a core module"),
        (b"\0asm\x0d\0\x01\0\x07", "its bytes are not valid WebAssembly: unexpected end"),
    ] {
        let place = Place::with(bytes);
        for said in [place.check(), place.inspect()] {
            assert!(said.contains(words), "no `{words}` in\n{said}");
        }
    }
}

/// However many there are, a refusal names the first dozen, and how many more there are.
#[test]
fn a_refusal_does_not_grow_with_what_it_refuses() {
    let imports: String = (0..900)
        .map(|at| format!(r#"(import "made:up/thing-{at}@1.0.0" (instance (export "f" (func))))"#))
        .collect();
    let place = Place::of(&format!("(component {imports})"));
    let (checked, inspected) = (place.check(), place.inspect());
    assert!(checked.contains("888 more of its imports are refused"), "{checked}");
    assert!(checked.lines().count() < 120, "{} lines", checked.lines().count());
    assert!(inspected.contains("offers of 888 more of its imports"), "{inspected}");
    assert!(inspected.contains("  and 800 more\n"), "{inspected}");
    assert!(inspected.lines().count() < 130, "{} lines", inspected.lines().count());

    let exports: String = (0..900).map(|at| format!(r#"(export "thing-{at}" (func $f))"#)).collect();
    both_say(
        &format!(
            r#"(component
                (core module $m (func (export "f")))
                (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f")))
                {exports})"#
        ),
        &["`thing-11` and 888 more"],
    );

    let long = "x".repeat(600);
    both_say(&format!(r#"(component (import "{long}" (func)))"#), &["it has 600 of `name`"]);
    let fields: String = (0..500).map(|at| format!(r#"(field "field-{at}" u32)"#)).collect();
    let wide = format!(r#"(type $r (record {fields})) (export "r" (type $e (eq $r)))"#);
    let wide = format!(
        r#"(component (import "jackfield:plugin/limiter@0.1.0"
            (instance {wide} (export "take" (func (param "key" $e))))))"#
    );
    let said = Place::of(&wide).inspect();
    assert!(said.contains("func(key: record { field-0: u32, ") && said.len() < 1000, "{said}");
}

/// Of plugins at fault, too.
#[test]
fn a_site_of_which_everything_is_wrong_is_refused_on_a_page() {
    let place = Place::with(b"not WebAssembly\n");
    let plugins: String = (0..500).map(|at| format!("plugins.odd-{at}.component = \"odd.wasm\"\n")).collect();
    let routes: String =
        (0..500).map(|at| format!("  {{ path = \"/{at}\", plugin = \"odd-{at}\" }},\n")).collect();
    let site = format!("[tenants.shop]\nhosts = [\"shop.example\"]\n{plugins}routes = [\n{routes}]\n");
    std::fs::write(place.path().join("site.toml"), site).unwrap();
    let said = place.check();
    assert!(said.contains("400 more are not shown") && said.lines().count() < 700, "{said}");
}

#[test]
fn no_name_of_a_component_steers_the_terminal_of_who_inspects_it() {
    let text = r#"(component
        (core module $m (import "\1b[31m" "\1b]0;x\07" (func)))
        (core instance (instantiate $m)))"#;
    let said = Place::of(text).inspect();
    assert!(said.contains("error: ") && !said.contains('\u{1b}') && !said.contains('\u{7}'), "{said:?}");
}

/// It reads no site file, and allows what one that says nothing allows.
#[test]
fn inspect_refuses_by_the_defaults_of_the_site_file() {
    let site = Site::for_component(Path::new("odd.wasm"));
    assert_eq!(site.host.intake, IntakeLimits::default());
}
