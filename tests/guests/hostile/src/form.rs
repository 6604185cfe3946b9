//! From a core module's text to a component: what stands around it.
//!
//! | a text may have | in form | in place of |
//! |---|---|---|
//! | `(func $attack)` | both | nothing: it must have it |
//! | `(func $post)` | both | no post-return |
//! | `(func $answer (result i32))` | lean | an answer of `$status`, 200 if nobody sets it |
//! | `(func $realloc (param i32 i32 i32 i32) (result i32))` | lean | room in the upper half of memory |
//! | `(func $handle (param i32 i32))` | http | `$attack`, then such an answer |
//!
//! It may call the functions of the host that [`FUNCTIONS`], [`LEAN_FUNCTIONS`], [`EXTRAS`] and [`HTTP_FUNCTIONS`] name. Its first
//! memory has four pages, of which the upper three are room for what the host passes in.

/// What a host calls it as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `jackfield:plugin/handler`.
    Lean,
    /// `wasi:http/incoming-handler` 0.2.
    Http,
}

/// A memory of its own, for host functions are bound to one before the module that calls them is there.
const BASE: &str = r#"
    (core module $base-module
        (memory (export "memory") 4)
        (global $next (mut i32) (i32.const 0x10000))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (if (i32.gt_u (local.get 3) (i32.sub (i32.const 0x40000) (local.get $at)))
                (then (local.set $at (i32.const 0x10000))))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $base (instantiate $base-module))
    (alias core export $base "memory" (core memory $memory))
    (alias core export $base "realloc" (core func $base-realloc))
"#;

/// Interfaces that every host offers.
const INTERFACES: &str = r#"
    (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
        (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $pollable-outside))
        (export "pollable" (type $pollable (eq $pollable-outside)))
        (export "now" (func (result u64)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
    (import "wasi:random/random@0.2.0" (instance $random
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
        (export "get-random-u64" (func (result u64)))))
"#;

/// A function of the host: what a text calls it, its type as a text sees it, where it comes from, and what it takes
/// beside numbers.
type Function = (&'static str, &'static str, &'static str, &'static str, bool);

const FUNCTIONS: [Function; 6] = [
    ("now", "(result i64)", "$clock", "now", false),
    ("subscribe", "(param i64) (result i32)", "$clock", "subscribe-duration", false),
    ("block", "(param i32)", "$poll", "[method]pollable.block", false),
    ("poll", "(param i32 i32 i32)", "$poll", "poll", true),
    ("random", "(result i64)", "$random", "get-random-u64", false),
    ("random-bytes", "(param i64 i32)", "$random", "get-random-bytes", true),
];

const LEAN_FUNCTIONS: [Function; 2] = [
    ("request-id", "(param i32)", "$context", "request-id", true),
    ("log", "(param i32 i32 i32 i32 i32)", "$logging", "log", true),
];

/// Imported only by a text that calls one of their functions, for some take a grant.
const EXTRAS: [(&str, &[Function]); 3] = [
    (LIMITER, &[("take", "(param i32 i32 i32 i32 i32 i32)", "$limiter", "take", true)]),
    (CONFIG, &[("configured", "(param i32 i32 i32)", "$config", "get", true)]),
    (
        KEYVALUE,
        &[
            ("open", "(param i32 i32 i32)", "$keyvalue", "open", true),
            ("get", "(param i32 i32 i32 i32)", "$keyvalue", "[method]bucket.get", true),
            ("put", "(param i32 i32 i32 i32 i32 i32)", "$keyvalue", "[method]bucket.set", true),
        ],
    ),
];

const HTTP_FUNCTIONS: [Function; 7] = [
    ("fields", "(result i32)", "$http", "[constructor]fields", false),
    ("append", "(param i32 i32 i32 i32 i32 i32)", "$http", "[method]fields.append", true),
    ("response", "(param i32) (result i32)", "$http", "[constructor]outgoing-response", false),
    (
        "set-status",
        "(param i32 i32) (result i32)",
        "$http",
        "[method]outgoing-response.set-status-code",
        false,
    ),
    ("body", "(param i32 i32)", "$http", "[method]outgoing-response.body", true),
    ("finish", "(param i32 i32 i32 i32)", "$http", "[static]outgoing-body.finish", true),
    ("set", "(param i32 i32 i32 i32 i64 i32 i32 i32 i32)", "$http", "[static]response-outparam.set", true),
];

impl Form {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lean => "lean",
            Self::Http => "http",
        }
    }

    /// The text of a component around a core module's.
    pub(crate) fn component(self, module: &str) -> String {
        match self {
            Self::Lean => lean(module),
            Self::Http => http(module),
        }
    }
}

