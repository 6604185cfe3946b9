//! `cargo plugin guest-filters`, then `curl -i http://127.0.0.1:8080/` on a route that it filters.
//!
//! A filter of both kinds that does what `mode` of its configuration says, under the `name` there:
//!
//! | `mode` | on the request | on the answer |
//! |---|---|---|
//! | `tag` | appends `x-filter: NAME`, and by `next` `x-next: NAME` to the answer | appends `x-chain: NAME` |
//! | `captures` | sets `x-captures` to the captures, and by `next` on the answer too | appends `x-chain: NAME` |
//! | `strip` | removes the field that `header` names | the same |
//! | `see` | appends `x-filter: NAME`, and by `next` `x-next: NAME` to the answer | sets `x-seen` to the answer's status, its fields' names and those of the request |
//! | `deny` | answers 403 | appends `x-chain: NAME` |
//! | `bad-change` | by `next`, sets a field on the answer that is none | |
//! | `trap`, `loop` | does so | |
//! | `sleep-response` | appends `x-filter: NAME` | sleeps for an hour |
//! | `trap-response`, `loop-response`, `error-response` | appends `x-filter: NAME` | does so |

use std::time::Duration;

use bindings::exports::jackfield::plugin::{request_filter, response_filter};
use bindings::jackfield::plugin::context;
use bindings::jackfield::plugin::types::{Header, HeaderChange, RequestHead, Response, ResponseHead};
use bindings::wasi::config0_2_0_rc_1::store as config;
use request_filter::{Forward, Verdict};

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::Filters;

    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package guest:filters;
            world plugin {
                include jackfield:plugin/request-filter-plugin@0.1.0;
                include jackfield:plugin/response-filter-plugin@0.1.0;
                import wasi:config/store@0.2.0-rc.1;
            }
        ",
        generate_all,
    });
    #[cfg(target_family = "wasm")]
    export!(Filters);
}

/// The plug, of both kinds.
pub struct Filters;

impl request_filter::Guest for Filters {
    fn on_request(_request: RequestHead) -> Verdict {
        let name = setting("name");
        let (request_headers, response_headers) = match setting("mode").as_str() {
            "captures" => {
                let found = captures();
                (vec![set("x-captures", &found)], vec![set("x-captures", &found)])
            }
            "strip" => (vec![HeaderChange::Remove(setting("header"))], Vec::new()),
            "deny" => {
                let headers = vec![("content-type".to_owned(), b"text/plain".to_vec())];
                let head = ResponseHead { status: 403, headers };
                return Verdict::Respond(Response { head, body: format!("denied by {name}\n").into_bytes() });
            }
            "bad-change" => (Vec::new(), vec![set("not a name", "a\r\nb: c")]),
            "trap" => std::process::abort(),
            "loop" => forever(),
            _ => (vec![append("x-filter", &name)], vec![append("x-next", &name)]),
        };
        Verdict::Next(Forward { request_headers, response_headers })
    }
}

impl response_filter::Guest for Filters {
    fn on_response(request: RequestHead, response: ResponseHead) -> Result<Vec<HeaderChange>, String> {
        match setting("mode").as_str() {
            "see" => {
                let (answered, asked) = (names(&response.headers), names(&request.headers));
                Ok(vec![set("x-seen", &format!("{} {answered} {asked}", response.status))])
            }
            "strip" => Ok(vec![HeaderChange::Remove(setting("header"))]),
            "bad-change" => Ok(Vec::new()),
            "trap-response" => std::process::abort(),
            "loop-response" => forever(),
            "sleep-response" => {
                std::thread::sleep(Duration::from_secs(3600));
                Ok(Vec::new())
            }
            "error-response" => Err("secret inside text".to_owned()),
            _ => Ok(vec![append("x-chain", &setting("name"))]),
        }
    }
}

/// The value of `key`, or nothing.
fn setting(key: &str) -> String {
    config::get(key).ok().flatten().unwrap_or_default()
}

fn set(name: &str, value: &str) -> HeaderChange {
    HeaderChange::Set((name.to_owned(), value.as_bytes().to_vec()))
}

fn append(name: &str, value: &str) -> HeaderChange {
    HeaderChange::Append((name.to_owned(), value.as_bytes().to_vec()))
}

/// The fields' names, in order, with a comma between.
fn names(headers: &[Header]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.join(",")
}

/// The route's captures as `name=value`, with a blank between; bytes that a header cannot have as `%XX`.
fn captures() -> String {
    let mut shown = String::new();
    for (name, value) in context::captures() {
        shown.push_str(if shown.is_empty() { "" } else { " " });
        shown.push_str(&format!("{name}="));
        for byte in value.bytes() {
            match byte {
                b'!'..=b'~' if byte != b'%' => shown.push(char::from(byte)),
                _ => shown.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    shown
}

fn forever() -> ! {
    let mut turns = 0u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
