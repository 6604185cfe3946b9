//! `cargo plugin redirect`, then `curl -i http://127.0.0.1:8080/old/a/b?page=2` to see the Location.
//!
//! Redirects from a table in the site file, and from http to https. This file holds the plugs: as a
//! handler it answers what no rule fits with 404, as a filter it lets that pass.

mod pattern;
mod rules;
mod target;

use bindings::exports::jackfield::plugin::{handler, request_filter};
use bindings::jackfield::plugin::context;
use bindings::jackfield::plugin::types::{RequestHead, Response, ResponseHead};
use bindings::wasi::{config0_2_0_rc_1::store as config, logging::logging};
use request_filter::{Forward, Verdict};
use rules::{Outcome, Rules};

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::Redirect;

    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package jackfield:redirect;
            world plugin {
                include jackfield:plugin/handler-plugin@0.1.0;
                include jackfield:plugin/request-filter-plugin@0.1.0;
                import wasi:config/store@0.2.0-rc.1;
                import wasi:logging/logging@0.1.0-draft;
            }
        ",
        generate_all,
    });
    // Only for a host: native linkers take no `:` in a name, and the tests call Rust functions.
    #[cfg(target_family = "wasm")]
    export!(Redirect);
}

/// The plug, of either kind.
pub struct Redirect;

impl handler::Guest for Redirect {
    fn handle(request: handler::Request) -> Result<Response, String> {
        Ok(answer(&request.head)
            .unwrap_or_else(|| problem(404, "Not Found", "There is no redirect for this path.")))
    }
}

impl request_filter::Guest for Redirect {
    fn on_request(request: RequestHead) -> Verdict {
        match answer(&request) {
            Some(response) => Verdict::Respond(response),
            None => Verdict::Next(Forward { request_headers: Vec::new(), response_headers: Vec::new() }),
        }
    }
}

/// The answer to this request, or none if it is not to be redirected.
fn answer(request: &RequestHead) -> Option<Response> {
    match decide(request) {
        Ok(Outcome::Pass) => None,
        Ok(Outcome::Redirect { status, location }) => Some(Response {
            head: ResponseHead { status, headers: vec![("location".to_owned(), location.into_bytes())] },
            body: Vec::new(),
        }),
        Ok(Outcome::Refuse) => Some(problem(400, "Bad Request", "This path cannot be redirected safely.")),
        Err(reason) => {
            // The reason is for the operator's log; a caller learns nothing of the configuration.
            logging::log(logging::Level::Error, "redirect", &reason);
            Some(problem(
                500,
                "Internal Server Error",
                "The redirects of this route are not set up correctly.",
            ))
        }
    }
}

fn decide(request: &RequestHead) -> Result<Outcome, String> {
    let pairs = config::get_all().map_err(|_| "config cannot be read: the host gave an error")?;
    let rules = Rules::read(&pairs)?;
    let query = request.query.as_deref();
    Ok(rules.decide(&context::scheme(), &context::authority(), &request.path, query))
}

/// A problem document (RFC 9457) of this plugin's own.
fn problem(status: u16, title: &str, detail: &str) -> Response {
    let mut body = format!(
        r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}","request-id":""#
    );
    for character in context::request_id().chars() {
        // A request id is visible ASCII: these two are all that JSON wants escaped in it.
        if matches!(character, '"' | '\\') {
            body.push('\\');
        }
        body.push(character);
    }
    body.push_str("\"}\n");
    let headers = vec![("content-type".to_owned(), b"application/problem+json".to_vec())];
    Response { head: ResponseHead { status, headers }, body: body.into_bytes() }
}