fn lean(module: &str) -> String {
    let is_called = |(name, ..): &Function| module.contains(&format!("(call ${name} "));
    let extras = || EXTRAS.iter().filter(|(_, functions)| functions.iter().any(is_called));
    let interfaces: String = extras().map(|(interface, _)| *interface).collect();
    let extra = extras().flat_map(|(_, functions)| *functions).copied();
    let functions: Vec<Function> = FUNCTIONS.into_iter().chain(LEAN_FUNCTIONS).chain(extra).collect();
    let answer = if module.contains("(func $answer") {
        ""
    } else {
        "(func $answer (result i32) (i32.store16 (i32.const 4) (global.get $status)) (i32.const 0))"
    };
    let (realloc, of) = if module.contains("(func $realloc") {
        (r#"(export "realloc" (func $realloc))"#, r#"core func $guest "realloc""#)
    } else {
        ("", "core func $base-realloc")
    };
    let (post, post_return) = post(module, "(param i32)");
    let drops = [("drop-pollable", "$pollable")];
    let (lowered, imports, arguments) = bound(&functions, &drops);
    format!(
        r#"
        (component
            {TYPES}
            {INTERFACES}
            {LEAN_INTERFACES}
            {interfaces}
            {BASE}
            {lowered}
            (core module $guest-module
                {imports}
                (global $status (mut i32) (i32.const 200))
                {module}
                {answer} {realloc} {post}
                (func (export "handle") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                    (call $attack) (call $answer)))
            (core instance $guest (instantiate $guest-module {arguments}))
            (func $handle (param "request" $request) (result (result $response (error string)))
                (canon lift (core func $guest "handle") (memory $memory) (realloc ({of})) {post_return}))
            (instance $handler (export "handle" (func $handle)))
            (export "jackfield:plugin/handler@0.1.0" (instance $handler)))
        "#
    )
}

fn http(module: &str) -> String {
    let functions: Vec<Function> = FUNCTIONS.into_iter().chain(HTTP_FUNCTIONS).collect();
    let handle = if module.contains("(func $handle") { "" } else { HANDLE };
    let (post, post_return) = post(module, "");
    let drops = [("drop-pollable", "$pollable"), ("drop-fields", "$fields")];
    let (lowered, imports, arguments) = bound(&functions, &drops);
    format!(
        r#"
        (component
            {INTERFACES}
            {HTTP_INTERFACES}
            {BASE}
            {lowered}
            (core module $guest-module
                {imports}
                (global $status (mut i32) (i32.const 200))
                {module}
                {handle} {post}
                (export "handle" (func $handle)))
            (core instance $guest (instantiate $guest-module {arguments}))
            (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
                (canon lift (core func $guest "handle") (memory $memory) (realloc (core func $base-realloc)) {post_return}))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
        "#
    )
}

/// The export that is called when the answer was taken, and its mention.
fn post(module: &str, parameters: &str) -> (String, &'static str) {
    if module.contains("(func $post") {
        let export = format!(r#"(func (export "post") {parameters} (call $post))"#);
        (export, r#"(post-return (core func $guest "post"))"#)
    } else {
        (String::new(), "")
    }
}

/// Functions and drops of resources, bound to the base's memory; the module's imports of them; and the arguments that
/// its instance is given.
fn bound(functions: &[Function], drops: &[(&str, &str)]) -> (String, String, String) {
    let mut lowered = String::new();
    let mut imports = r#"(import "base" "memory" (memory 4))"#.to_owned();
    let mut exports = String::new();
    for (name, signature, instance, function, with_memory) in functions {
        let options = if *with_memory { "(memory $memory) (realloc (core func $base-realloc))" } else { "" };
        lowered += &format!(r#"(core func ${name} (canon lower (func {instance} "{function}") {options}))"#);
        imports += &format!(r#"(import "host" "{name}" (func ${name} {signature}))"#);
        exports += &format!(r#"(export "{name}" (func ${name}))"#);
    }
    for (name, resource) in drops {
        lowered += &format!("(core func ${name} (canon resource.drop {resource}))");
        imports += &format!(r#"(import "host" "{name}" (func ${name} (param i32)))"#);
        exports += &format!(r#"(export "{name}" (func ${name}))"#);
    }
    lowered += &format!("(core instance $host {exports})");
    (lowered, imports, r#"(with "base" (instance $base)) (with "host" (instance $host))"#.to_owned())
}

/// The types of `jackfield:plugin`, as a component's text imports them: as `$types`, and those that plugs speak in.
pub const TYPES: &str = r#"
    (import "jackfield:plugin/types@0.1.0" (instance $types
        (type $header-is (tuple string (list u8)))
        (export "header" (type $header (eq $header-is)))
        (type $request-head-is (record (field "method" string) (field "path" string)
            (field "query" (option string)) (field "headers" (list $header))))
        (export "request-head" (type $request-head (eq $request-head-is)))
        (type $request-is (record (field "head" $request-head) (field "body" (list u8))))
        (export "request" (type $request (eq $request-is)))
        (type $response-head-is (record (field "status" u16) (field "headers" (list $header))))
        (export "response-head" (type $response-head (eq $response-head-is)))
        (type $response-is (record (field "head" $response-head) (field "body" (list u8))))
        (export "response" (type $response (eq $response-is)))
        (type $change-is (variant (case "set" $header) (case "append" $header) (case "remove" string)))
        (export "header-change" (type $change (eq $change-is)))))
    (alias export $types "request-head" (type $request-head))
    (alias export $types "request" (type $request))
    (alias export $types "response" (type $response))
    (alias export $types "header-change" (type $change))
"#;

const LEAN_INTERFACES: &str = r#"
    (import "jackfield:plugin/context@0.1.0" (instance $context
        (export "request-id" (func (result string)))))
    (import "wasi:logging/logging@0.1.0-draft" (instance $logging
        (type $level-is (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $level-is)))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
"#;

const LIMITER: &str = r#"
    (import "jackfield:plugin/limiter@0.1.0" (instance $limiter
        (type $decision-is (record (field "allowed" bool) (field "remaining" u32) (field "reset-ms" u32)
            (field "retry-after-ms" u32)))
        (export "decision" (type $decision (eq $decision-is)))
        (type $error-is (enum "key-too-long" "invalid-window" "invalid-cost"))
        (export "error" (type $error (eq $error-is)))
        (export "take" (func (param "key" string) (param "limit" u32) (param "window-ms" u32) (param "cost" u32)
            (result (result $decision (error $error)))))))
"#;

const CONFIG: &str = r#"
    (import "wasi:config/store@0.2.0-rc.1" (instance $config
        (type $error-is (variant (case "upstream" string) (case "io" string)))
        (export "error" (type $error (eq $error-is)))
        (export "get" (func (param "key" string) (result (result (option string) (error $error)))))))
"#;

const KEYVALUE: &str = r#"
    (import "wasi:keyvalue/store@0.2.0-draft2" (instance $keyvalue
        (type $error-is (variant (case "no-such-store") (case "access-denied") (case "other" string)))
        (export "error" (type $error (eq $error-is)))
        (export "bucket" (type $bucket (sub resource)))
        (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $error)))))
        (export "[method]bucket.get" (func (param "self" (borrow $bucket)) (param "key" string)
            (result (result (option (list u8)) (error $error)))))
        (export "[method]bucket.set" (func (param "self" (borrow $bucket)) (param "key" string)
            (param "value" (list u8)) (result (result (error $error)))))))
"#;

/// As much of `wasi:http` as a guest of this crate uses; a subset is linked like the whole.
const HTTP_INTERFACES: &str = r#"
    (import "wasi:http/types@0.2.0" (instance $http
        (type $dns-is (record (field "rcode" (option string)) (field "info-code" (option u16))))
        (export "DNS-error-payload" (type $dns (eq $dns-is)))
        (type $alert-is (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
        (export "TLS-alert-received-payload" (type $alert (eq $alert-is)))
        (type $size-is (record (field "field-name" (option string)) (field "field-size" (option u32))))
        (export "field-size-payload" (type $size (eq $size-is)))
        (type $code-is (variant
            (case "DNS-timeout") (case "DNS-error" $dns) (case "destination-not-found")
            (case "destination-unavailable") (case "destination-IP-prohibited") (case "destination-IP-unroutable")
            (case "connection-refused") (case "connection-terminated") (case "connection-timeout")
            (case "connection-read-timeout") (case "connection-write-timeout") (case "connection-limit-reached")
            (case "TLS-protocol-error") (case "TLS-certificate-error") (case "TLS-alert-received" $alert)
            (case "HTTP-request-denied") (case "HTTP-request-length-required")
            (case "HTTP-request-body-size" (option u64)) (case "HTTP-request-method-invalid")
            (case "HTTP-request-URI-invalid") (case "HTTP-request-URI-too-long")
            (case "HTTP-request-header-section-size" (option u32)) (case "HTTP-request-header-size" (option $size))
            (case "HTTP-request-trailer-section-size" (option u32)) (case "HTTP-request-trailer-size" $size)
            (case "HTTP-response-incomplete") (case "HTTP-response-header-section-size" (option u32))
            (case "HTTP-response-header-size" $size) (case "HTTP-response-body-size" (option u64))
            (case "HTTP-response-trailer-section-size" (option u32)) (case "HTTP-response-trailer-size" $size)
            (case "HTTP-response-transfer-coding" (option string))
            (case "HTTP-response-content-coding" (option string)) (case "HTTP-response-timeout")
            (case "HTTP-upgrade-failed") (case "HTTP-protocol-error") (case "loop-detected")
            (case "configuration-error") (case "internal-error" (option string))))
        (export "error-code" (type $code (eq $code-is)))
        (type $header-error-is (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
        (export "header-error" (type $header-error (eq $header-error-is)))
        (export "fields" (type $fields (sub resource)))
        (export "incoming-request" (type (sub resource)))
        (export "outgoing-response" (type $outgoing-response (sub resource)))
        (export "outgoing-body" (type $outgoing-body (sub resource)))
        (export "response-outparam" (type $response-outparam (sub resource)))
        (export "[constructor]fields" (func (result (own $fields))))
        (export "[method]fields.append" (func (param "self" (borrow $fields)) (param "name" string)
            (param "value" (list u8)) (result (result (error $header-error)))))
        (export "[constructor]outgoing-response" (func (param "headers" (own $fields))
            (result (own $outgoing-response))))
        (export "[method]outgoing-response.set-status-code" (func (param "self" (borrow $outgoing-response))
            (param "status-code" u16) (result (result))))
        (export "[method]outgoing-response.body" (func (param "self" (borrow $outgoing-response))
            (result (result (own $outgoing-body)))))
        (export "[static]outgoing-body.finish" (func (param "this" (own $outgoing-body))
            (param "trailers" (option (own $fields))) (result (result (error $code)))))
        (export "[static]response-outparam.set" (func (param "param" (own $response-outparam))
            (param "response" (result (own $outgoing-response) (error $code)))))))
    (alias export $http "fields" (type $fields))
    (alias export $http "incoming-request" (type $incoming-request))
    (alias export $http "response-outparam" (type $response-outparam))
"#;

/// The attack, then an answer of `$status` with a body that is empty and finished.
const HANDLE: &str = r#"
    (func $handle (param $request i32) (param $out i32) (local $response i32)
        (call $attack)
        (local.set $response (call $response (call $fields)))
        (drop (call $set-status (local.get $response) (global.get $status)))
        (call $body (local.get $response) (i32.const 64))
        (call $finish (i32.load (i32.const 68)) (i32.const 0) (i32.const 0) (i32.const 64))
        (call $set (local.get $out) (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
"#;
